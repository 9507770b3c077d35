"""A bootstrap of whole tracks, stratified by side, of AUC and TPR.

It takes k rows of scores at once, as `intervals` does, all under the same resamples.
"""

import functools
import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from lsaprobe_jax.metrics import roc
from lsaprobe_jax.metrics.intervals import Interval, cluster_codes, score_rows

_BLOCK = 250
"""Resamples that share one random stream: bounds the memory, fixes the draws."""

# As many entries of a column are compared faster than they are bisected.
_FEW = 200

# Weights of tracks, over all resamples, that are kept: 64 MiB.
_REMEMBERED = 2**24


class Replicates(NamedTuple):
  """Bootstrap replicates, the same resamples of tracks in every row.

  Attributes:
    auc: [k, resamples]; NaN where a resample left one class empty.
    tpr: [k, targets, resamples], likewise.
  """

  auc: np.ndarray
  tpr: np.ndarray


def resample(
  scores, labels, clusters, groups, targets, *, used=None, resamples=10_000, seed=0
) -> Replicates:
  """Replicates of AUC and TPR under resampling of whole tracks within each side.

  A resample is a weight per track, the number of times it was drawn, the same for
  every row: differences and cross-over means of rows are therefore paired. Scores
  are sorted once; the counts of a resample are cumulative sums of weights. The
  target FPR is met by the realised FPR of the resample, as in `roc.tpr_at_fpr`.

  Args:
    scores: [k, n] higher = member; may be NaN where not used.
    labels: [k, n] or [n] True for members; rows may differ (cross-over).
    clusters: [n] track of each clip.
    groups: [n] side of each clip; a track lies in one. Each side keeps its number
      of tracks in every resample.
    targets: false-positive rates in [0, 1].
    used: [k, n] or [n] False for clips that a row lacks; all used by default.
    resamples: number of replicates.
    seed: the draws depend on it and on the tracks alone.

  Returns:
    Replicates for all k rows.

  Raises:
    ValueError: as `clustered_auc`, or where a track lies in two groups.
  """
  scores, labels, used = score_rows(scores, labels, used)
  cluster = cluster_codes(clusters, scores.shape[1])
  group = _group_of_cluster(cluster, cluster_codes(groups, scores.shape[1]))
  rows = [
    _sort(row[use], label[use], cluster[use])
    for row, label, use in zip(scores, labels, used, strict=True)
  ]
  aucs = np.empty((len(rows), resamples))
  tprs = np.empty((len(rows), len(targets), resamples))
  for block, weights in _drawn(group, resamples, seed):
    for r, row in enumerate(rows):
      aucs[r, block], tprs[r, :, block] = _replicate(row, weights, targets)
  return Replicates(aucs, tprs)


def percentile_ci(replicates, confidence=0.95) -> Interval:
  """Percentile interval of replicates.

  Args:
    replicates: [resamples] values; NaN (a class left empty) is set aside, so that
      the interval is conditional on both classes being there.
    confidence: coverage asked for, in (0, 1).

  Returns:
    Lower and upper percentile; NaN, NaN where all replicates are NaN.
  """
  values = np.asarray(replicates, float)
  values = values[~np.isnan(values)]
  if values.size == 0:
    return math.nan, math.nan
  tail = (1 - confidence) / 2
  low, high = np.quantile(values, [tail, 1 - tail])
  return float(low), float(high)


class _Sorted(NamedTuple):
  """One row, sorted once: its members, and its non-members by distinct score."""

  member_cluster: np.ndarray  # [m] from the highest score down
  nonmember_cluster: np.ndarray  # [n] likewise
  starts: np.ndarray  # [d] first non-member of each distinct score
  above: np.ndarray  # [d] members strictly above that score
  not_below: np.ndarray  # [d] members at or above it


def _sort(scores, labels, cluster) -> _Sorted:
  scores, labels = roc.check_scores(scores, labels)
  down = np.argsort(-scores, kind="stable")
  scores, labels, cluster = scores[down], labels[down], cluster[down]
  distinct, starts = np.unique(-scores[~labels], return_index=True)
  return _Sorted(
    member_cluster=cluster[labels],
    nonmember_cluster=cluster[~labels],
    starts=starts,
    above=np.searchsorted(-scores[labels], distinct, side="left"),
    not_below=np.searchsorted(-scores[labels], distinct, side="right"),
  )


def _drawn(group, resamples, seed) -> Iterable[tuple[slice, np.ndarray]]:
  """`_weights`, remembered where they are small: all methods of a study share them."""
  if group.size * resamples > _REMEMBERED:
    return _weights(group, resamples, seed)
  return _remembered(tuple(group.tolist()), resamples, seed)


