"""Tests of membership from versions of the same track: no other music is needed.

A track is scored as given and in `k` other versions that no training set holds: its
twins (polarity, reversal, phase), or in a canary audit the versions that were held back
when one was published. Without training, which version is the one given is a matter of
chance. The p-value asks in how many of all ways to call some version of each track the
given one the statistic is at least as large as observed. A track's difference is the
score of the version called given less the mean of the others, and the statistic is the
weighted mean of the differences. With one other version this is the sign-flip test.

Tracks of one album may lean together, as they share voices and mastering. Albums are
therefore blocks, and a block calls the same version the given one for all its tracks.
Tracks without an album are blocks of one.
"""

import dataclasses
import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from lsaprobe_jax.metrics import intervals, permutation

# Differences of the same scores in another order differ by rounding.
_ROUNDING = 1e-9
# With fewer differences the signed-rank test has no p-value below 0.05.
_FEW_RANKS = 5


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrackVersions:
  """Scores of tracks in several versions.

  Attributes:
    scores: [n, 1 + k] of n tracks, as given in column 0 and in k other versions behind
      it, each column one kind of version; higher = member.
    weights: [n] how much each track counts, as its number of clips; all alike by
      default.
    blocks: [n] album of each track, None where it is not known; None for no album.
    randomised: whether the version given was drawn at random among the 1 + k, for each
      track or each block, as in a canary audit. The p-value then rests on this draw
      alone.

  Raises:
    ValueError: shapes differ, there is no track or no other version, a score is not
      finite, or a weight is not above 0.
  """

  scores: np.ndarray
  weights: np.ndarray | None = None
  blocks: Sequence[Hashable | None] | None = None
  randomised: bool = False

  def __post_init__(self):
    scores = np.asarray(self.scores, float)
    if scores.ndim != 2 or scores.shape[0] < 1 or scores.shape[1] < 2:
      raise ValueError(
        f"scores {scores.shape} must be [n, 1 + k]: of a track or more, as given and in"
        " another version or more"
      )
    count = len(scores)
    weights = np.ones(count) if self.weights is None else self.weights
    weights = np.asarray(weights, float)
    if weights.shape != (count,):
      raise ValueError(f"weights {weights.shape} for {count} tracks")
    if not np.isfinite(scores).all():
      raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite")
    if not (np.isfinite(weights) & (weights > 0)).all():
      raise ValueError("weights must be finite and above 0")
    blocks = [None] * count if self.blocks is None else list(self.blocks)
    if len(blocks) != count:
      raise ValueError(f"{len(blocks)} blocks for {count} tracks")
    for name, value in (("scores", scores), ("weights", weights), ("blocks", blocks)):
      object.__setattr__(self, name, value)

  @property
  def versions(self) -> int:
    """1 + k, the version given among them."""
    return self.scores.shape[1]

  @property
  def by_version(self) -> np.ndarray:
    """[n, 1 + k] each version's score less the mean of the track's others."""
    others = self.scores.sum(axis=1, keepdims=True) - self.scores
    return self.scores - others / (self.versions - 1)

  @property
  def differences(self) -> np.ndarray:
    """[n] score as given less the mean of the other versions."""
    return self.by_version[:, 0]

  @property
  def block(self) -> np.ndarray:
    """[n] number of each track's block."""
    return block_numbers(self.blocks)

  @property
  def contributions(self) -> np.ndarray:
    """[blocks, 1 + k] what blocks add to the statistic, by the version called given."""
    block = self.block
    found = np.zeros((block.max() + 1, self.versions))
    np.add.at(found, block, self.weights[:, None] * self.by_version)
    return found / self.weights.sum()

  def lowest(self, permutations: int, two_sided: bool = False) -> float:
    """The smallest p-value that `p_value` can give with so many permutations."""
    blocks = int(self.block.max()) + 1
    return lowest(blocks, self.versions, permutations, two_sided)


