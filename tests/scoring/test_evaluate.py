"""An evaluation as one call: its rows, its summary, and how it goes on after a kill."""

import collections
import json
import shutil

import numpy as np
import pytest
from stored_rows import read_rows, untimed, untimed_summary
from tiny_experiment import PAPERS, TRACKS
from tiny_tracks import BAD_FILES

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.scoring.evaluate import evaluate
from lsaprobe_jax.scoring.settings import Experiment

# What every record of summary.json holds, whatever else it may.
RECORD_KEYS = {
  "method", "model", "corpus", "distance", "t_ratio", "difficulty_calibration",
  "n_member", "n_nonmember", "n_tracks", "auc", "auc_ci", "tpr", "tpr_ci",
  "fpr_realised", "false_positives", "nfe_forward", "nfe_backward", "seconds",
}  # fmt: skip
ROW_KEYS = {
  "clip", "track", "split", "model", "corpus", "method", "distance", "t_ratio",
  "score", "cost", "reached", "nfe_forward", "nfe_backward", "seconds", "seed",
}  # fmt: skip
A, B, DEV = 4, 5, 21  # Clips; the fifth of b is the file at another rate.
PROBES = ("lsa_probe", "lsa_probe_anchored")
METHODS = ("loss", "rediffuse", "lsa_probe", "lsa_probe_anchored")


def test_every_clip_has_a_row_under_every_model_and_method(finished):
  rows = finished.result.to_rows()
  assert all(set(row) >= ROW_KEYS for row in rows)
  count = collections.Counter((r["method"], r["model"], r["split"]) for r in rows)
  expected = {("blind", "A", "member"): A, ("blind", "A", "nonmember"): B}
  for method in METHODS:
    expected[method, "A", "member"] = expected[method, "B", "nonmember"] = A
    expected[method, "A", "nonmember"] = expected[method, "B", "member"] = B
    expected[method, "A", "dev"] = expected[method, "B", "dev"] = DEV
    expected[method, "reference", "nonmember"] = A + B
    # For cutoffs of scores that the reference model calibrates.
    expected[method, "reference", "dev"] = DEV
  assert count == expected
  assert all(np.isfinite(row["score"]) for row in rows)
  groups = {"a": "member", "b": "nonmember", "dev": "dev"}
  assert all(r["split"] == groups[r["group"]] for r in rows if r["model"] == "A")


def test_the_blind_baseline_is_of_a_model_under_audit(settings):
  """Names are sorted, and one behind `reference` is no other model."""
  own = {"zed": settings.targets["A"], "reference": settings.targets["reference"]}
  values = settings.to_dict() | {"targets": own, "methods": ("loss",)}
  found = evaluate(Experiment.from_dict(values))
  assert {r["model"] for r in found.rows if r["method"] == "blind"} == {"zed"}
  assert any(r["method"] == "blind" for r in found.records)


def test_rows_tell_what_was_spent(finished):
  rows = finished.result.to_rows()
  nfe = {row["method"]: (row["nfe_forward"], row["nfe_backward"]) for row in rows}
  assert nfe["blind"] == (0, 0)
  assert nfe["loss"] == (2, 0)
  for row in rows:
    if row["method"] in PROBES:
      assert row["reached"] == (row["cost"] is not None)
      assert row["nfe_backward"] > 0
      # Beside the gradients the clean side, and D after the last step.
      assert row["nfe_forward"] == row["nfe_backward"] + 2
    else:
      assert row["reached"] is row["cost"] is None


def degradation_at(eta, curve):
  """Worst D within eta, on a straight line between the rungs."""
  worst = np.maximum.accumulate(curve["degradations"])
  return np.interp(eta, [0, *curve["budgets"]], [0, *worst])


def test_tau_is_the_quantile_of_the_development_clips(finished):
  curves = read_rows(finished.folder / "curves.jsonl")
  assert len(curves) == 2 * 3 * (A + B + DEV)
  curves = [row for row in curves if row["method"] == "degradation_curve"]
  calibration = [row for row in curves if row["split"] == "dev"]
  for model in ("A", "B", "reference"):
    worst = [degradation_at(0.2, row) for row in calibration if row["model"] == model]
    found = {
      row["tau"]
      for row in finished.result.rows
      if (row["model"], row["method"]) == (model, "lsa_probe")
    }
    assert len(worst) == DEV
    np.testing.assert_allclose(list(found), [np.quantile(worst, 0.95)], rtol=1e-4)


