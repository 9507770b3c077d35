import math

import crossover
import numpy as np
import pytest
import toy

from lsaprobe_jax.metrics import difficulty, intervals, record_tables, within_clip
from lsaprobe_jax.metrics.within_clip import format_within_clip


def contrasts(rows, **settings):
  return within_clip.within_clip(rows, **settings)


def rows_of(scores, labels, tracks):
  """Rows of a cross-over of n clips; scores and labels are [2, n]."""
  like = toy.row("A", "c1", 0.0)
  return [
    like | {"model": model, "clip": f"clip {i}", "track": f"track {track}"}
    | {"score": float(score), "split": "member" if label else "nonmember"}
    for model, *columns in zip("AB", scores, labels, strict=True)
    for i, (score, label, track) in enumerate(zip(*columns, tracks, strict=True))
  ]  # fmt: skip


def naive_auc(scores, labels):
  pairs = [
    (x > y) + (x == y) / 2
    for x, label in zip(scores, labels, strict=True)
    for y, other in zip(scores, labels, strict=True)
    if label and not other
  ]
  return np.mean(pairs)


def test_contrast_by_hand():
  dev = [toy.row(model, "c5", 100.0, split="dev") for model in "AB"]
  (record,) = contrasts([*toy.rows(), *dev])
  # Half a: 4 - 1, 2 - 2. Half b: 3 - 3, 1 - 4. One tie, three wins of four pairs.
  assert record.pop("auc_ci")[0] < 0.875
  assert record == {
    "corpus": "toy",
    "method": "lsa_probe",
    "distance": "mrstft",
    "t_ratio": 0.6,
    "difficulty_calibration": "none",
    "auc": 0.875,
    "auc_raw": (0.75 + 1) / 2,
    "n": 4,
    "n_tracks": 4,
    "n_dropped": 0,
  }


def test_magnitudes_are_contrasted_by_their_ratio():
  """As where the reference is taken off, whose scores cancel then."""
  rows = [row | {"magnitude": True, "score": -row["score"]} for row in toy.rows()]
  raw, calibrated = contrasts(rows + difficulty.by_reference(rows))
  # Half a: log 1/4, 0. Half b: 0, log 4. What plain differences say is 1 - 0.875.
  assert raw["auc"] == calibrated["auc"] == 0.125
  # Errors of 1 and 2 in half a, 10 and 12 in half b: a ratio of 2 is above one of 1.2.
  plain = rows_of(
    [[-1.0, -10.0], [-2.0, -12.0]], [[True, False], [False, True]], [0, 1]
  )
  assert contrasts(plain)[0]["auc"] == 0
  assert contrasts([row | {"magnitude": True} for row in plain])[0]["auc"] == 1


def test_contrast_is_that_of_a_loop_clustered_by_track():
  scores, labels, track, side = toy.alike_clips(np.random.default_rng(0))
  (record,) = contrasts(rows_of(scores, labels, track))
  difference = scores[0] - scores[1]
  assert record["auc"] == pytest.approx(naive_auc(difference, side))
  assert record["auc_raw"] == pytest.approx(np.mean([*map(naive_auc, scores, labels)]))
  assert record["auc_ci"] == pytest.approx(intervals.auc_ci(difference, side, track))
  assert record["auc_ci"] != pytest.approx(intervals.auc_ci(difference, side))
  assert (record["n"], record["n_tracks"]) == (96, 24)
  (narrow,) = contrasts(rows_of(scores, labels, track), confidence=0.5)
  assert record["auc_ci"][0] < narrow["auc_ci"][0] < narrow["auc_ci"][1]


def test_contrast_shows_what_difficulty_hides_and_nothing_where_nothing_is():
  rng = np.random.default_rng(1)
  side = np.arange(100) < 50
  labels, hard = np.stack([side, ~side]), 100 * rng.normal(size=100)
  noise = 0.1 * rng.normal(size=(2, 100))
  # One of the models is the better at all clips.
  of_models = hard + noise + np.array([[0.0], [7.0]])
  (found,) = contrasts(rows_of(of_models + labels, labels, range(100)))
  assert found["auc"] == 1.0
  assert abs(found["auc_raw"] - 0.5) < 0.02
  (null,) = contrasts(rows_of(of_models, labels, range(100)))
  assert null["auc_ci"][0] < 0.5 < null["auc_ci"][1]


def test_the_effect_counts_twice():
  # Scores of deviation 1, members higher by 1. Members are 1 above non-members, whose
  # difference has deviation sqrt(2). Within the clip the halves are 2 apart, at +1 and
  # -1, and the difference of two such differences has deviation 2.
  rng = np.random.default_rng(2)
  side = np.arange(4000) < 2000
  labels = np.stack([side, ~side])
  scores = rng.normal(size=labels.shape) + labels
  (record,) = contrasts(rows_of(scores, labels, range(4000)))
  phi = lambda x: (1 + math.erf(x / math.sqrt(2))) / 2
  assert record["auc_raw"] == pytest.approx(phi(1 / math.sqrt(2)), abs=0.015)
  assert record["auc"] == pytest.approx(phi(1), abs=0.015)


