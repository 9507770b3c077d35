"""Tables of a study: families of tests, and what its document shows."""

import functools

import crossover
import pytest

from lsaprobe_jax.metrics import comparisons, summary
from lsaprobe_jax.report import studies


def test_an_ablations_comparisons_are_one_family():
  made = []
  for value, effect in enumerate((0.5, 1.5, 3.0)):
    rows = crossover.rows(seed=value) + crossover.rows("loss", value + 5, effect)
    rows += crossover.rows("loss", value + 9, 0.0, models=("reference",))
    rows += crossover.rows(seed=value + 12, effect=0.0, models=("reference",))
    made += [row | {"value": value} for row in rows]
  found = studies.compare_by_value("steps", made)
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
  parts = ["gates", "main", "comparisons", "operating_points", "models", "sets"]
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
