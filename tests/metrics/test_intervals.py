import math

import numpy as np
import pytest
from scipy import stats
from toy import alike_clips

from lsaprobe_jax.metrics import intervals, roc


def _wins(scores, labels):
  """[members, non-members] pairs won, ties one half."""
  x, y = scores[labels][:, None], scores[~labels]
  return (x > y) + 0.5 * (x == y)


def _naive_delong(scores, labels):
  """[k, n], [n] -> [k, k], from the m x n matrices of pairs."""
  wins = [_wins(s, labels) for s in scores]
  m, n = wins[0].shape
  s10 = np.cov([w.mean(axis=1) for w in wins])
  s01 = np.cov([w.mean(axis=0) for w in wins])
  return np.atleast_2d(s10 / m + s01 / n)


def _naive_obuchowski(scores, labels, clusters):
  """Variance of one AUC, cluster by cluster (Obuchowski 1997, equations 4-6)."""
  wins = _wins(scores, labels)
  area, (m, n) = wins.mean(), wins.shape
  s10 = s01 = s11 = i10 = i01 = 0
  names = np.unique(clusters)
  for name in names:
    mine = clusters[labels] == name
    other = clusters[~labels] == name
    a = wins[mine].mean(axis=1).sum() - mine.sum() * area
    b = wins[:, other].mean(axis=0).sum() - other.sum() * area
    s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
    i10, i01 = i10 + mine.any(), i01 + other.any()
  i = len(names)
  s10 *= i10 / ((i10 - 1) * m)
  s01 *= i01 / ((i01 - 1) * n)
  s11 *= i / (i - 1)
  return s10 / m + s01 / n + 2 * s11 / (m * n)