def test_clips_that_one_model_scored_are_dropped_and_counted():
  rows = crossover.rows(effect=1.0)
  lacking = {("A", "a00@0"), ("B", "b03@0"), ("B", "a05@0")}
  kept = [row for row in rows if (row["model"], row["clip"]) not in lacking]
  (record,) = contrasts(kept)
  assert (record["n"], record["n_tracks"], record["n_dropped"]) == (21, 21, 3)
  gone = {clip for _, clip in lacking}
  (without,) = contrasts([row for row in rows if row["clip"] not in gone])
  assert record == without | {"n_dropped": 3}


def test_the_reference_cancels():
  rows = crossover.rows(models=("A", "B", "reference"))
  raw, calibrated = contrasts(rows + difficulty.by_reference(rows))
  assert calibrated["difficulty_calibration"] == "reference"
  assert calibrated["auc"] == raw["auc"]
  assert calibrated["auc_ci"] == raw["auc_ci"]
  assert calibrated["auc_raw"] != raw["auc_raw"]


def test_settings_are_apart_and_those_of_one_model_have_no_record():
  rows = crossover.rows() + crossover.rows(t_ratio=0.2, seed=1)
  rows += crossover.rows("loss", models=("A",)) + crossover.rows("pia", models=("B",))
  rows += crossover.rows("blind", seed=2)
  found = contrasts(rows)
  assert [(r["method"], r["t_ratio"]) for r in found] == [
    ("lsa_probe", 0.4),
    ("lsa_probe", 0.2),
  ]
  assert found[0]["auc"] != found[1]["auc"]
  assert contrasts([]) == []


def test_halves_of_one_track_have_no_interval():
  rows = [row | {"track": row["group"]} for row in crossover.rows()]
  (record,) = contrasts(rows)
  assert record["auc_ci"] is None
  assert f"{record['auc']:.3f}  " in format_within_clip([record])


def test_rows_that_are_no_cross_over_are_refused():
  rows = toy.rows(("A", "B"))
  with pytest.raises(ValueError, match=r"two rows for .*lsa_probe.*A, c1"):
    contrasts([*rows, toy.row("A", "c1", 0.0)])
  same = [row | {"split": "member"} for row in rows]
  with pytest.raises(
    ValueError, match=r"'toy'.*4 clips have the same split.*e\.g\. c1"
  ):
    contrasts(same)
  half = [row for row in rows if row["group"] == "a"]
  with pytest.raises(ValueError, match=r"'toy'.*both classes are needed: 2 members"):
    contrasts(half)
  apart = [row for row in rows if (row["group"] == "a") == (row["model"] == "A")]
  with pytest.raises(ValueError, match=r"'toy'.*no clip was scored under both A and B"):
    contrasts(apart)


@pytest.mark.parametrize("score", [math.nan, None, math.inf])
def test_what_has_no_difference_is_refused(score):
  rows = [row for row in toy.rows(("A", "B")) if row["clip"] != "c3"]
  others = [toy.row("A", "c3", 0.0) | {"score": score}, toy.row("B", "c3", math.inf)]
  with pytest.raises(
    ValueError, match=r"c3: no difference of scores (nan|inf) and inf"
  ):
    contrasts(rows + others)
  # One that is beyond all others is a rank like any.
  (found,) = contrasts([*rows, toy.row("A", "c3", 1.0), others[1]])
  assert found["auc"] == 1.0


def test_the_table_by_hand():
  known = {"corpus": "toy", "n_tracks": 12, "difficulty_calibration": "none"}
  records = [
    known | {"method": "trajectory", "distance": "mr_stft", "t_ratio": 0.4, "n": 24,
             "auc": 0.9, "auc_ci": [0.85, 0.95], "auc_raw": 0.55, "n_dropped": 2},
    known | {"method": "loss", "distance": None, "t_ratio": None, "n": 12,
             "auc": 0.5, "auc_ci": None, "auc_raw": 0.5, "n_dropped": 0,
             "difficulty_calibration": "reference"},
  ]  # fmt: skip
  lines = format_within_clip(records).splitlines()
  assert [line.split("  ")[0] for line in lines[2:4]] == ["trajectory", "loss by ref"]
  assert [" ".join(line.split()) for line in (lines[0], *lines[2:4])] == [
    "method distance t/T raw AUC within clip [95% by track] clips/tracks dropped",
    "trajectory mr_stft 0.4 0.550 0.900 [0.850, 0.950] 24/12 2",
    "loss by ref - - 0.500 0.500 12/12 0",
  ]
  assert lines[4].startswith("within clip: AUC of the score under A less that under B")
  assert lines[5] == "Our reading of what the source leaves open: trajectory."
  by_value = record_tables.by_value(
    [record | {"value": v} for record in records for v in (1, 2)],
    format_within_clip,
    once=True,
  )
  assert by_value.count("no attack's power") == 1
