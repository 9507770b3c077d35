"""Permutation tests of two sets of tracks, by track or by album.

A p-value by permutation asks in how many of all ways to call some tracks the suspects
the statistic is at least as large as observed. It is exact where all these ways were
equally likely beforehand. Tracks of one album are alike for reasons that have nothing
to do with training, so where albums are known the ways respect them:

- An album with tracks on both sides is a stratum: its tracks are exchanged with each
  other, and what the album has in common cancels.
- Albums on one side only are exchanged whole, one album for another.
- Tracks without an album are albums of one. If no album is known, all ways to divide
  the tracks are left, as in the usual two-sample test.

The statistic is the mean difference: the mean over the suspects of a track's score less
the mean of its stratum, times the root of their number, as albums that are exchanged
may be of unlike size. With one stratum of single tracks it orders all divisions as the
difference of the two means does.

Albums of unlike size cannot be exchanged exactly. Weighed by the root of their size
they vary as much where tracks of an album are no more alike than others, and larger
ones more where they are; with one weight for each album it is smaller ones that vary
more. So p is then the larger of both: where the suspects' albums are the larger ones,
or the smaller, one of the two is timid whatever the likeness.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np

# Sums of the same numbers in another order differ by rounding; they count as ties.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Stratum:
  """Blocks of tracks that can be exchanged.

  Attributes:
    blocks: positions of each block's tracks.
    taken: how many of the blocks are suspects.
  """

  blocks: tuple[np.ndarray, ...]
  taken: int

  @property
  def tracks(self) -> np.ndarray:
    """Positions of all its tracks."""
    return np.concatenate(self.blocks)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Design:
  """Who the suspects are, and which others could have been.

  Attributes:
    suspect: bool [n], by track.
    strata: strata that divide the n tracks.
  """

  suspect: np.ndarray
  strata: tuple[Stratum, ...]

  @property
  def arrangements(self) -> int:
    """How many ways there are, the observed one among them."""
    return math.prod(math.comb(len(s.blocks), s.taken) for s in self.strata)

  @property
  def by_track(self) -> bool:
    """Whether any track may be exchanged with any other."""
    return len(self.strata) == 1 and all(b.size == 1 for b in self.strata[0].blocks)

  @property
  def mirrored(self) -> bool:
    """Whether suspects and reference could have changed places."""
    return all(2 * s.taken == len(s.blocks) for s in self.strata)

  @property
  def uneven(self) -> bool:
    """Whether blocks are exchanged for each other that are of unlike size."""
    return any(len({block.size for block in s.blocks}) > 1 for s in self.strata)

  @property
  def unmoved(self) -> int:
    """How many suspects are suspects in every arrangement, and so count for nothing."""
    return sum(s.tracks.size for s in self.strata if s.taken == len(s.blocks))

  def lowest(self, permutations: int) -> float:
    """The smallest p-value that `p_values` can give with so many permutations."""
    return 1 / min(self.arrangements, permutations + 1)

  def centred(self, scores) -> np.ndarray:
    """Scores [..., n] less the means of their strata."""
    scores = np.array(scores, float)
    for stratum in self.strata:
      own = scores[..., stratum.tracks]
      scores[..., stratum.tracks] = own - own.mean(axis=-1, keepdims=True)
    return scores

  def levelled(self, scores) -> np.ndarray:
    """Scores [..., n] less their stratum's, with one weight for each of its blocks."""
    scores = np.array(scores, float)
    for stratum in self.strata:
      size = stratum.tracks.size / len(stratum.blocks)
      means = [scores[..., block].mean(axis=-1) for block in stratum.blocks]
      middle = np.mean(means, axis=0)[..., None]
      for block in stratum.blocks:
        scores[..., block] = (scores[..., block] - middle) * size / block.size
    return scores

  def masks(self, permutations: int, seed: int) -> tuple[np.ndarray, bool]:
    """Ways to call tracks the suspects.

    Args:
      permutations: at most so many.
      seed: seed of the draws, where there are more ways than that.

    Returns:
      (bool [ways, n], whether these are all ways, the observed one among them).
    """
    if self.arrangements <= permutations:
      chosen = itertools.product(
        *(itertools.combinations(range(len(s.blocks)), s.taken) for s in self.strata)
      )
      masks = np.zeros((self.arrangements, self.suspect.size), bool)
      for mask, ways in zip(masks, chosen, strict=True):
        for stratum, blocks in zip(self.strata, ways, strict=True):
          for block in blocks:
            mask[stratum.blocks[block]] = True
      return masks, True
    masks = np.zeros((permutations, self.suspect.size), bool)
    rng = np.random.default_rng(seed)
    for stratum in self.strata:
      # The blocks with the `taken` smallest of random keys.
      keys = rng.random((permutations, len(stratum.blocks)))
      ranks = keys.argsort(axis=1).argsort(axis=1)
      for i, block in enumerate(stratum.blocks):
        masks[:, block] = (ranks[:, i] < stratum.taken)[:, None]
    return masks, False


