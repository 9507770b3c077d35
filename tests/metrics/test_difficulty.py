import math

import pytest
import toy

from lsaprobe_jax.metrics import difficulty, summary


def test_calibration_by_hand():
  rows = toy.rows()
  calibrated = difficulty.by_reference(rows)
  assert len(calibrated) == 8
  first = calibrated[0]
  assert (first["clip"], first["model"], first["score"]) == ("c1", "A", 3.0)
  assert (first["nfe_forward"], first["seconds"]) == (20, 1.0)
  assert first["difficulty_calibration"] == "reference"
  assert first["cost"] is None
  records = summary.summarise(rows + calibrated, resamples=50)
  scores = {(r["model"], r["difficulty_calibration"]): r["auc"] for r in records}
  # Calibrated A: 3, 2 against 3, 0.5: one tie, two wins of four pairs.
  assert scores["A", "reference"] == 0.625
  assert scores["A", "none"] == 0.75
  assert ("reference", "reference") not in scores


def test_calibration_needs_the_same_setting_and_clip():
  rows = toy.rows(("A",))
  other = toy.row("reference", "c1", 1.0)
  assert difficulty.by_reference([*rows, {**other, "t_ratio": 0.3}]) == []
  assert difficulty.by_reference([*rows, {**other, "method": "loss"}]) == []
  assert len(difficulty.by_reference([*rows, {**other, "split": "dev"}])) == 1
  infinite = [toy.row("A", "c1", math.inf), toy.row("reference", "c1", math.inf)]
  with pytest.raises(ValueError, match=r"c1.*no difference of scores by"):
    difficulty.by_reference(infinite)


def test_magnitudes_are_compared_by_their_logarithms():
  rows = [
    toy.row(model, "c1", -error) | {"magnitude": True}
    for model, error in (("A", 2.0), ("reference", 8.0))
  ]
  (found,) = difficulty.by_reference(rows)
  # A quarter of the reference's error, whatever the unit of either.
  assert found["score"] == pytest.approx(math.log(4))
  scaled = [row | {"score": 100 * row["score"]} for row in rows]
  assert difficulty.by_reference(scaled)[0]["score"] == pytest.approx(math.log(4))


def test_an_error_of_zero_has_a_finite_logarithm():
  rows = [toy.row("A", "c1", 0.0), toy.row("reference", "c1", -1.0)]
  (found,) = difficulty.by_reference([row | {"magnitude": True} for row in rows])
  assert 80 < found["score"] < 90


def with_twins(model, score, twins):
  return toy.row(model, "c1", score) | {
    "twins": "polarity,reversal",
    "twin_scores": twins,
    "twin_nfe_forward": 20,
    "twin_nfe_backward": 4,
    "twin_seconds": 1.0,
  }


def test_twins_by_hand_raw_and_of_magnitudes():
  row = with_twins("A", 3.0, [1.0, 4.0])
  (found,) = difficulty.by_twins([row])
  assert found["score"] == 0.5
  assert found["difficulty_calibration"] == "twins"
  assert found["cost"] is None
  assert found["nfe_forward"] == row["nfe_forward"] + 20
  assert found["nfe_backward"] == row["nfe_backward"] + 4
  assert found["seconds"] == row["seconds"] + 1.0
  errors = with_twins("A", -1.0, [-2.0, -8.0]) | {"magnitude": True}
  assert difficulty.by_twins([errors])[0]["score"] == pytest.approx(math.log(4))
  assert difficulty.by_twins([toy.row("A", "c1", 1.0), found]) == []


def test_both_is_the_difference_of_differences():
  rows = [with_twins("A", 3.0, [1.0, 4.0]), with_twins("reference", 2.0, [1.0, 1.0])]
  (found,) = difficulty.by_both(rows)
  assert found["score"] == 0.5 - 1.0
  assert found["difficulty_calibration"] == "both"
  assert found["nfe_forward"] == 2 * (rows[0]["nfe_forward"] + 20)
  kinds = [row["difficulty_calibration"] for row in difficulty.calibrated(rows)]
  assert sorted(kinds) == ["both", "reference", "twins", "twins"]


def test_what_a_twin_is_harder_by_for_any_model_goes_with_both():
  # The second twin is harder by 5 under either model.
  rows = [with_twins("A", 3.0, [1.0, -4.0]), with_twins("reference", 2.0, [2.0, -3.0])]
  assert difficulty.by_both(rows)[0]["score"] == pytest.approx(
    (3 - (1 - 4) / 2) - (2 - (2 - 3) / 2)
  )
