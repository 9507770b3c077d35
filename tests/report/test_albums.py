"""Albums of non-members, which show what their music alone does."""

import numpy as np
import pytest

from lsaprobe_jax.metrics import comparisons, sets
from lsaprobe_jax.report import albums


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
  found = albums.unseen_albums(rows)
  assert list(found) == ["loud-*, not trained on", "usual-*, not trained on"]
  (first,) = sets.compare_sets({"x": loud}, np.r_[few, usual]).values()
  (second,) = sets.compare_sets({"x": usual}, np.r_[few, loud]).values()
  p_values = [first.p_value, second.p_value]
  assert [test.p_value for test in found.values()] == pytest.approx(p_values)
  holm = comparisons.holm(p_values).tolist()
  assert [test.p_holm for test in found.values()] == pytest.approx(holm)
  assert p_values[0] < 0.05 < p_values[1]


def test_an_album_of_all_non_members_has_nothing_to_be_compared_with():
  assert albums.unseen_albums(scored("only", np.arange(6))) == {}