def design(suspect, albums: Sequence[Hashable | None] | None = None) -> Design:
  """The ways in which suspects and reference could have been exchanged.

  Args:
    suspect: [n] True for the suspects' tracks.
    albums: [n] album of each track, None where it is not known; None for no album.

  Raises:
    ValueError: shapes differ, or a side has no track.
  """
  suspect = np.asarray(suspect, bool)
  albums = [None] * suspect.size if albums is None else list(albums)
  if suspect.ndim != 1 or len(albums) != suspect.size:
    raise ValueError(f"{len(albums)} albums for tracks of shape {suspect.shape}")
  if suspect.all() or not suspect.any():
    raise ValueError("a test needs tracks on both sides")
  members: dict[Hashable, list[int]] = {}
  for i, album in enumerate(albums):
    members.setdefault(("alone", i) if album is None else ("album", album), []).append(
      i
    )
  strata, blocks = [], []
  for own in map(np.array, members.values()):
    taken = int(suspect[own].sum())
    if 0 < taken < own.size:
      strata.append(Stratum(blocks=tuple(own[:, None]), taken=taken))
    else:
      blocks.append(own)
  if blocks:
    taken = sum(bool(suspect[block[0]]) for block in blocks)
    strata.append(Stratum(blocks=tuple(blocks), taken=taken))
  return Design(suspect=suspect, strata=tuple(strata))


def effect(design: Design, scores) -> tuple[float, float]:
  """How far suspects lie above the reference, within strata.

  The difference is the slope of scores on being a suspect, each less the mean of its
  stratum, and the deviation that of what is left: of one stratum of single tracks, the
  difference of means and the pooled standard deviation.

  Args:
    design: see `design`.
    scores: [n] of tracks.

  Returns:
    (difference, the same in standard deviations: infinite where nothing is left over).
  """
  shift, centred = design.centred(design.suspect), design.centred(scores)
  spread = float(shift @ shift)
  if not spread:  # no track could have been exchanged with a suspect
    return 0.0, 0.0
  difference = float(shift @ centred) / spread
  left = centred - difference * shift
  scale = _ROUNDING * float(np.abs(centred).max())
  freedom = max(scores.size - len(design.strata) - 1, 1)
  deviation = math.sqrt(float(left @ left) / freedom)
  if abs(difference) <= scale:
    return difference, 0.0
  if deviation <= scale:
    return difference, math.copysign(math.inf, difference)
  return difference, difference / deviation


def mean_difference(masks: np.ndarray, centred: np.ndarray) -> np.ndarray:
  """The statistic [..., ways] of scores [..., n] less their strata's means.

  Args:
    masks: bool [ways, n].
    centred: `Design.centred`.
  """
  return centred @ masks.T.astype(float) / np.sqrt(masks.sum(axis=1))


def total(masks: np.ndarray, levelled: np.ndarray) -> np.ndarray:
  """The statistic [..., ways] of scores [..., n] with one weight for each block.

  Args:
    masks: bool [ways, n].
    levelled: `Design.levelled`.
  """
  return levelled @ masks.T.astype(float)


Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]


def forms(design: Design, scores) -> list[tuple[Statistic, np.ndarray]]:
  """The statistics of a test, all of which have to be large, and what they are of."""
  found: list[tuple[Statistic, np.ndarray]] = [
    (mean_difference, design.centred(scores))
  ]
  if design.uneven:
    found.append((total, design.levelled(scores)))
  return found


def p_values(
  design: Design, scores, *, permutations: int, seed: int, two_sided: bool = False
) -> np.ndarray:
  """p-values of suspects that score above the reference.

  Where there are no more ways than `permutations` all are taken and p is exact.
  Otherwise so many are drawn and the observed one is counted in (Phipson and Smyth
  2010), so that p is never 0. Ties count against the suspects. Where blocks are of
  unlike size it is the larger of two (see the module).

  Args:
    design: see `design`.
    scores: [..., n] finite scores, higher = member; all under the same permutations.
    permutations: see above.
    seed: seed of the draws.
    two_sided: takes the size of the difference, so that suspects below count too.

  Returns:
    [...] p-values.
  """
  masks, exact = design.masks(permutations, seed)
  found = []
  for statistic, centred in forms(design, scores):
    observed = statistic(design.suspect[None], centred)
    drawn = statistic(masks, centred)
    if two_sided:
      observed, drawn = np.abs(observed), np.abs(drawn)
    found.append(at_least(drawn, observed, exact, centred))
  return np.max(found, axis=0)


def at_least(drawn, observed, exact: bool, scale) -> np.ndarray:
  """Share of the ways [..., ways] at least as large as observed [..., 1].

  Args:
    drawn: statistics of the ways.
    observed: statistic of the observed one.
    exact: whether the observed one is among the ways; else it is counted in.
    scale: [..., k], numbers of the size that rounding errors are relative to.
  """
  ties = _ROUNDING * np.abs(scale).max(axis=-1, keepdims=True)
  above = (drawn >= observed - ties).sum(axis=-1)
  return (above + (not exact)) / (drawn.shape[-1] + (not exact))
