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
  with pytest.raises(ValueError, match=r"c1.*no difference of scores inf and inf"):
    difficulty.by_reference(infinite)