def test_costs_are_read_off_the_curves(finished):
  stored = read_rows(finished.folder / "curves.jsonl")
  curves = {
    (row["model"], row["clip"]): row
    for row in stored
    if row["method"] == "degradation_curve"
  }
  probe = [row for row in finished.result.rows if row["method"] == "lsa_probe"]
  assert any(row["reached"] for row in probe)
  for row in probe:
    curve = curves[row["model"], row["clip"]]
    assert row["budgets"] == curve["budgets"]
    assert row["degradations"] == curve["degradations"]
    hits = [
      budget
      for budget, degradation in zip(row["budgets"], row["degradations"], strict=True)
      if degradation >= row["tau"]
    ]
    assert row["cost"] == (min(hits) if hits else None)
    if hits:
      assert degradation_at(row["score"], curve) == pytest.approx(row["tau"], rel=1e-4)


def test_the_summary_holds_what_it_promises(finished):
  records = finished.result.records
  assert all(set(record) >= RECORD_KEYS for record in records)
  found = {(r["method"], r["model"], r["difficulty_calibration"]): r for r in records}
  expected = {("blind", "A", "none")}
  for method in METHODS:
    kinds = ("none", "reference", "twins", "both")
    expected |= {
      (method, model, kind) for model in ("A", "B", "mean") for kind in kinds
    }
    # Two null controls: raw, and by the twins under the reference model.
    expected |= {(method, "reference", kind) for kind in ("none", "twins")}
  assert set(found) == expected
  for record in records:
    assert set(record["tpr"]) == {"0.001", "0.01", "0.05"}
    assert set(record["tpr"]) == set(record["tpr_ci"]) == set(record["fpr_realised"])
    low, high = record["auc_ci"]
    assert low <= record["auc"] <= high
  for record in (record for record in records if record["model"] == "A"):
    # Development clips have no twins here.
    with_dev = record["difficulty_calibration"] in ("none", "reference")
    judged_only = record["method"] == "blind" or not with_dev
    assert record["n_dev"] == (0 if judged_only else TRACKS["dev"])
  probe = found["lsa_probe", "mean", "none"]
  assert (probe["n_member"], probe["n_nonmember"], probe["n_tracks"]) == (9, 9, 9)
  assert (probe["corpus"], probe["distance"]) == ("tiny", "log_mel")


def test_a_result_is_a_line_as_itself_and_tables_as_text(finished):
  rows = len(finished.result.rows)
  methods = ", ".join(("blind", *METHODS))
  assert repr(finished.result) == f"EvaluationResult({rows} rows by {methods})"
  first = next(line for line in str(finished.result).splitlines() if line.strip())
  assert first.startswith("blind baseline, A against B (tiny): AUC")
  assert len(str(finished.result).splitlines()) <= 15
  assert "rank correlation" not in str(finished.result)
  tables = (finished.folder / "tables.txt").read_text()
  for method in set(METHODS) - {"lsa_probe"}:
    assert f"rank correlation of lsa_probe with {method} under A" in tables


def test_progress_tells_what_is_there_before_each_method(finished):
  assert len(finished.progress) == len(METHODS)
  for i, text in enumerate(finished.progress):
    assert "blind baseline, A against B (tiny): AUC" in text
    assert all(f"\n{method} " in text for method in METHODS[:i])
    assert f"\n{METHODS[i]} " not in text


def test_files_that_cannot_be_used_are_left_out(finished):
  tracks = {row["track"] for row in finished.result.rows}
  assert "odd_rate" in tracks or "odd-rate" in tracks
  assert not tracks & set(BAD_FILES)


def test_in_memory_there_are_the_rows_of_a_folder(finished, settings):
  methods = ("loss", "lsa_probe")
  rows = evaluate(settings.changed({"methods": methods})).to_rows()
  stored = [r for r in finished.result.rows if r["method"] in ("blind", *methods)]
  assert untimed(rows) == untimed(stored)
  assert [row["clip"] for row in rows] == [row["clip"] for row in stored]


