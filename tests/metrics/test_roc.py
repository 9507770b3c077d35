import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics

from lsaprobe_jax.metrics import roc

settings.register_profile("fast", max_examples=100, deadline=None)
settings.load_profile("fast")

# Small integers: ties within and between the classes are the rule.
_clips = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40)
both_classes = _clips.filter(lambda clips: len({label for _, label in clips}) == 2)
targets = st.one_of(st.sampled_from([0, 0.001, 0.01, 0.05, 0.5, 1]), st.floats(0, 1))


@given(both_classes)
def test_curve_and_auc_agree_with_scikit_learn(clips):
  scores, labels = map(np.array, zip(*clips, strict=True))
  curve = roc.roc_curve(scores, labels)
  fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
  np.testing.assert_allclose(curve.fpr, fpr)
  np.testing.assert_allclose(curve.tpr, tpr)
  np.testing.assert_array_equal(curve.thresholds, thresholds)
  np.testing.assert_allclose(
    roc.auc(scores, labels), metrics.roc_auc_score(labels, scores)
  )


@given(both_classes, targets)
def test_the_region_is_the_largest_that_meets_the_target(clips, target):
  scores, labels = map(np.array, zip(*clips, strict=True))
  point = roc.tpr_at_fpr(scores, labels, target)
  assert point.fpr_realised <= target
  curve = roc.roc_curve(scores, labels)
  best = np.flatnonzero(curve.fpr <= target)[-1]
  assert point.tpr == pytest.approx(curve.tpr[best])
  assert point.fpr_realised == pytest.approx(curve.fpr[best])
  assert point.threshold == curve.thresholds[best]
  accepted = scores >= point.threshold
  assert point.false_positives == (accepted & ~labels).sum()
  assert point.ties == (scores == point.threshold).sum()


@given(st.floats(0, 1), st.integers(1, 3000))
def test_most_false_positives_is_exact(target, n):
  k = int(roc.most_false_positives(target, n))
  assert k / n <= target
  assert k == n or (k + 1) / n > target


def test_most_false_positives_where_the_product_rounds_down():
  assert 0.29 * 100 < 29
  assert roc.most_false_positives(0.29, 100) == 29


def test_operating_point_by_hand():
  # Accepting the block of five at 3 would make 3 false positives of 4.
  scores = [9, 5, 5, 4, 4, 3, 3, 3, 3, 3, 1]
  labels = [1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0]
  point = roc.tpr_at_fpr(scores, labels, 0.25)
  assert point == roc.TprAtFpr(
    tpr=4 / 7,
    fpr_realised=0.25,
    false_positives=1,
    threshold=4,
    ties=2,
    ties_below=5,
    expected_false_positives=1,
    flagged=True,
  )
  nothing = roc.tpr_at_fpr([1, 1, 1, 0], [1, 1, 0, 0], 0.01)
  assert nothing.tpr == nothing.ties == 0
  assert nothing.threshold == np.inf
  assert nothing.ties_below == 3


@pytest.mark.parametrize(("n", "flagged"), [(199, True), (200, False)])
def test_flags_fewer_than_ten_expected_false_positives(n, flagged):
  scores, labels = np.arange(n + 5), np.arange(n + 5) >= n
  assert roc.tpr_at_fpr(scores, labels, 0.05).flagged is flagged


@pytest.mark.parametrize(
  ("scores", "labels", "message"),
  [
    ([1, np.nan, np.nan], [1, 0, 1], "2 of 3 scores are NaN"),
    ([1, 2], [1, 1], "2 members, 0 non-members"),
    ([1, 2], [0, 0], "0 members, 2 non-members"),
    ([1, 2, 3], [0, 1], "must both be"),
  ],
)
@pytest.mark.parametrize(
  "statistic", [roc.auc, roc.roc_curve, lambda s, y: roc.tpr_at_fpr(s, y, 0.1)]
)
def test_refuses_bad_scores(statistic, scores, labels, message):
  with pytest.raises(ValueError, match=message):
    statistic(scores, labels)


