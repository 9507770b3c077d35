"""What is like the music of a training, and what was in it: `benchmarks.strangers`."""

import numpy as np
import pytest

from benchmarks import stranger_tables

TRACKS = 12


def row(model, passes, kind, i, score):
  return {
    "clip": f"{kind}-{i}", "track": f"{kind}-{i}", "group": kind[0], "model": model,
    "method": "loss", "distance": None, "t_ratio": 0.2, "score": score,
    "split": kind, "corpus": "dose-piano" if kind == "stranger" else "dose",
    "value": passes, "nfe_forward": 4, "nfe_backward": 0, "difficulty_calibration": "",
  }  # fmt: skip


def rows(likeness: float, trained: float):
  """Losses of three sorts under two fine-tunes and their base, which tells none."""
  rng = np.random.default_rng(0)
  own = {"member": trained, "nonmember": likeness, "stranger": 0.0}
  for passes in (1, 10):
    for model in ("A", "B", "reference"):
      for kind, gain in own.items():
        for i in range(TRACKS):
          loss = np.exp(rng.normal() - (model != "reference") * gain)
          yield row(model, passes, kind, i, -loss)


@pytest.mark.parametrize(("likeness", "trained"), [(0.0, 9.0), (9.0, 9.0)])
def test_each_two_sorts_are_told_apart_as_far_as_they_differ(likeness, trained):
  found = stranger_tables.compared(list(rows(likeness, trained)))
  assert list(found) == list(stranger_tables.SIDES)
  auc = {
    sides: np.mean([r["auc"] for r in records if not r["difficulty_calibration"]])
    for sides, records in found.items()
  }
  told = lambda differ: pytest.approx(1.0 if differ else 0.5, abs=0.2)
  assert auc["album-mates against strangers"] == told(likeness > 0)
  assert auc["trained against strangers"] == told(True)
  assert auc["trained against album-mates"] == told(likeness < trained)
  assert all(len(records) >= 2 for records in found.values())
