"""The dose at which an AUC passes what is wanted, by hand and by simulation."""

import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from lsaprobe_jax.metrics import dose, intervals, power

DOSES = [1, 3, 10, 30, 100, 300]


def rows_of(scores, labels, tracks, value, method="loss"):
  """Rows of a cross-over at one dose; scores and labels are [2, n]."""
  return [
    {
      "clip": f"clip {i}", "track": f"track {track}", "group": "ab"[int(not side)],
      "split": "member" if label else "nonmember", "model": model, "corpus": "toy",
      "method": method, "distance": None, "t_ratio": 0.2, "seed": 0,
      "difficulty_calibration": "none", "score": float(score), "value": value,
      "nfe_forward": 4, "nfe_backward": 0,
    }
    for model, own, of in zip("AB", scores, labels, strict=True)
    for i, (score, label, track, side) in enumerate(
      zip(own, of, tracks, labels[0], strict=True)
    )
  ]  # fmt: skip


def simulated(rng, effects, tracks=30, clips=2):
  """Rows of a cross-over at every dose, with an effect of each."""
  track = np.repeat(np.arange(2 * tracks), clips)
  labels = np.stack([track < tracks, track >= tracks])
  hard = rng.normal(size=2 * tracks)[track]
  noise = rng.normal(size=(2, track.size))
  return [
    row
    for value, effect in zip(DOSES, effects, strict=True)
    for row in rows_of(hard + noise + effect * labels, labels, track, value)
  ]


def test_crossing_is_between_doses_on_a_logarithmic_scale():
  aucs = [0.5, 0.55, 0.6, 0.7, 0.8, 0.9]
  assert dose.crossing(DOSES, aucs) == pytest.approx(math.sqrt(30 * 100))


def test_crossing_says_below_and_above():
  assert dose.crossing(DOSES, [0.8] * 6) == 0
  assert dose.crossing(DOSES, [0.6] * 6) == math.inf
  assert dose.crossing([5], [0.75]) == 0
  assert dose.crossing(DOSES, [0.5] * 5 + [0.75]) == pytest.approx(300)


def test_a_curve_that_falls_is_levelled_as_scikit_learn_does():
  rng = np.random.default_rng(0)
  for _ in range(50):
    aucs = np.sort(rng.uniform(0.5, 1, 6)) + rng.normal(0, 0.05, 6)
    fitted = IsotonicRegression().fit_transform(np.arange(6), aucs)
    found = dose.crossing(DOSES, aucs)
    if fitted[0] >= 0.75:
      assert found == 0
    elif fitted[-1] < 0.75:
      assert found == math.inf
    else:
      at = np.interp(math.log(found), np.log(DOSES), fitted)
      assert at == pytest.approx(0.75, abs=1e-9)


@pytest.mark.parametrize(
  ("doses", "aucs"),
  [([1, 1], [0.5, 0.6]), ([0, 1], [0.5, 0.6]), ([1, 2], [0.5]), ([], [])],
)
def test_doses_that_do_not_ascend_are_refused(doses, aucs):
  with pytest.raises(ValueError, match="dose"):
    dose.crossing(doses, aucs)


def test_records_are_the_cross_over_means_of_the_clips_of_all_doses():
  rows = simulated(np.random.default_rng(1), [0, 0, 0.5, 1, 2, 3])
  # A clip that failed at one dose under one model counts at none.
  gone = next(r for r in rows if r["value"] == 10 and r["model"] == "B")
  kept = [r for r in rows if r is not gone]
  (record,) = dose.crossings(kept, resamples=200)
  rest = [r for r in rows if r["clip"] != gone["clip"]]
  for value, auc in zip(DOSES, record["aucs"], strict=True):
    own = [[r for r in rest if (r["value"], r["model"]) == (value, m)] for m in "AB"]
    scores = np.array([[r["score"] for r in of] for of in own])
    labels = np.array([[r["split"] == "member" for r in of] for of in own])
    assert auc == pytest.approx(intervals.clustered_auc(scores, labels).auc.mean())
  assert record["n"] == 119
  assert record["n_tracks"] == 60
  assert record["nfe"] == "4/0"
  low, high = record["crossing"].ci
  assert low <= record["crossing"].dose <= high


def test_seeds_are_a_level_above_tracks():
  early = simulated(np.random.default_rng(3), [0, 0, 2, 3, 4, 5])
  late = simulated(np.random.default_rng(3), [0, 0, 0, 0, 2, 3])
  (one,), (other,) = (dose.crossings(rows, resamples=200) for rows in (early, late))
  (both,) = dose.crossings_of_seeds([early, late], resamples=200)
  assert both["by_training"] == [one["crossing"].dose, other["crossing"].dose]
  means = np.mean([one["aucs"], other["aucs"]], axis=0)
  np.testing.assert_allclose(both["aucs"], means)
  # A quarter of the draws picks one training alone, on either side.
  (low, high), within = both["crossing"].ci, (one["crossing"], other["crossing"])
  assert low < within[0].ci[1] < within[1].ci[0] < high


