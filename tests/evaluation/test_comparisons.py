import math

import numpy as np
import pytest
from scipy import stats

from lsaprobe_jax.evaluation import comparisons, intervals


def _estimate(auc, covariance, clusters=40):
  half = np.full(len(auc), clusters // 2)
  return intervals.AucEstimate(
    np.array(auc), np.array(covariance), half, half, 2 * half
  )


def test_paired_difference_by_hand():
  estimate = _estimate([0.8, 0.7], [[0.0025, 0.001], [0.001, 0.0016]])
  result = comparisons.compare(estimate)
  error = math.sqrt(0.0025 + 0.0016 - 0.002)
  assert result.difference == pytest.approx(0.1)
  assert result.standard_error == pytest.approx(error)
  assert result.p_value == pytest.approx(2 * stats.t.sf(0.1 / error, 38))
  # The interval touches 0 at the level of the p-value.
  touching = comparisons.compare(estimate, confidence=1 - result.p_value)
  assert touching.ci[0] == pytest.approx(0, abs=1e-12)


def test_pairing_and_clusters_matter():
  """Two methods on a cross-over of alike clips; the second is the first with noise."""
  rng = np.random.default_rng(0)
  track = np.repeat(np.arange(30), 5)
  side = track < 15
  labels = np.stack([side, ~side])
  first = rng.normal(size=30)[track] + labels + rng.normal(size=(2, 150))
  second = first + 0.5 * rng.normal(size=(2, 150))
  estimate = intervals.clustered_auc(
    np.concatenate([first, second]), np.tile(labels, (2, 1)), track
  )
  weights = np.array([0.5, 0.5, -0.5, -0.5])
  paired = comparisons.compare(estimate, weights)
  assert paired.statistic == pytest.approx(
    (estimate.auc @ weights) / math.sqrt(weights @ estimate.covariance @ weights)
  )
  _, apart, _ = intervals.standard_error(estimate, [0.5, 0.5, 0, 0])
  assert paired.standard_error < apart


def test_p_values_are_uniform_without_a_difference():
  rng = np.random.default_rng(1)
  track = np.repeat(np.arange(40), 3)
  labels = track < 20
  p_values = []
  for _ in range(300):
    shared = rng.normal(size=40)[track] + labels
    scores = shared + rng.normal(size=(2, 120))
    estimate = intervals.clustered_auc(scores, labels, track)
    p_values.append(comparisons.compare(estimate).p_value)
  assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_edges():
  same = comparisons.compare(_estimate([0.7, 0.7], np.full((2, 2), 0.01)))
  assert (same.difference, same.p_value) == (0, 1)
  none = comparisons.compare(_estimate([1.0, 0.5], np.zeros((2, 2))))
  assert math.isnan(none.p_value)
  with pytest.raises(ValueError, match="sum to 0"):
    comparisons.compare(_estimate([0.7, 0.7], np.eye(2)), [1, 1])


def test_holm_by_hand():
  # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 -> 0.06.
  adjusted = comparisons.holm([0.01, 0.04, 0.03, 0.005])
  np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, 0.02])
  np.testing.assert_allclose(comparisons.holm([0.9, 0.6]), [1, 1])
  assert comparisons.holm([]).size == 0
  for bad in ([0.1, np.nan], [1.1], [-0.1]):
    with pytest.raises(ValueError, match="lie in"):
      comparisons.holm(bad)


def test_rank_correlations_of_hand_made_rows():
  def rows(method, model, scores):
    return [
      {"method": method, "model": model, "clip": str(i), "calibrated": False}
      | {"score": score}
      for i, score in enumerate(scores)
    ]

  found = comparisons.rank_correlations(
    rows("probe", "A", [1.0, 2.0, 3.0, 4.0])
    + rows("same", "A", [0.1, 0.2, 30.0, 40.0])
    + rows("reverse", "A", [4.0, 3.0, 2.0, 1.0])
    # d^2 = 0, 1, 1, 0: rho = 1 - 6 * 2 / (4 * 15).
    + rows("swapped", "A", [1.0, 3.0, 2.0, 4.0])
    + rows("probe", "reference", [1.0, 2.0, 3.0])
    + rows("same", "reference", [1.0, 2.0, 3.0])
    + rows("few", "A", [1.0, 2.0]),
    "probe",
  )
  assert found == {
    ("reverse", "A"): pytest.approx(-1.0),
    ("same", "A"): pytest.approx(1.0),
    ("swapped", "A"): pytest.approx(0.8),
  }
