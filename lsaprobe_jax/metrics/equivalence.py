"""What stands beside a test of versions: reference tracks, and what it can find.

A test without reference music (`versions`) rests on versions that the model does not
tell apart without training. Where there is some reference music, its differences
between versions centre the test (`compare_with_reference`), or show that there was
little to centre (`equivalence`). `detectable` says which mean difference the test of
versions finds with this number of blocks.
"""

import functools
import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from lsaprobe_jax.metrics import intervals, permutation, power, versions

_NOISES, _PERMUTATIONS, _SEED = 2_000, 999, 20261127
# With more blocks than this Student's t has the effect of the test of versions to less
# than 2% (measured at 1% and 5%), and needs no simulation.
_LARGE = 400
# Differences of the same scores in another order differ by rounding.
_ROUNDING = 1e-9


class CentredTest(NamedTuple):
  """The suspects' version differences against those of a reference.

  Attributes:
    suspects: the suspects' own test, which uses no reference.
    reference: the reference's own test, two-sided: how far versions differ without
      training.
    difference: mean difference of the suspects less the reference's, each track
      counting once, within albums where these are on both sides.
    effect: the same in standard deviations of tracks (`permutation.effect`).
    p_value: by permutation of suspects and reference, by album where albums are known.
    exact: whether all ways were counted.
    lowest: no p-value can be below this.
    two_sided: whether suspects may also lie below the reference.
    assumes: what the p-value rests on, in a sentence.
  """

  suspects: versions.VersionTest
  reference: versions.VersionTest
  difference: float
  effect: float
  p_value: float
  exact: bool
  lowest: float
  two_sided: bool
  assumes: str


class Equivalence(NamedTuple):
  """Whether the mean difference of a reference is shown to be small.

  Attributes:
    blocks: number of blocks, each of which counts once.
    difference: mean of the blocks' means.
    deviation: their standard deviation.
    effect: difference in standard deviations; infinite where these are 0 and it is not.
    margin: what counts as small, in standard deviations.
    p_value: that the mean lies outside of the margin, by two one-sided t-tests.
    ci: interval of the effect with coverage 1 - 2 alpha.
    shown: whether the mean is shown to lie within the margin, at alpha: the interval
      lies within it.
    lean_shown: whether a mean other than 0 is shown instead: the interval excludes 0,
      which is a two-sided test at 2 alpha. Both can hold of a small lean.
    blocks_needed: blocks that would show it with 80% power if the true mean were 0.
  """

  blocks: int
  difference: float
  deviation: float
  effect: float
  margin: float
  p_value: float
  ci: intervals.Interval
  shown: bool
  lean_shown: bool
  blocks_needed: int


def compare_with_reference(
  suspects: versions.TrackVersions,
  reference: versions.TrackVersions,
  *,
  permutations: int = 9_999,
  seed: int = 0,
  two_sided: bool = False,
) -> CentredTest:
  """Tests the suspects' differences against those of tracks surely not trained on.

  What a model prefers without training, as the natural polarity, is on both sides and
  cancels. Albums are exchanged as `permutation` says: an album of one name on both
  sides is a stratum. Weights count in the tests of each side alone.

  Args:
    suspects: scores of the suspects in their versions.
    reference: scores of the reference in the same versions.
    permutations: see `permutation.p_values`.
    seed: seed of the draws.
    two_sided: takes the size of the difference.

  Raises:
    ValueError: the sides have unlike numbers of versions.
  """
  if suspects.versions != reference.versions:
    raise ValueError(
      f"suspects of {suspects.versions} versions and a reference of"
      f" {reference.versions}: both need the same versions"
    )
  differences = np.concatenate([suspects.differences, reference.differences])
  suspect = np.arange(differences.size) < suspects.differences.size
  design = permutation.design(suspect, [*suspects.blocks, *reference.blocks])
  difference, effect = permutation.effect(design, differences)
  how = {"permutations": permutations, "seed": seed}
  p = permutation.p_values(design, differences, two_sided=two_sided, **how)
  return CentredTest(
    suspects=versions.compare_versions(suspects, two_sided=two_sided, **how),
    reference=versions.compare_versions(reference, two_sided=True, **how),
    difference=difference,
    effect=effect,
    p_value=float(p),
    exact=design.arrangements <= permutations,
    lowest=design.lowest(permutations),
    two_sided=two_sided,
    assumes=(
      "Without training, the suspects' differences between versions could be exchanged"
      " with the reference's, by album where albums are known."
    ),
  )