class VersionTest(NamedTuple):
  """Tracks as given against their own other versions.

  Attributes:
    tracks: number of tracks.
    blocks: number of blocks.
    versions: number of versions of a track, 1 + k.
    difference: weighted mean over tracks of the score as given less the mean of the
      others; positive is the side of membership.
    effect: the same over its standard error and over the root of the number of blocks.
      Where blocks weigh alike this is the mean in standard deviations of the blocks'
      differences. Infinite where these do not vary, NaN of one block.
    ci: interval of the difference by blocks, by Student's t; NaN of one block.
    p_value: the chance of a difference at least so large if each block's versions could
      be exchanged.
    exact: whether all ways were counted.
    lowest: the smallest p-value that was possible.
    two_sided: whether the given versions may also score below the others.
    p_wilcoxon: by the signed-rank test of tracks, on the same side or sides: the cheap
      form, without weights. NaN where a block holds several tracks, where fewer than
      five differences are not 0, and with several other versions: the differences of
      exchangeable versions are then not symmetric, which this test needs.
    assumes: what the p-value rests on, in a sentence.
  """

  tracks: int
  blocks: int
  versions: int
  difference: float
  effect: float
  ci: intervals.Interval
  p_value: float
  exact: bool
  lowest: float
  two_sided: bool
  p_wilcoxon: float
  assumes: str


class ClipsTest(NamedTuple):
  """The clips of one track as given against their other versions.

  Attributes:
    clips: number of clips.
    difference: mean over clips of the score as given less the mean of the others.
    p_value: by choosing each clip's version independently, which takes the clips of the
      track for independent of each other.
    exact: whether all ways were counted.
    lowest: the smallest p-value that was possible.
  """

  clips: int
  difference: float
  p_value: float
  exact: bool
  lowest: float


def block_numbers(blocks: Sequence[Hashable | None]) -> np.ndarray:
  """Numbers from 0 for albums in the order met; each None is a block of its own."""
  names = [(i, None) if name is None else (-1, name) for i, name in enumerate(blocks)]
  number = {name: i for i, name in enumerate(dict.fromkeys(names))}
  return np.array([number[name] for name in names], int)


def lowest(blocks: int, versions: int, permutations: int, two_sided: bool) -> float:
  """The smallest p-value that so many blocks of so many versions can give."""
  ways = versions**blocks
  if ways > permutations:
    return 1 / (permutations + 1)
  # With one other version the opposite of all choices has the same size.
  return (2 if two_sided and versions == 2 else 1) / ways


def ways_to_choose(
  blocks: int, versions: int, permutations: int, seed: int
) -> tuple[np.ndarray, bool]:
  """Ways to call one version of each block the given one.

  Args:
    blocks: number of blocks.
    versions: of each, 1 + k; version 0 is the one given.
    permutations: at most so many ways.
    seed: seed of the draws, where there are more ways than that.

  Returns:
    (int [blocks, ways], whether these are all ways, the observed one among them).
  """
  if versions**blocks <= permutations:
    return np.indices((versions,) * blocks).reshape(blocks, -1), True
  rng, small = np.random.default_rng(seed), np.min_scalar_type(versions)
  return rng.integers(versions, size=(blocks, permutations), dtype=small), False


def p_value(
  tracks: TrackVersions, *, permutations: int, seed: int, two_sided: bool = False
) -> float:
  """p-value of given versions that score above the others.

  Where there are no more ways than `permutations` all are taken and p is exact.
  Otherwise so many are drawn and the observed one is counted in (Phipson and Smyth
  2010), so that p is never 0. Ties count against the versions given.

  Args:
    tracks: scores of tracks in their versions.
    permutations: see above.
    seed: seed of the draws.
    two_sided: takes the size of the difference. A master of inverted polarity scores
      below its polarity twin if it was trained on the right way round, so that polarity
      alone is read on both sides.
  """
  own = tracks.contributions
  chosen, exact = ways_to_choose(*own.shape, permutations, seed)
  observed = own[:, 0].sum(keepdims=True)
  # Block by block, as [blocks, ways] of floats may be large.
  drawn = np.zeros(chosen.shape[1])
  for values, version in zip(own, chosen, strict=True):
    drawn += values[version]
  if two_sided:
    observed, drawn = np.abs(observed), np.abs(drawn)
  return float(permutation.at_least(drawn, observed, exact, own.ravel()))


