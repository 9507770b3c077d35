"""What launch.studies makes of rows: families of tests, and albums' controls."""

import crossover
import numpy as np
import pytest

from lsaprobe_jax.metrics import comparisons, sets
from lsaprobe_jax.report import studies


def test_an_ablations_comparisons_are_one_family():
  made = []
  for value, effect in enumerate((0.5, 1.5, 3.0)):
    rows = crossover.rows(seed=value) + crossover.rows("loss", value + 5, effect)
    rows += crossover.rows("loss", value + 9, 0.0, models=("reference",))
    rows += crossover.rows(seed=value + 12, effect=0.0, models=("reference",))
    made += [row | {"value": value} for row in rows]
  found = studies._compared_by_value("steps", made)
  assert [(r["value"], r["difficulty_calibration"]) for r in found] == [
    (value, calibrated) for value in range(3) for calibrated in ("none", "reference")
  ]
  assert {(r["ablation"], r["method"]) for r in found} == {("steps", "loss")}
  adjusted = comparisons.holm([record["p_value"] for record in found])
  assert [record["p_holm"] for record in found] == pytest.approx(adjusted.tolist())
  # A value alone would have been corrected for two.
  alone = comparisons.holm([record["p_value"] for record in found[:2]])
  assert (adjusted[:2] > alone).any()


def scored(album: str, scores) -> list[dict]:
  return [
    {"track": f"{album}-{i:02d}", "score": float(score) + by, "clip": f"{album}{i}{by}"}
    for i, score in enumerate(scores)
    for by in (-0.25, 0.25)
  ]


def test_albums_that_were_not_trained_on_are_controls():
  """Each against the other non-members, by the mean of its tracks, Holm over both."""
  rng = np.random.default_rng(3)
  loud, usual = rng.normal(2, 1, 6), rng.normal(0, 1, 7)
  few = rng.normal(0, 1, 4)
  rows = scored("loud", loud) + scored("usual", usual) + scored("few", few)
  found = studies._unseen_albums(rows)
  assert list(found) == ["loud-*, not trained on", "usual-*, not trained on"]
  (first,) = sets.compare_sets({"x": loud}, np.r_[few, usual]).values()
  (second,) = sets.compare_sets({"x": usual}, np.r_[few, loud]).values()
  p_values = [first.p_value, second.p_value]
  assert [test.p_value for test in found.values()] == pytest.approx(p_values)
  holm = comparisons.holm(p_values).tolist()
  assert [test.p_holm for test in found.values()] == pytest.approx(holm)
  assert p_values[0] < 0.05 < p_values[1]


def test_an_album_of_all_non_members_has_nothing_to_be_compared_with():
  assert studies._unseen_albums(scored("only", np.arange(6))) == {}
