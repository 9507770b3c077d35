"""What a permutation test of two sets of tracks can find.

Power is that of the very test used (`permutation`), for scores of tracks that are
normal with one standard deviation: suspects that lie `effect` standard deviations above
the reference. The statistic is linear in that shift. For given noise and a given other
way to call tracks the suspects, there is thus one shift from which on the observed way
beats the other, and one from which on p is at most alpha: the *critical effect* of this
noise. Power at an effect is the share of noises whose critical effect is no larger.
"""

import functools
import math

import numpy as np
from scipy import optimize, stats

from lsaprobe_jax.metrics import permutation

WANTED = 0.8
_NOISES, _PERMUTATIONS, _SEED = 2_000, 999, 20261127
# With more tracks than this in all, Student's t has the power of the permutation test
# to less than 0.01 (measured at 1% and 5%), and needs no simulation.
_LARGE = 400
_GRID = 4_000
_MOST_TRACKS = 1_000_000


def critical_effects(
  design: permutation.Design, alpha: float, permutations: int = _PERMUTATIONS
) -> np.ndarray:
  """Effects from which on the test rejects at alpha, one for each of 2,000 noises.

  Args:
    design: design of the test.
    alpha: its level, in (0, 1).
    permutations: number of them in the test; more than 999, or than alpha needs, change
      power by less than it is known.

  Returns:
    Ascending, in standard deviations of tracks; infinite where no p is low enough.
  """
  most = max(_PERMUTATIONS, math.ceil(1 / alpha))
  masks, exact = design.masks(min(permutations, most), _SEED)
  if design.lowest(permutations) > alpha:
    return np.full(_NOISES, np.inf)
  ways = len(masks) + (not exact)
  # Others that may be at least as large; the observed way itself always is.
  allowed = math.floor(alpha * ways * (1 + 1e-12)) - 1
  if allowed < 0:
    return np.full(_NOISES, np.inf)
  noise = np.random.default_rng(_SEED).normal(size=(_NOISES, design.suspect.size))
  both = zip(
    permutation.forms(design, noise),
    permutation.forms(design, design.suspect),
    strict=True,
  )
  needed = [
    _critical(design, (masks, exact), form, shift, allowed) for form, (_, shift) in both
  ]
  return np.sort(np.max(needed, axis=0))


def _critical(design, ways, form, shift, allowed: int) -> np.ndarray:
  """By noise, the effect from which on one statistic beats all but those allowed."""
  (masks, exact), (statistic, noise) = ways, form
  gain = statistic(design.suspect[None], shift) - statistic(masks, shift)
  others = gain > 1e-9
  lead = statistic(masks, noise) - statistic(design.suspect[None], noise)
  # What a shift does not tell from the observed way is never beaten.
  effects = np.full(lead.shape, np.inf)
  effects[:, others] = lead[:, others] / gain[others]
  same = int((~others).sum()) - exact
  rank = effects.shape[1] - 1 - allowed - int(exact)
  if same > allowed or rank < 0:
    return np.full(_NOISES, np.inf if same > allowed else -np.inf)
  return np.partition(effects, rank, axis=1)[:, rank]


def detectable(effects: np.ndarray, wanted: float = WANTED) -> float:
  """The effect that is found with the wanted power; infinite for none.

  Args:
    effects: `critical_effects`.
    wanted: power.
  """
  return float(np.quantile(effects, wanted, method="higher"))


def at(effects: np.ndarray, effect: float) -> float:
  """Power at an effect, from `critical_effects`."""
  return float(((effects <= effect) & np.isfinite(effects)).mean())


def power(effect: float, tracks: int, reference_tracks: int, alpha: float) -> float:
  """Power of the test of the mean difference by permutation of tracks.

  Args:
    effect: difference of means in standard deviations.
    tracks: number of the suspects' tracks, at least 1.
    reference_tracks: at least 1; with `tracks`, at least 3.
    alpha: level, in (0, 1).
  """
  if tracks + reference_tracks > _LARGE:
    return by_t(effect, tracks, reference_tracks, alpha)
  return at(_effects_of_sizes(tracks, reference_tracks, alpha), effect)