def test_refuses_a_target_that_is_no_rate():
  with pytest.raises(ValueError, match="got 5"):
    roc.tpr_at_fpr([1, 2], [1, 0], 5)


@given(st.lists(st.integers(-4, 4), max_size=40), targets)
def test_the_cutoff_is_the_smallest_that_meets_the_target(development, target):
  scores = np.array(development, float)
  cut = roc.cutoff(scores, target)
  # One more score may be that which lies above it.
  count = scores.size + 1
  rate = lambda cut: (np.sum(scores > cut) + 1) / count
  if not roc.estimable(target, scores.size):
    assert cut is None
    return
  assert cut == -np.inf or rate(cut) <= target + 1e-12
  # The next lower distinct score, or everything, would break it.
  lower = max(scores[scores < cut], default=-np.inf)
  assert cut == -np.inf or rate(lower) > target
  assert cut > -np.inf or target > 1 - 1e-9


@pytest.mark.parametrize(("count", "target"), [(20, 0.05), (30, 0.05), (21, 0.2)])
def test_a_cutoff_is_exceeded_no_more_often_than_it_says(count, target):
  # With the plain quantile it would be 9.5%, 6.5% and 22.7%.
  drawn = np.random.default_rng(0).normal(size=(20_000, count + 1))
  cuts = np.array([roc.cutoff(row, target) for row in drawn[:, 1:]])
  rate = np.mean(drawn[:, 0] > cuts)
  assert target - 1 / (count + 1) < rate < target + 0.005


def test_a_calibrated_point_by_hand():
  # At 40% one of the five may lie above: the cut is the second highest, 3.
  cut = roc.cutoff([1.0, 3.0, 2.0, 7.0], 0.4)
  assert cut == 3
  assert roc.cutoff([1.0, 3.0, 2.0, 7.0], 0.39) == 7
  assert roc.cutoff([1.0, 3.0, 2.0, 7.0], 0.19) is None
  # A tie with the cut is rejected; two of three non-members lie above: 67%, not 25%.
  point = roc.at_cutoff([3, 4, 5, 4, 9, 1], [1, 1, 1, 0, 0, 0], cut)
  assert point == pytest.approx((2 / 3, 2 / 3))
  with pytest.raises(ValueError, match="1 development scores are NaN"):
    roc.cutoff([1.0, np.nan], 0.5)


@pytest.mark.parametrize(("accepted", "count"), [(0, 25), (25, 25), (3, 25), (1, 1)])
def test_bounds_of_a_share_are_scipys(accepted, count):
  exact = binomtest(accepted, count).proportion_ci(method="exact")
  assert roc.tpr_bounds(accepted / count, count) == pytest.approx(tuple(exact))


def test_bounds_of_a_share_move_between_whole_counts():
  lows, highs = zip(*(roc.tpr_bounds(k / 20, 10) for k in range(21)), strict=True)
  assert np.all(np.diff(lows) > 0)
  assert np.all(np.diff(highs[:-1]) > 0)


@given(both_classes, st.integers(-5, 5))
def test_precision_at_the_clips_own_base_rate_is_scikit_learns(clips, cut):
  scores, labels = map(np.array, zip(*clips, strict=True))
  tpr, fpr = roc.at_cutoff(scores, labels, cut)
  ours = roc.precision(tpr, fpr, labels.mean())
  theirs = metrics.precision_score(labels, scores > cut, zero_division=np.nan)
  assert ours == pytest.approx(theirs, nan_ok=True)


def test_precision_by_hand():
  # Ten of 1,000 clips are members: 5 are found, with 1% of 990 that are none.
  assert roc.precision(0.5, 0.01, 0.01) == pytest.approx(5 / (5 + 9.9))
  assert roc.precision(0.5, 0.0, 0.01) == 1
  with pytest.raises(ValueError, match="base rate lies in"):
    roc.precision(0.5, 0.01, 10)