def compare_versions(
  tracks: TrackVersions,
  *,
  permutations: int = 9_999,
  seed: int = 0,
  two_sided: bool = False,
  confidence: float = 0.95,
) -> VersionTest:
  """Tests whether tracks score higher as given than in their other versions.

  Args:
    tracks: scores of tracks in their versions.
    permutations: see `p_value`.
    seed: seed of the draws.
    two_sided: see `p_value`.
    confidence: coverage of the interval, in (0, 1).
  """
  block = tracks.block
  difference, effect, ci = _located(tracks, block, confidence)
  blocks = int(block.max()) + 1
  how = {"permutations": permutations, "two_sided": two_sided}
  return VersionTest(
    tracks=block.size,
    blocks=blocks,
    versions=tracks.versions,
    difference=difference,
    effect=effect,
    ci=ci,
    p_value=p_value(tracks, seed=seed, **how),
    exact=tracks.versions**blocks <= permutations,
    lowest=tracks.lowest(**how),
    two_sided=two_sided,
    p_wilcoxon=_wilcoxon(tracks, blocks, two_sided),
    assumes=_assumption(tracks),
  )


def compare_clips(
  scores, *, permutations: int = 9_999, seed: int = 0, two_sided: bool = False
) -> ClipsTest:
  """Tests one track by its clips, each of which chooses its version by itself.

  Args:
    scores: [clips, 1 + k], see `TrackVersions`.
    permutations: see `p_value`.
    seed: seed of the draws.
    two_sided: see `p_value`.

  Raises:
    ValueError: see `TrackVersions`.
  """
  clips = TrackVersions(scores=scores)
  how = {"permutations": permutations, "two_sided": two_sided}
  return ClipsTest(
    clips=len(clips.scores),
    difference=float(clips.differences.mean()),
    p_value=p_value(clips, seed=seed, **how),
    exact=clips.versions ** len(clips.scores) <= permutations,
    lowest=clips.lowest(**how),
  )


def _located(tracks: TrackVersions, block: np.ndarray, confidence: float):
  """(difference, effect, interval) of tracks in blocks; see `VersionTest`."""
  weights = np.bincount(block, tracks.weights)
  means = np.bincount(block, tracks.weights * tracks.differences) / weights
  shares = weights / weights.sum()
  difference, count = float(shares @ means), means.size
  if count == 1:
    return difference, math.nan, (math.nan, math.nan)
  left = shares * (means - difference)
  error = math.sqrt(float(left @ left) * count / (count - 1))
  half = error * float(stats.t.ppf((1 + confidence) / 2, count - 1))
  scale = _ROUNDING * float(np.abs(means).max())
  if abs(difference) <= scale:
    effect = 0.0
  elif error <= scale:
    effect = math.copysign(math.inf, difference)
  else:
    effect = difference / (error * math.sqrt(count))
  return difference, effect, (difference - half, difference + half)


def _wilcoxon(tracks: TrackVersions, blocks: int, two_sided: bool) -> float:
  differences = tracks.differences
  several = blocks < differences.size or tracks.versions > 2
  if several or np.count_nonzero(differences) < _FEW_RANKS:
    return math.nan
  side = "two-sided" if two_sided else "greater"
  return float(stats.wilcoxon(differences, alternative=side).pvalue)


def _assumption(tracks: TrackVersions) -> str:
  if tracks.randomised:
    return (
      f"The version given was drawn at random among {tracks.versions}, for each block"
      " independently of other blocks."
    )
  return (
    f"Without training, the version given could be exchanged with each of its"
    f" {tracks.versions - 1} others, for all tracks of a block at once and"
    " independently of other blocks: a model that prefers music as it was mastered"
    " breaks this."
  )