def test_a_result_in_memory_is_saved_whole_in_a_new_folder(
  finished, settings, tmp_path
):
  result = evaluate(settings.changed({"methods": ("loss",)}))
  result.save(tmp_path / "of" / "mine")
  assert read_rows(tmp_path / "of" / "mine" / "scores.jsonl") == result.to_rows()
  assert (tmp_path / "of" / "mine" / "tables.txt").read_text().strip()
  result.save(tmp_path / "of" / "mine")
  # A summary of these rows beside those of another run would be neither's.
  folder = shutil.copytree(finished.folder, tmp_path / "copy")
  with pytest.raises(
    ArgumentError, match=r"^folder=.*copy holds the scores of another"
  ):
    result.save(folder)
  assert read_rows(folder / "scores.jsonl") == finished.result.to_rows()


def test_a_disturbed_evaluation_ends_with_the_same_rows(finished, settings, tmp_path):
  """It dies as curves are on their way: two methods are done, and half a line."""
  names = ("scores.jsonl", "curves.jsonl", "summary.json", "run.json")
  folder = tmp_path / "disturbed"
  folder.mkdir()
  for name in ("run.json", "scores.jsonl", "curves.jsonl"):
    shutil.copy(finished.folder / name, folder / name)
  scores, curves = folder / "scores.jsonl", folder / "curves.jsonl"
  some = scores.read_text().splitlines(keepends=True)
  some = [line for line in some if '"loss"' in line or '"blind"' in line]
  scores.write_text("".join(some))
  curves.write_text(curves.read_text()[:5000])
  result = evaluate(settings, folder)
  assert scores.read_text().startswith("".join(some))
  assert untimed(result.rows) == untimed(finished.result.rows)
  for name in ("scores.jsonl", "curves.jsonl"):
    rows, whole = (read_rows(where / name) for where in (folder, finished.folder))
    assert untimed(rows) == untimed(whole)
  assert untimed_summary(folder) == untimed_summary(finished.folder)
  assert all((folder / name).exists() for name in names)


def test_a_finished_evaluation_adds_no_row(finished, settings, tmp_path):
  folder = shutil.copytree(finished.folder, tmp_path / "again")
  names = ("scores.jsonl", "curves.jsonl", "summary.json", "run.json")
  before = {name: (folder / name).read_bytes() for name in names}
  assert evaluate(settings, folder).rows == finished.result.rows
  assert {name: (folder / name).read_bytes() for name in names} == before


def test_limit_untrained_weights_and_the_papers_search(finished, settings, tmp_path):
  methods = ("loss", "lsa_probe")
  changed = settings.changed(PAPERS | {"untrained": True, "methods": methods})
  rows = evaluate(changed, tmp_path, limit=2).to_rows()
  assert read_rows(tmp_path / "calibration.jsonl")
  halves = collections.Counter(
    (r["method"], r["model"], r["group"]) for r in rows if r["group"] != "dev"
  )
  assert set(halves.values()) == {2}
  assert len(halves) == 2 * (1 + 3 * len(methods))
  identity = lambda row: (row["method"], row["model"], row["clip"])
  untrained = {identity(row): row["score"] for row in rows}
  trained = {identity(row): row["score"] for row in finished.result.rows}
  for (method, model, clip), score in untrained.items():
    assert np.isfinite(score)
    if method != "blind":
      assert score != trained[method, model, clip]
      if model == "A":
        assert score != untrained[method, "B", clip]


def test_curves_that_cannot_be_read_are_named(finished, settings, tmp_path):
  """Each is a row; together they are no curves of one ladder."""
  folder = shutil.copytree(finished.folder, tmp_path / "odd")
  rows = read_rows(folder / "curves.jsonl")
  rows[3]["budgets"] = rows[3]["budgets"][::-1]
  lines = "".join(json.dumps(row) + "\n" for row in rows)
  (folder / "curves.jsonl").write_text(lines)
  with pytest.raises(ArgumentError, match=r"^workdir: its curves cannot be read: budg"):
    evaluate(settings, folder)