def equivalence(
  differences,
  blocks: Sequence[Hashable | None] | None = None,
  *,
  margin: float,
  alpha: float = 0.05,
) -> Equivalence:
  """Tests that versions of tracks not trained on score alike, give or take a margin.

  Two one-sided t-tests (Schuirmann 1987) of the means of blocks. The margin is in
  standard deviations that are estimated from the same blocks. This costs little of the
  level as long as the margin is small: with many blocks and at alpha 0.05, a true mean
  at a margin of 0.25 passes in 5.3% of cases, of 0.5 in 6.0% and of 1 in 9.0%.

  Args:
    differences: [n] of reference tracks (`versions.TrackVersions.differences`).
    blocks: [n] album of each track, None where it is not known; None for no album.
    margin: in standard deviations of block means, above 0.
    alpha: level, in (0, 0.5).

  Returns:
    The test. Where all blocks have one mean its deviation is 0: a mean of 0 is then
    equivalent with p 0, and any other is not, with p 1.

  Raises:
    ValueError: shapes differ, a difference is not finite, there are fewer than two
      blocks, or margin or alpha is out of range.
  """
  means = _block_means(differences, blocks)
  if not (math.isfinite(margin) and margin > 0):
    raise ValueError(f"margin={margin}: finite and above 0")
  if not 0 < alpha < 0.5:
    raise ValueError(f"alpha={alpha}: above 0 and below 0.5")
  count, scale = means.size, _ROUNDING * float(np.abs(means).max())
  difference, deviation = float(means.mean()), float(means.std(ddof=1))
  if deviation <= scale:
    effect = 0.0 if not scale else math.copysign(math.inf, difference)
    p, low, high = float(effect != 0), effect, effect
  else:
    effect = difference / deviation
    freedom, root = count - 1, math.sqrt(count)
    p = float(stats.t.sf((margin - abs(effect)) * root, freedom))
    half = float(stats.t.ppf(1 - alpha, freedom)) / root
    low, high = effect - half, effect + half
  return Equivalence(
    blocks=count,
    difference=difference,
    deviation=deviation,
    effect=effect,
    margin=margin,
    p_value=p,
    ci=(low, high),
    shown=p <= alpha,
    lean_shown=low > 0 or high < 0,
    blocks_needed=blocks_needed(margin, alpha),
  )


@functools.lru_cache(maxsize=1024)
def blocks_needed(margin: float, alpha: float, wanted: float = power.WANTED) -> int:
  """Smallest number of blocks that shows equivalence if the true mean is 0.

  Both tests reject where the interval lies within the margin, |T| <= margin sqrt(n) -
  t(1 - alpha), and T has Student's distribution then: power needs no simulation.

  Args:
    margin: in standard deviations of block means, above 0.
    alpha: level, in (0, 0.5).
    wanted: power, in (0, 1).
  """

  def enough(count: int) -> bool:
    freedom = count - 1
    within = margin * math.sqrt(count) - stats.t.ppf(1 - alpha, freedom)
    return bool(2 * stats.t.cdf(within, freedom) - 1 >= wanted)

  low, high = 1, 2
  while not enough(high):
    low, high = high, 2 * high
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (low, middle) if enough(middle) else (middle, high)
  return high