@functools.lru_cache(maxsize=1024)
def _effects_of_sizes(tracks: int, reference_tracks: int, alpha: float) -> np.ndarray:
  suspect = np.arange(tracks + reference_tracks) < tracks
  return critical_effects(permutation.design(suspect), alpha)


def by_t(effect: float, tracks: int, reference_tracks: int, alpha: float) -> float:
  """Power of the one-sided two-sample t-test, by the noncentral t (Cohen 1988)."""
  freedom = tracks + reference_tracks - 2
  shift = effect / math.sqrt(1 / tracks + 1 / reference_tracks)
  needed = stats.t.ppf(1 - alpha, freedom)
  # So far out SciPy's noncentral t returns NaN.
  if shift > 3 * needed + 30:
    return 1.0
  return float(stats.nct.sf(needed, freedom, shift))


def tracks_needed(
  effect: float, reference_tracks: int, *, alpha: float = 0.01, wanted: float = WANTED
) -> float:
  """Smallest number of suspects with the wanted power against this reference.

  Args:
    effect: in standard deviations.
    reference_tracks: at least 2.
    alpha: level.
    wanted: power.

  Returns:
    A whole number from 2 on, or infinity where the reference is too small for any.
  """
  if not effect > 0:
    return math.inf
  if by_t(effect, _MOST_TRACKS, reference_tracks, alpha) < wanted:
    return math.inf
  enough = lambda n: power(effect, n, reference_tracks, alpha) >= wanted
  # Student's t is near: the search begins there and widens.
  low = high = max(2, _needed_by_t(effect, reference_tracks, alpha, wanted))
  step = 1
  while not enough(high):
    low, high, step = high, high + step, 2 * step
    if high > _MOST_TRACKS:
      return math.inf
  while low > 1 and enough(low):
    low, high, step = max(low - step, 1), low, 2 * step
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (low, middle) if enough(middle) else (middle, high)
  return float(high)


def _needed_by_t(effect: float, reference_tracks: int, alpha: float, wanted) -> int:
  """The same by Student's t."""
  low, high = 1, _MOST_TRACKS
  while high - low > 1:
    middle = (low + high) // 2
    enough = by_t(effect, middle, reference_tracks, alpha) >= wanted
    low, high = (low, middle) if enough else (middle, high)
  return high


def effect_interval(
  effect: float, tracks: int, reference_tracks: int, confidence: float = 0.95
) -> tuple[float, float]:
  """Interval of a difference in pooled standard deviations, by the noncentral t.

  Args:
    effect: as estimated, see `sets.SetTest`.
    tracks: number of the suspects' tracks.
    reference_tracks: number of the reference's.
    confidence: coverage, for normal scores of equal spread (Cumming and Finch 2001).

  Returns:
    (low, high); both the effect itself where it is infinite.
  """
  if not math.isfinite(effect):
    return effect, effect
  root = math.sqrt(1 / tracks + 1 / reference_tracks)
  freedom = tracks + reference_tracks - 2
  statistic, tail = effect / root, (1 - confidence) / 2
  # P(T <= statistic) = E[Phi(statistic * spread - shift)]: SciPy's noncentral t returns
  # NaN far out.
  spreads = np.sqrt(stats.chi2.ppf((np.arange(_GRID) + 0.5) / _GRID, freedom) / freedom)
  below = lambda shift: float(stats.norm.cdf(statistic * spreads - shift).mean())
  reach = 10.0 + 4.0 * abs(statistic)
  bound = lambda share: (
    root * optimize.brentq(lambda shift: below(shift) - share, -reach, reach)
  )
  return bound(1 - tail), bound(tail)
