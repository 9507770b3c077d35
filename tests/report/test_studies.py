"""Tables of a study: families of tests, and what its document shows."""

import functools

import crossover
import crossover_twins
import pytest

from lsaprobe_jax.metrics import comparisons, study, summary
from lsaprobe_jax.report import studies


def test_contrasts_within_clips_stand_at_every_length_of_training():
  parts = {"main": crossover_twins.evaluation()}
  made = crossover_twins.by_epochs()
  summarise = functools.partial(summary.summarise, resamples=20)
  text, _ = studies.make_tables(parts | {"epochs": made, "steps": made}, summarise)
  assert "steps_within_clip" not in text
  blocks = text["epochs_within_clip"].split("\n\n")
  assert [block.partition(":")[0] for block in blocks] == ["93", "187", "750"]
  for block in blocks:
    names = [line.split("  ")[0] for line in block.splitlines()]
    assert {"loss", "loss by twins"} <= {*names}
    assert not any("by ref" in name for name in names)


def test_an_ablations_comparisons_are_one_family():
  made = []
  for value, effect in enumerate((0.5, 1.5, 3.0)):
    rows = crossover.rows(seed=value) + crossover.rows("loss", value + 5, effect)
    rows += crossover.rows("loss", value + 9, 0.0, models=("reference",))
    rows += crossover.rows(seed=value + 12, effect=0.0, models=("reference",))
    made += [row | {"value": value} for row in rows]
  found = studies.compare_by_value("steps", study.with_reference(made))
  assert [(r["value"], r["difficulty_calibration"]) for r in found] == [
    (value, calibrated) for value in range(3) for calibrated in ("none", "reference")
  ]
  assert {(r["ablation"], r["method"]) for r in found} == {("steps", "loss")}
  adjusted = comparisons.holm([record["p_value"] for record in found])
  assert [record["p_holm"] for record in found] == pytest.approx(adjusted.tolist())
  # A value alone would have been corrected for two.
  alone = comparisons.holm([record["p_value"] for record in found[:2]])
  assert (adjusted[:2] > alone).any()


def test_a_study_has_all_its_tables_under_their_names():
  rows = crossover.rows() + crossover.rows("loss", seed=1)
  steps = [row | {"value": value} for value in (1, 2) for row in rows]
  summarise = functools.partial(summary.summarise, resamples=20)
  text, records = studies.make_tables({"main": rows, "steps": steps}, summarise)
  assert records.keys() == {"main", "steps"}
  parts = ["gates", "main", "side_by_side", "comparisons", "within_clip"]
  parts += ["operating_points", "models", "sets"]
  own = ["steps", "steps_tpr", "steps_comparisons", "steps_gates"]
  assert list(text) == [*parts, *own]
  lines = text["steps_comparisons"].splitlines()
  assert lines[0].split()[:2] == ["steps", "method"]
  assert [line.split()[:2] for line in lines[2:4]] == [["1", "loss"], ["2", "loss"]]
  # The ablation changes neither of them.
  assert text["steps"].count("\n| ") == 0
  assert "The same at every value: loss 0." in text["steps"]
  document = studies.document(text)
  assert document.count("\n## ") == len(text) - 1
  assert "## main\n\n| method |" in document
  assert "## gates\n\n```\nblind baseline: NOT RUN" in document


def test_a_study_with_twins_compares_them_with_the_reference_model(tmp_path):
  summarise = functools.partial(summary.summarise, resamples=20)
  parts = {"main": crossover_twins.evaluation(), "epochs": crossover_twins.by_epochs()}
  text, records = studies.make_tables(parts, summarise)
  added = [
    name for name in text if name.startswith(("comparisons_", "twins", "within"))
  ]
  assert added == ["comparisons_anchored", "twins_against_reference", "within_clip"]
  lines = text["twins_against_reference"].splitlines()
  assert [line.split()[0] for line in lines[2:6]] == [
    "loss", "lsa_probe", "lsa_probe_anchored", "rediffuse",
  ]  # fmt: skip
  # The contrast is said to be no attack; a reference would cancel in it.
  contrasts = text["within_clip"]
  assert "no attack's power" in contrasts
  assert "loss by twins" in contrasts
  assert "by ref" not in contrasts
  # Three lengths of four methods, of which one has no twins at the first.
  own = text["epochs_twins_against_reference"]
  assert "corrected for the number under all values, 11." in own
  assert "| loss by twins | " in text["training_length"]
  assert "random_stability" not in text["training_length"]
  drawn = studies.draw(parts, records, tmp_path)
  assert {path.stem for path in drawn} == {
    "methods",
    "roc",
    "epochs",
    "training_length",
  }
  document = studies.document(text, drawn, "x/")
  assert "![training_length](x/training_length.svg)" in document


def test_an_ablation_that_is_not_of_epochs_has_its_comparison_of_twins():
  summarise = functools.partial(summary.summarise, resamples=20)
  draws = [row | {"value": 1} for row in crossover_twins.evaluation()]
  text, _ = studies.make_tables(
    {"main": crossover_twins.evaluation(), "draws": draws}, summarise
  )
  assert "draws_twins_against_reference" in text
  assert "training_length" not in text
