import itertools

import numpy as np
import pytest
from toy import alike_clips

from lsaprobe_jax.metrics import bootstrap, intervals, roc


@pytest.mark.parametrize("few", [0, 200])
@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_bootstrap_equals_a_naive_loop(decimals, few, monkeypatch):
  """Over the same resamples, where cuts are bisected and where all are compared."""
  monkeypatch.setattr(bootstrap, "_FEW", few)
  scores, labels, track, side = alike_clips(np.random.default_rng(7), tracks=6)
  scores = np.round(scores, decimals)
  used = np.ones_like(labels)
  used[1, [0, 5, 30]] = False
  targets = (0.0, 0.05, 0.29, 1.0)
  replicates = bootstrap.resample(
    scores, labels, track, side, targets, used=used, resamples=270, seed=5
  )
  group = np.array([side[track == t][0] for t in np.unique(track)]).astype(int)
  for block, weights in bootstrap._weights(group, 270, 5):
    assert (weights[group == 0].sum(axis=0) == 6).all()
    assert (weights[group == 1].sum(axis=0) == 6).all()
    for b, r in itertools.product(range(block.start, block.stop, 9), range(2)):
      times = weights[track, b - block.start].astype(int) * used[r]
      s, y = np.repeat(scores[r], times), np.repeat(labels[r], times)
      assert replicates.auc[r, b] == pytest.approx(roc.auc(s, y))
      expected = [roc.tpr_at_fpr(s, y, target).tpr for target in targets]
      np.testing.assert_allclose(replicates.tpr[r, :, b], expected)


def test_bootstrap_agrees_with_obuchowski_and_with_itself():
  scores, labels, track, side = alike_clips(np.random.default_rng(8), tracks=30)
  replicates = bootstrap.resample(scores, labels, track, side, [0.05], resamples=2000)
  spread = replicates.auc.mean(axis=0).std()
  estimate = intervals.clustered_auc(scores, labels, track)
  _, error, _ = intervals.standard_error(estimate, [0.5, 0.5])
  assert spread == pytest.approx(error, rel=0.1)
  fewer = bootstrap.resample(scores, labels, track, side, [0.05], resamples=300)
  np.testing.assert_array_equal(fewer.auc, replicates.auc[:, :300])
  other = bootstrap.resample(scores, labels, track, side, [0.05], resamples=300, seed=1)
  assert (other.auc != fewer.auc).any()


def test_bootstrap_refuses_a_track_on_two_sides():
  with pytest.raises(ValueError, match="two groups"):
    bootstrap.resample(
      [[1, 2, 3]], [True, False, False], ["x", "y", "x"], ["a", "b", "b"], [0.1]
    )


def test_percentiles_set_empty_resamples_aside():
  low, high = bootstrap.percentile_ci([np.nan, *np.arange(101)])
  assert (low, high) == pytest.approx((2.5, 97.5))
  assert np.isnan(bootstrap.percentile_ci([np.nan])).all()
