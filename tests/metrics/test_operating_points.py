"""TPR at a target FPR: how sure it is, its ties, and the precision behind it."""

import numpy as np
import pytest
import toy
from scipy import stats
from scipy.stats import binomtest, norm

from lsaprobe_jax.metrics import roc, summary


def _summarise(rows, **settings):
  return summary.summarise(rows, resamples=50, **settings)


def _two_clips_a_track(rng, shift, tracks=25):
  """One model's rows: so many tracks on a side, with two clips of each."""
  rows = []
  for i in range(2 * tracks):
    side, split = ("a", "member") if i < tracks else ("b", "nonmember")
    mean = rng.normal() + shift * (i < tracks)
    for clip in range(2):
      changes = dict(clip=f"t{i}@{clip}", track=f"t{i}", group=side, split=split)
      rows.append(toy.row("target", "c1", mean + 0.01 * clip) | changes)
  return rows


def test_a_rate_is_as_sure_as_its_tracks_are_many():
  # All members pass: a bootstrap alone would say [1, 1]. 40 clips of 20 tracks are 20.
  rows = _two_clips_a_track(np.random.default_rng(0), 100.0)
  (record,) = _summarise(rows, targets=(0.03, 0.05, 0.2))
  assert record["tpr"] == {"0.03": None, "0.05": 1, "0.2": 1}
  exact = binomtest(25, 25).proportion_ci(method="exact")
  assert record["tpr_ci"]["0.05"] == pytest.approx([exact.low, 1])
  assert record["flagged"] == {"0.03": True, "0.05": True, "0.2": True}


def test_the_interval_of_a_rate_covers_it():
  # True TPR of the region that passes one non-member in 20, members one sd above.
  wanted = norm.sf(norm.isf(0.05) - 1)
  rng = np.random.default_rng(0)
  below = above = 0
  for _ in range(200):
    (record,) = _summarise(_two_clips_a_track(rng, 1.0), targets=(0.05,))
    low, high = record["tpr_ci"]["0.05"]
    below += high < wanted
    above += low > wanted
  assert below + above <= 0.1 * 200


def test_ties_and_precision_by_hand():
  rows = [row | {"score": min(row["score"], 3.0)} for row in toy.rows(("A", "B"))]
  # A: 3, 2 against 3, 1. B: 3, 3 against 1, 2.
  a, b, mean = _summarise(rows, targets=(0.34, 0.5))
  assert a["ties"] == {"0.34": 0, "0.5": 1}  # nothing; down to c2
  assert b["ties"]["0.34"] == mean["ties"]["0.34"] == 2
  assert set(a["precision"]["0.34"].values()) == {None}  # nobody is accused
  # No false positive of 2: 1 - 0.025^(1/2) bounds the rate at 97.5%.
  low, bound = b["tpr_ci"]["0.34"][0], 1 - 0.025**0.5
  expected = 0.01 * low / (0.01 * low + 0.99 * bound)
  assert b["precision"]["0.34"]["0.01"] == pytest.approx(expected)
  assert mean["false_positives"]["0.5"] == 2
  # P(at most 1 of 2 accepted) = 1.25% at the bound on either model's rate.
  bound = roc.fpr_bound(1, 2, 0.9875)
  assert stats.binom.cdf(1, 2, bound) == pytest.approx(0.0125)
  low = mean["tpr_ci"]["0.5"][0]
  expected = 0.1 * low / (0.1 * low + 0.9 * bound)
  assert mean["precision"]["0.5"]["0.1"] == pytest.approx(expected)


@pytest.mark.parametrize("accepted", [0, 2])
def test_the_bound_on_precision_holds_for_a_cross_over(accepted):
  """Each model is cut at a score of its own non-members, 25 and 22 of them."""
  rng, sizes = np.random.default_rng(0), (25, 22)
  # True FPR of a cut just above the k-th largest of n uniform scores.
  true = np.mean(
    [rng.beta(accepted + 1, n - accepted, size=20_000) for n in sizes], axis=0
  )
  point = roc.TprAtFpr(
    tpr=0.5, fpr_realised=0.0, false_positives=accepted, threshold=0.0, ties=1,
    ties_below=0, expected_false_positives=0.0, flagged=True,
  )  # fmt: skip
  found = summary._precision([point, point], [0.4, 0.6], list(sizes))["0.1"]
  # Where TPR is at the lower end of its interval.
  assert np.mean(0.1 * 0.4 / (0.1 * 0.4 + 0.9 * true) >= found) >= 0.975