def test_one_training_twice_is_no_less_certain_than_once():
  rows = simulated(np.random.default_rng(4), [0, 0, 0.5, 1, 2, 3])
  (once,) = dose.crossings(rows, resamples=200)
  (twice,) = dose.crossings_of_seeds([rows, rows], resamples=200)
  assert twice["crossing"] == once["crossing"]


def test_seeds_with_other_doses_are_refused():
  rows = simulated(np.random.default_rng(5), [0, 0, 0.5, 1, 2, 3])
  with pytest.raises(ValueError, match="differ in their doses"):
    dose.crossings_of_seeds([rows, [r for r in rows if r["value"] != 10]])


def test_nothing_to_find_is_not_reached():
  rows = simulated(np.random.default_rng(2), [0] * 6)
  (record,) = dose.crossings(rows, resamples=200)
  assert record["crossing"] == (math.inf, (math.inf, math.inf))


def test_scores_that_never_vary_have_no_power():
  rows = simulated(np.random.default_rng(6), [1] * 6)
  found = dose.set_power([row | {"score": 1 / 3} for row in rows])
  assert {record["effect"] for record in found} == {0.0}
  # What is left is the level of the test.
  assert max(p for record in found for p in record["power"].values()) < 0.02


@pytest.mark.slow
def test_the_interval_covers():
  """Effects whose true AUC passes 0.75 at a known dose, 95% asked for."""
  spread = math.sqrt(2 + 2)  # of the difference of two clips: hard and noise of each
  effects = spread * np.array([0, 0.1, 0.3, 0.6, 0.8, 1.2])
  from scipy import stats

  truth = dose.crossing(DOSES, stats.norm.cdf(effects / spread))
  hits = 0
  for draw in range(100):
    rows = simulated(np.random.default_rng([3, draw]), effects, clips=1)
    (record,) = dose.crossings(rows, resamples=300, seed=draw)
    low, high = record["crossing"].ci
    hits += low <= truth <= high
  assert hits >= 88


def test_power_is_that_of_the_effect():
  rng = np.random.default_rng(4)
  rows = simulated(rng, [0, 0, 0, 0, 1, 4], clips=1)
  found = dose.set_power(rows)
  assert [r["value"] for r in found] == DOSES
  for record in found:
    own = [r for r in rows if r["value"] == record["value"]]
    effects = []
    for model in "AB":
      sides = [
        np.array([r["score"] for r in own if (r["model"], r["split"]) == (model, s)])
        for s in ("member", "nonmember")
      ]
      spread = math.sqrt((sides[0].var(ddof=1) + sides[1].var(ddof=1)) / 2)
      effects.append((sides[0].mean() - sides[1].mean()) / spread)
    assert record["effect"] == pytest.approx(np.mean(effects))
    for size, value in record["power"].items():
      assert value == power.power(record["effect"], size, 20, 0.01)
  assert found[-1]["power"][20] > 0.9
  assert found[0]["power"][20] < 0.2


def test_controls_take_what_no_target_has_seen():
  rng = np.random.default_rng(5)
  rows = simulated(rng, [0, 0, 0, 0, 0, 3])
  assert dose.controls(rows) == []
  # As many development clips, alike under both, harder by one at the last dose.
  dev = [
    row | {"clip": f"dev {row['clip']}", "track": f"dev {row['track']}"}
    | {"group": "dev", "split": "dev", "score": rng.normal() - (row["value"] == 300)}
    for row in rows
  ]  # fmt: skip
  found = dose.controls(rows + dev)
  assert [record["value"] for record in found] == DOSES
  for record in found:
    aucs = []
    for model in "AB":
      own = [
        r for r in rows + dev
        if (r["value"], r["model"]) == (record["value"], model)
        and r["split"] != "member"
      ]  # fmt: skip
      scores = np.array([[r["score"] for r in own]])
      labels = np.array([[r["split"] == "nonmember" for r in own]])
      aucs.append(intervals.clustered_auc(scores, labels).auc[0])
    assert record["auc"] == pytest.approx(np.mean(aucs))
    assert record["n"] == 60 + 120
  lows = [record["auc_ci"][0] for record in found]
  assert sum(low <= 0.5 for low in lows[:-1]) >= 4
  assert lows[-1] > 0.5
