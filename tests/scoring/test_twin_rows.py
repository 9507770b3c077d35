"""Twins and anchors in an evaluation: whose rows have them, and what they add up to."""

import math

import numpy as np
import pytest
from stored_rows import read_rows, untimed

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.metrics import difficulty
from lsaprobe_jax.scoring.evaluate import evaluate
from lsaprobe_jax.scoring.experiment import open_evaluation

METHODS = ("loss", "rediffuse", "lsa_probe", "lsa_probe_anchored")
TWINS = "polarity,reversal"


def of(rows, method, model="A"):
  return [r for r in rows if (r["method"], r["model"]) == (method, model)]


def judged(rows):
  return [row for row in rows if row["split"] != "dev"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["A", "reference"])
def test_judged_clips_have_twins_and_development_clips_none(finished, method, model):
  rows = of(finished.result.rows, method, model)
  for row in rows:
    if row["group"] == "dev":
      assert "twin_scores" not in row
      continue
    assert row["twins"] == TWINS
    assert len(row["twin_scores"]) == 2
    assert np.isfinite(row["twin_scores"]).all()
    assert len({row["score"], *row["twin_scores"]}) == 3
    # Two twins spend twice what the clip does, of a method whose length is fixed.
    assert row["twin_nfe_forward"] == 2 * row["nfe_forward"]
    assert row["twin_seconds"] == pytest.approx(2 * row["seconds"], abs=2e-4)


def test_the_summary_has_every_calibration_of_every_method(finished):
  found = {
    (record["method"], record["difficulty_calibration"])
    for record in finished.result.records
    if record["model"] == "mean"
  }
  wanted = {(m, by) for m in METHODS for by in ("none", "reference", "twins", "both")}
  assert wanted <= found


def test_calibrated_scores_are_what_the_rows_add_up_to(finished):
  rows = finished.result.rows
  clip = judged(of(rows, "loss"))[0]
  (other,) = [r for r in of(rows, "loss", "reference") if r["clip"] == clip["clip"]]
  log = lambda score: -math.log(-score)
  less = lambda row: log(row["score"]) - np.mean([log(s) for s in row["twin_scores"]])
  wanted = {"twins": less(clip), "both": less(clip) - less(other)}
  wanted["reference"] = log(clip["score"]) - log(other["score"])
  found = {
    row["difficulty_calibration"]: row["score"]
    for row in difficulty.calibrated(rows)
    if (row["clip"], row["model"], row["method"]) == (clip["clip"], "A", "loss")
  }
  assert found == pytest.approx(wanted)


def test_the_anchored_probe_has_its_own_time_tau_and_rows(finished, settings):
  curves = read_rows(finished.folder / "curves.jsonl")
  anchored = [r for r in curves if r["method"] == "anchored_degradation_curve"]
  plain = [r for r in curves if r["method"] == "degradation_curve"]
  assert len(anchored) == len(plain)
  assert {row["t_ratio"] for row in anchored} == {settings.anchored.t_ratio}
  assert all(row["rest"] > 0 for row in anchored)
  assert all(row["rest"] == 0 for row in plain)
  # tau is the quantile, over development clips, of D within eta_ref from rest on.
  dev = [r for r in anchored if r["model"] == "A" and r["split"] == "dev"]
  worst = [
    np.interp(
      settings.anchored.tau.eta_ref,
      [0, *row["budgets"]],
      np.maximum.accumulate([row["rest"], *row["degradations"]]),
    )
    for row in dev
  ]
  rows = of(finished.result.rows, "lsa_probe_anchored")
  (tau,) = {row["tau"] for row in rows}
  assert tau == pytest.approx(
    np.quantile(worst, settings.anchored.tau.quantile), rel=1e-4
  )
  for row in rows:
    if row["rest"] >= tau:
      assert row["cost"] == 0
      assert row["score"] == pytest.approx(1 - row["rest"] / tau, rel=1e-3)
    elif row["reached"]:
      assert row["cost"] > 0


def test_twins_change_no_raw_score(finished, settings):
  plain = evaluate(settings.changed({"twins.names": ()}))
  scores = {
    (r["method"], r["model"], r["clip"]): r["score"] for r in finished.result.rows
  }
  assert all("twin_scores" not in row for row in plain.rows)
  for row in plain.rows:
    key = row["method"], row["model"], row["clip"]
    assert row["score"] == pytest.approx(scores[key], rel=2e-3), key


def test_development_clips_have_twins_where_that_is_asked(settings):
  changes = {"twins.development": True, "methods": ("loss",)}
  result = evaluate(settings.changed(changes))
  assert all(row["twins"] == TWINS for row in of(result.rows, "loss"))
  (record,) = [
    r
    for r in result.records
    if (r["method"], r["model"], r["difficulty_calibration"])
    == ("loss", "mean", "twins")
  ]
  assert record["n_dev"] > 0


def test_a_search_that_is_told_tau_scores_twins_with_the_clips_tau(settings):
  changes = {
    "search.name": "bisection",
    "search.bisection.halvings": 2,
    "search.bisection.ascent_steps": 2,
    "search.bisection.restarts": 1,
    "methods": ("lsa_probe_anchored",),
    "twins.names": ("reversal",),
  }
  result = evaluate(settings.changed(changes))
  rows = judged(of(result.rows, "lsa_probe_anchored"))
  assert all(len(row["twin_scores"]) == 1 for row in rows)
  assert len({row["tau"] for row in rows}) == 1


def test_an_interrupted_evaluation_ends_with_the_same_twins(
  finished, settings, tmp_path
):
  folder = tmp_path / "cut"
  changed = settings.changed({"methods": ("lsa_probe_anchored",)})
  evaluate(changed, folder)
  rows = (folder / "curves.jsonl").read_bytes()
  whole = [row for row in read_rows(folder / "scores.jsonl")]
  (folder / "curves.jsonl").write_bytes(rows[: len(rows) // 2])
  (folder / "scores.jsonl").unlink()
  again = evaluate(changed, folder)
  key = lambda row: (row["method"], row["model"], row["clip"])
  assert untimed(sorted(again.rows, key=key)) == untimed(sorted(whole, key=key))


def test_twins_that_carry_nothing_are_refused_before_anything_is_scored(settings):
  for name, why in (
    ("channel_swap", "the clips have a single channel"),
    ("mirror", "known: polarity"),
  ):
    with pytest.raises(SettingError, match=f"twins.names={name}: .*{why}|{why}"):
      open_evaluation(settings.changed({"twins.names": (name,)}))