def _data(rng, k=3, n=60):
  labels = rng.permutation(np.arange(n) < n // 3)
  return np.round(rng.normal(size=(k, n)) + labels, 1), labels


def test_delong_on_hanley_and_mcneil():
  """CT ratings of 58 normal and 51 abnormal patients (Hanley and McNeil 1982).

  Stata's manual (roctab, example 1) prints for them, by DeLong's method, area
  0.8932, standard error 0.0307, interval 0.83295 to 0.95339 (normal, untransformed).
  """
  normal = np.repeat([1, 2, 3, 4, 5], [33, 6, 6, 11, 2])
  abnormal = np.repeat([1, 2, 3, 4, 5], [3, 2, 2, 11, 33])
  scores = np.concatenate([normal, abnormal])
  labels = np.arange(109) >= 58
  estimate = intervals.clustered_auc(scores[None], labels)
  area, error = estimate.auc[0], math.sqrt(estimate.covariance[0, 0])
  assert round(area, 4) == 0.8932
  assert round(error, 4) == 0.0307
  assert round(area - stats.norm.ppf(0.975) * error, 5) == 0.83295
  assert round(area + stats.norm.ppf(0.975) * error, 5) == 0.95339


def test_single_clips_give_delong_exactly():
  scores, labels = _data(np.random.default_rng(0))
  estimate = intervals.clustered_auc(scores, labels)
  np.testing.assert_allclose(estimate.covariance, _naive_delong(scores, labels))
  np.testing.assert_allclose(estimate.auc, [roc.auc(s, labels) for s in scores])
  assert estimate.clusters.tolist() == [60, 60, 60]


@pytest.mark.parametrize("mixed", [True, False])
def test_clusters_give_obuchowski(mixed):
  rng = np.random.default_rng(1)
  scores, labels = _data(rng)
  clusters = rng.integers(12, size=60) + (0 if mixed else 100 * labels)
  estimate = intervals.clustered_auc(scores, labels, clusters)
  for variance, row in zip(np.diag(estimate.covariance), scores, strict=True):
    assert variance == pytest.approx(_naive_obuchowski(row, labels, clusters))
  assert np.linalg.eigvalsh(estimate.covariance).min() > -1e-12


def test_copies_of_a_clip_in_a_cluster_add_nothing():
  scores, labels = _data(np.random.default_rng(2))
  once = intervals.clustered_auc(scores, labels)
  thrice = intervals.clustered_auc(
    np.tile(scores, 3), np.tile(labels, 3), np.tile(np.arange(60), 3)
  )
  np.testing.assert_allclose(once.covariance, thrice.covariance)


def test_covariance_of_cross_over_by_jackknife():
  """Opposite labels by row: leaving tracks out must tell the same variance."""
  scores, labels, track, side = alike_clips(np.random.default_rng(3), tracks=25)
  estimate = intervals.clustered_auc(scores, labels, track)

  def mean_auc(keep):
    return np.mean(
      [roc.auc(s[keep], y[keep]) for s, y in zip(scores, labels, strict=True)]
    )

  variance = 0
  for chosen in (side, ~side):
    left_out = [mean_auc(track != t) for t in np.unique(track[chosen])]
    variance += np.var(left_out) * (len(left_out) - 1)
  _, error, freedom = intervals.standard_error(estimate, [0.5, 0.5])
  assert error**2 == pytest.approx(variance, rel=0.05)
  assert freedom == 48


def test_a_score_that_ignores_the_target_has_a_mean_of_half():
  scores, labels, track, _ = alike_clips(np.random.default_rng(4))
  estimate = intervals.clustered_auc(scores[[0, 0]], labels, track)
  np.testing.assert_allclose(
    intervals.interval(estimate, [0.5, 0.5]), (0.5, 0.5), atol=1e-9
  )


def test_unused_clips_do_not_count():
  scores, labels = _data(np.random.default_rng(5))
  clusters, used = np.arange(60) // 3, np.arange(60) % 7 != 0
  whole = intervals.clustered_auc(
    np.where(used, scores, np.nan), labels, clusters, np.stack([used] * 3)
  )
  part = intervals.clustered_auc(scores[:, used], labels[used], clusters[used])
  np.testing.assert_allclose(whole.covariance, part.covariance)
  assert (whole.clusters == part.clusters).all()


def test_clustered_interval_covers():
  """Eight tracks a side of four alike clips: the truth lies inside 95% of times."""
  rng = np.random.default_rng(6)
  track = np.repeat(np.arange(16), 4)
  labels = track < 8
  truth = stats.norm.cdf(1 / math.sqrt(2))
  clustered = plain = 0
  for _ in range(400):
    noise = rng.normal(size=16)[track] + rng.normal(size=64)
    scores = labels + noise * math.sqrt(0.5)
    low, high = intervals.auc_ci(scores, labels, track)
    clustered += low <= truth <= high
    low, high = intervals.auc_ci(scores, labels)
    plain += low <= truth <= high
  assert 0.92 <= clustered / 400 <= 0.985
  assert plain / 400 < 0.85


def test_interval_at_the_edges():
  scores, labels = np.arange(20), np.arange(20) >= 10
  low, high = intervals.auc_ci(scores, labels)
  assert (low, high) == (pytest.approx(0.025 ** (1 / 10)), 1)
  assert intervals.auc_ci(-scores, labels) == (0, pytest.approx(1 - low))
  assert intervals.auc_ci(np.zeros(20), labels) == (0.5, 0.5)
  assert np.isnan(intervals.auc_ci(scores % 7, labels, labels)).all()
  # Every track beats as many of the other side, which tells of no spread.
  alike = [1, 4, 4, 4, 1, 4, 4, 4, 2, 3, 2, 3]
  sides = np.arange(12) < 8
  tracks = np.repeat([0, 1, 2, 3], [4, 4, 2, 2])
  assert intervals.clustered_auc([alike], sides, tracks).auc == pytest.approx(0.75)
  assert intervals.auc_ci(alike, sides, tracks) == (0, 1)
  wide = intervals.auc_ci(scores % 7, labels, cross_fitted=True)
  narrow = intervals.auc_ci(scores % 7, labels)
  logits = [np.diff(stats.logistic.ppf(ci))[0] for ci in (wide, narrow)]
  assert logits[0] / logits[1] == pytest.approx(math.sqrt(2))
  with pytest.raises(ValueError, match="weights of a mean"):
    intervals.interval(intervals.clustered_auc(scores[None], labels), [-1])