def detectable(
  blocks: int,
  count: int,
  alpha: float,
  *,
  permutations: int = 9_999,
  two_sided: bool = False,
  wanted: float = power.WANTED,
) -> float:
  """The mean difference that the test of versions finds with the wanted power.

  Args:
    blocks: number of blocks, of equal weight.
    count: versions of a track, 1 + k.
    alpha: level of the test, in (0, 1).
    permutations: of the test (`versions.compare_versions`).
    two_sided: see `versions.p_value`.
    wanted: power.

  Returns:
    In standard deviations of the blocks' differences; infinite where no p is low
    enough.
  """
  if (
    blocks > _LARGE and versions.lowest(blocks, count, permutations, two_sided) <= alpha
  ):
    needed = stats.t.ppf(1 - alpha / (1 + two_sided), blocks - 1)
    return float((needed + stats.norm.ppf(wanted)) / math.sqrt(blocks))
  effects = critical_effects(
    blocks, count, alpha, permutations=permutations, two_sided=two_sided
  )
  return power.detectable(effects, wanted)


def critical_effects(
  blocks: int,
  count: int,
  alpha: float,
  *,
  permutations: int = 9_999,
  two_sided: bool = False,
) -> np.ndarray:
  """Effects from which on the test rejects at alpha, one for each of 2,000 noises.

  As in `power.critical_effects`: versions are normal and alike but for a shift of the
  one given, in which the statistics of all ways are linear. `power.at` gives the power
  at an effect from them.

  Args:
    blocks: number of blocks, of equal weight.
    count: versions of a track, 1 + k.
    alpha: level of the test, in (0, 1).
    permutations: of the test; more than 999 change power by less than it is known, as
      long as they allow such a p-value.
    two_sided: see `versions.p_value`.

  Returns:
    Ascending, in standard deviations of the blocks' differences; infinite where no p is
    low enough.
  """
  nowhere = np.full(_NOISES, np.inf)
  if versions.lowest(blocks, count, permutations, two_sided) > alpha:
    return nowhere
  most = min(permutations, max(_PERMUTATIONS, math.ceil(1 / alpha)))
  chosen, exact = versions.ways_to_choose(blocks, count, most, _SEED)
  # Others that may be at least as large; the observed way itself always is.
  allowed = math.floor(alpha * (chosen.shape[1] + (not exact)) * (1 + 1e-12)) - 1
  if allowed < 0:
    return nowhere
  # [blocks * count, ways]: 1 where the way calls the block's version the given one.
  taken = (chosen[:, None] == np.arange(count)[:, None]).reshape(-1, chosen.shape[1])
  taken = taken.astype(float)
  noise = np.random.default_rng(_SEED).normal(size=(_NOISES, blocks, count))
  noise -= noise.mean(axis=2, keepdims=True)
  # A version less the mean of the others has standard deviation 1.
  noise *= math.sqrt(count / (count - 1))
  shift = np.where(np.arange(count) == 0, 1.0, -1 / (count - 1))
  drawn, gain = noise.reshape(_NOISES, -1) @ taken, np.tile(shift, blocks) @ taken
  observed = noise[:, :, 0].sum(axis=1, keepdims=True)
  effects = _overtaken(drawn - observed, blocks - gain)
  if two_sided:
    effects = np.maximum(effects, _overtaken(-drawn - observed, blocks + gain))
  rank = effects.shape[1] - 1 - allowed - int(exact)
  if rank < 0:
    return -nowhere
  return np.sort(np.partition(effects, rank, axis=1)[:, rank])


def _overtaken(lead: np.ndarray, gain: np.ndarray) -> np.ndarray:
  """Shift from which on the observed way is ahead; infinite where none gains on it."""
  effects = np.full(lead.shape, np.inf)
  effects[:, gain > 1e-9] = lead[:, gain > 1e-9] / gain[gain > 1e-9]
  return effects


def _block_means(differences, blocks) -> np.ndarray:
  differences = np.asarray(differences, float)
  if differences.ndim != 1:
    raise ValueError(f"differences {differences.shape} must be [n]")
  if not np.isfinite(differences).all():
    bad = int((~np.isfinite(differences)).sum())
    raise ValueError(f"{bad} differences are not finite")
  blocks = [None] * differences.size if blocks is None else list(blocks)
  if len(blocks) != differences.size:
    raise ValueError(f"{len(blocks)} blocks for {differences.size} differences")
  number = versions.block_numbers(blocks)
  count = np.unique(number).size
  if count < 2:
    raise ValueError(f"{count} blocks: equivalence needs two or more")
  return np.bincount(number, differences) / np.bincount(number)
