"""ROC curve, AUC and the true-positive rate at a target false-positive rate.

Scores follow one convention throughout: higher means member. Ties are never
broken by order: equal scores are accepted or rejected together.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import beta, rankdata

FEW_FALSE_POSITIVES = 10
"""A target FPR is flagged where fewer false positives than this are expected."""


class RocCurve(NamedTuple):
  """Empirical ROC curve, one point per distinct score and one for 'accept none'.

  Attributes:
    fpr: [points] realised false-positive rates, from 0 up to 1.
    tpr: [points] true-positive rates, from 0 up to 1.
    thresholds: [points] a clip is accepted where score >= threshold; from +inf
      down to the smallest score.
  """

  fpr: np.ndarray
  tpr: np.ndarray
  thresholds: np.ndarray


class TprAtFpr(NamedTuple):
  """One operating point, cut on the test ROC (`tpr_roc`; docs/evaluation.md, rule 2).

  Attributes:
    tpr: share of the members accepted.
    fpr_realised: share of the non-members accepted, at most the target.
    false_positives: number of non-members accepted.
    threshold: smallest accepted score; +inf where nothing is accepted.
    ties: clips (of both classes) whose score is the threshold: 1 is no tie, 0
      means that nothing is accepted.
    ties_below: clips that share the best rejected score. Accepting them together
      would break the target, so a large block here explains a low TPR; 0 where
      everything is accepted.
    expected_false_positives: target times the number of non-members.
    flagged: whether fewer than `FEW_FALSE_POSITIVES` were expected.
  """

  tpr: float
  fpr_realised: float
  false_positives: int
  threshold: float
  ties: int
  ties_below: int
  expected_false_positives: float
  flagged: bool


class DevelopmentCutoff(NamedTuple):
  """One operating point, cut beforehand (`tpr_dev_cutoff`; docs/evaluation.md, rule 2).

  Attributes:
    tpr: share of the members accepted.
    fpr_realised: share of the test non-members accepted; may exceed the target.
  """

  tpr: float
  fpr_realised: float


def check_scores(scores, labels) -> tuple[np.ndarray, np.ndarray]:
  """Validates one set of scores.

  Args:
    scores: [n] real numbers, higher = member; infinities are ranked as such.
    labels: [n] True for members.

  Returns:
    `scores` as float64 and `labels` as bool.

  Raises:
    ValueError: on shapes that differ, on NaN (with how many), on an empty class.
  """
  scores = np.asarray(scores, np.float64)
  labels = np.asarray(labels).astype(bool)
  if scores.ndim != 1 or scores.shape != labels.shape:
    raise ValueError(
      f"scores {scores.shape} and labels {labels.shape} must both be [n]"
    )
  if missing := int(np.isnan(scores).sum()):
    raise ValueError(f"{missing} of {scores.size} scores are NaN")
  members = int(labels.sum())
  if members in (0, labels.size):
    raise ValueError(
      f"both classes are needed: {members} members, {labels.size - members} non-members"
    )
  return scores, labels


def roc_curve(scores, labels) -> RocCurve:
  """Every operating point of the scores (Fawcett 2006, algorithm 1).

  Args:
    scores: [n] higher = member.
    labels: [n] True for members.

  Returns:
    The curve, all distinct thresholds kept (none is dropped as collinear).

  Raises:
    ValueError: see `check_scores`.
  """
  scores, labels = check_scores(scores, labels)
  thresholds, block = np.unique(-scores, return_inverse=True)
  true_positives = np.cumsum(np.bincount(block, labels))
  false_positives = np.cumsum(np.bincount(block, ~labels))
  return RocCurve(
    fpr=np.append(0.0, false_positives / false_positives[-1]),
    tpr=np.append(0.0, true_positives / true_positives[-1]),
    thresholds=np.append(np.inf, -thresholds),
  )


def auc(scores, labels) -> float:
  """Mann-Whitney estimate of P(member > non-member), ties counted one half.

  Args:
    scores: [n] higher = member.
    labels: [n] True for members.

  Returns:
    The area under the empirical ROC curve, in [0, 1].

  Raises:
    ValueError: see `check_scores`.
  """
  scores, labels = check_scores(scores, labels)
  m = int(labels.sum())
  n = labels.size - m
  return float((rankdata(scores)[labels].sum() - m * (m + 1) / 2) / (m * n))


def most_false_positives(target: float, n_nonmember):
  """Largest count k with `k / n_nonmember <= target`, in floating point.

  A floor of the product alone would lose one at, say, 0.29 * 100.

  Args:
    target: false-positive rate in [0, 1].
    n_nonmember: number of non-members, or an array of such numbers.

  Returns:
    Integer count(s), at most `n_nonmember`.

  Raises:
    ValueError: where the target is not in [0, 1].
  """
  if not 0 <= target <= 1:
    raise ValueError(f"a target FPR lies in [0, 1], got {target}")
  n_nonmember = np.asarray(n_nonmember, np.int64)
  k = np.floor(target * n_nonmember).astype(np.int64)
  k = k + ((k + 1) / np.maximum(n_nonmember, 1) <= target)
  return k - (k / np.maximum(n_nonmember, 1) > target)


def estimable(target: float, n_nonmember: int) -> bool:
  """Whether n non-members can say anything of a rate as low as the target.

  A cut above all of them is passed by one non-member in n + 1 (as ranks go), so that a
  target below 1 / (n + 1) is out of their reach: a TPR cut there is one at 1 / (n + 1).

  Args:
    target: false-positive rate in [0, 1].
    n_nonmember: number of non-members.
  """
  return target * (n_nonmember + 1) >= 1 - 1e-12


def few_expected(target: float, n_nonmember: int) -> bool:
  """Whether fewer than `FEW_FALSE_POSITIVES` of n non-members are expected to pass.

  Args:
    target: false-positive rate in [0, 1].
    n_nonmember: number of independent non-members.
  """
  # 0.1 * 100 must not be few for a rounding in the last bit.
  return bool(target * n_nonmember < FEW_FALSE_POSITIVES * (1 - 1e-12))


def tpr_at_fpr(scores, labels, target: float) -> TprAtFpr:
  """True-positive rate of the largest region whose realised FPR is <= target.

  The region is `score > v` with v the first non-member score, from the top, that
  would break the target: all clips above it are in, and nothing is interpolated.

  Args:
    scores: [n] higher = member.
    labels: [n] True for members.
    target: false-positive rate in [0, 1].

  Returns:
    The operating point with what is needed to judge it.

  Raises:
    ValueError: see `check_scores`, or where the target is not in [0, 1].
  """
  scores, labels = check_scores(scores, labels)
  nonmember = np.sort(scores[~labels])[::-1]
  allowed = int(most_false_positives(target, nonmember.size))
  if allowed < nonmember.size:
    accepted = scores > nonmember[allowed]
  else:
    accepted = np.ones_like(labels)
  false_positives = int((accepted & ~labels).sum())
  threshold = float(scores[accepted].min(initial=np.inf))
  rejected = scores[~accepted]
  expected = target * nonmember.size
  return TprAtFpr(
    tpr=float(accepted[labels].mean()),
    fpr_realised=false_positives / nonmember.size,
    false_positives=false_positives,
    threshold=threshold,
    ties=int((accepted & (scores == threshold)).sum()),
    ties_below=int((rejected == rejected.max()).sum()) if rejected.size else 0,
    expected_false_positives=expected,
    flagged=few_expected(target, nonmember.size),
  )


def cutoff(development, target: float) -> float | None:
  """Score that one more non-member exceeds with at most the target probability.

  The (1 - target) quantile as split conformal prediction takes it (Vovk et al. 2005):
  one more score is as likely to have any rank among the n + 1, so that it lies above
  the k-th highest of the n with a probability of k / (n + 1). The plain quantile of n
  scores is exceeded more often than its target says: with 20 at 5%, by 2 in 21.
  Scores have to be independent: of several clips of a track give the highest, above
  which one clip of another track lies no more often than its own highest does.

  Args:
    development: [n] scores of non-members that are not judged; may be empty.
    target: false-positive rate in [0, 1].

  Returns:
    The smallest such v among the scores, or -inf; None where none is high enough
    (`estimable`).

  Raises:
    ValueError: where a score is NaN, or the target is not in [0, 1].
  """
  down = -np.sort(-np.asarray(development, np.float64))
  if np.isnan(down).any():
    raise ValueError(f"{int(np.isnan(down).sum())} development scores are NaN")
  if not estimable(target, down.size):
    return None
  rank = max(int(most_false_positives(target, down.size + 1)), 1)
  return float(down[rank - 1]) if rank <= down.size else -np.inf


def at_cutoff(scores, labels, cut: float) -> DevelopmentCutoff:
  """Both rates of accepting `score > cut`, for a cut that was fixed beforehand.

  Args:
    scores: [n] higher = member.
    labels: [n] True for members.
    cut: see `cutoff`.

  Raises:
    ValueError: see `check_scores`.
  """
  scores, labels = check_scores(scores, labels)
  accepted = scores > cut
  return DevelopmentCutoff(
    float(accepted[labels].mean()), float(accepted[~labels].mean())
  )


def tpr_bounds(tpr: float, n_member: int, confidence=0.95) -> tuple[float, float]:
  """Interval of a share of independent members (Clopper and Pearson 1934).

  Args:
    tpr: share accepted, in [0, 1]; of tracks it may be no whole number of them.
    n_member: members in all, at least 1.
    confidence: coverage asked for, in (0, 1).
  """
  accepted, tail = tpr * n_member, (1 - confidence) / 2
  low = beta.ppf(tail, accepted, n_member - accepted + 1) if accepted else 0.0
  rest = n_member - accepted
  high = beta.ppf(1 - tail, accepted + 1, rest) if rest > 0 else 1.0
  return float(low), float(high)


def precision(tpr: float, fpr: float, base_rate: float) -> float:
  """Share of true members among the accepted, by Bayes' rule.

  `b TPR / (b TPR + (1 - b) FPR)`. Of few non-members a realised FPR, above all one of
  0, says little: give `fpr_bound` to say 'at least'.

  Args:
    tpr: true-positive rate in [0, 1].
    fpr: false-positive rate in [0, 1].
    base_rate: b, share of members among all that are judged, in [0, 1].

  Returns:
    The precision; NaN where nothing is accepted.

  Raises:
    ValueError: where a rate is not in [0, 1].
  """
  for name, rate in (("TPR", tpr), ("FPR", fpr), ("base rate", base_rate)):
    if not 0 <= rate <= 1:
      raise ValueError(f"a {name} lies in [0, 1], got {rate}")
  true, false = base_rate * tpr, (1 - base_rate) * fpr
  return true / (true + false) if true + false > 0 else float("nan")


def fpr_bound(false_positives: int, n_nonmember: int, confidence=0.95) -> float:
  """Upper bound on the FPR behind a count (Clopper and Pearson 1934, one-sided).

  Clips of one track are taken for independent, which makes it too low where there are
  several of each.

  Args:
    false_positives: non-members accepted.
    n_nonmember: non-members in all, at least 1.
    confidence: coverage asked for, in (0, 1).
  """
  if false_positives == n_nonmember:
    return 1.0
  rest = n_nonmember - false_positives
  return float(beta.ppf(confidence, false_positives + 1, rest))