@functools.lru_cache(maxsize=2)
def _remembered(group, resamples, seed) -> list[tuple[slice, np.ndarray]]:
  return list(_weights(np.array(group), resamples, seed))


def _weights(group, resamples, seed) -> Iterator[tuple[slice, np.ndarray]]:
  """Blocks of resamples, with [clusters, block] times each cluster was drawn."""
  for start in range(0, resamples, _BLOCK):
    size = min(_BLOCK, resamples - start)
    rng = np.random.default_rng([seed, start])
    # Whole numbers far below 2^24: float32 holds them exactly, their sums over clips
    # too, and sums over pairs of up to 4,000 members and non-members.
    weights = np.zeros((group.size, size), np.float32)
    for g in np.unique(group):
      tracks = np.flatnonzero(group == g)
      drawn = rng.integers(tracks.size, size=(_BLOCK, tracks.size))[:size]
      drawn += tracks.size * np.arange(size)[:, None]
      counts = np.bincount(drawn.ravel(), minlength=size * tracks.size)
      weights[tracks] = counts.reshape(size, tracks.size).T
    yield slice(start, start + size), weights


def _replicate(row: _Sorted, weights, targets) -> tuple[np.ndarray, np.ndarray]:
  """AUC [resamples] and TPR [targets, resamples] under weights of clusters."""
  resamples = weights.shape[1]
  # [m + 1, resamples]: members accepted when the first 0, 1, ... of them are.
  accepted = np.zeros((row.member_cluster.size + 1, resamples), np.float32)
  _running_sum(weights[row.member_cluster], out=accepted[1:])
  nonmember = weights[row.nonmember_cluster]
  if row.starts.size < row.nonmember_cluster.size:
    nonmember = np.add.reduceat(nonmember, row.starts, axis=0)
  false = _running_sum(nonmember)
  won = np.einsum("dr,dr->r", nonmember, accepted[row.above])
  if np.any(row.above != row.not_below):
    won = (won + np.einsum("dr,dr->r", nonmember, accepted[row.not_below])) / 2
  members, nonmembers = accepted[-1].astype(float), false[-1].astype(float)
  column = np.arange(resamples)
  cuts = np.append(row.above, row.member_cluster.size)
  tpr = np.empty((len(targets), resamples))
  limits = [roc.most_false_positives(target, nonmembers) for target in targets]
  with np.errstate(divide="ignore", invalid="ignore"):
    auc = won / (members * nonmembers)
    for i, limit in enumerate(limits):
      # With few non-members, small targets allow no false positive alike.
      if i and np.array_equal(limit, limits[i - 1]):
        tpr[i] = tpr[i - 1]
      else:
        tpr[i] = accepted[cuts[_count_at_most(false, limit)], column] / members
  tpr[:, (members == 0) | (nonmembers == 0)] = np.nan
  return auc, tpr


def _running_sum(weights, out=None) -> np.ndarray:
  """Cumulative sums of whole numbers down the columns of [n, c].

  Of few rows a product with a triangle of ones has them several times faster, and as
  exactly: no sum comes near 2^24.
  """
  if len(weights) > _FEW:
    return np.cumsum(weights, axis=0, out=out)
  return np.matmul(_triangle(len(weights)), weights, out=out)


@functools.lru_cache(maxsize=_FEW)
def _triangle(size: int) -> np.ndarray:
  return np.tri(size, dtype=np.float32)


def _count_at_most(rising, limit) -> np.ndarray:
  """Per column of rising [d, c], how many entries are <= limit [c].

  Few are all compared, which is faster than the steps of a bisection.
  """
  if len(rising) <= _FEW:
    return np.count_nonzero(rising <= limit, axis=0)
  low = np.zeros(limit.size, np.int64)
  high = np.full(limit.size, len(rising))
  column = np.arange(limit.size)
  for _ in range(len(rising).bit_length()):
    middle = (low + high) // 2
    fits = rising[np.minimum(middle, len(rising) - 1), column] <= limit
    fits &= middle < high
    low, high = np.where(fits, middle + 1, low), np.where(fits, high, middle)
  return low


def _group_of_cluster(cluster, group) -> np.ndarray:
  pairs = np.unique(np.stack([cluster, group]), axis=1)
  if pairs.shape[1] > cluster.max() + 1:
    raise ValueError("a track lies in two groups: the split is not by track")
  return pairs[1]
