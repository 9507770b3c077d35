"""Was this album in the training set? One p-value for a set of tracks, not for a clip.

A single clip's score says little; many clips of one album or artist together can say
much. The suspects are compared with a reference of tracks of the same kind that were
surely not in training (unpublished ones, say), following CDI (Dubinski et al., CVPR
2025) and docs/evaluation.md, rule 6. The unit is the track: clips of one are averaged
first, because they are not independent.

The test permutes the mean difference (`permutation`). It assumes that without training
the suspects' tracks and the reference's could be exchanged. Other music, other
mastering or another age of recording break that, and then a small p-value says only
that the sets differ.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats

from lsaprobe_jax.metrics import comparisons, intervals, permutation, power, tables

_FEW_TRACKS = 2


class SetTest(NamedTuple):
  """One set of suspects against the reference.

  Attributes:
    tracks: number of suspect tracks.
    reference_tracks: number of reference tracks.
    difference: mean score of the suspects' tracks minus the reference's, within albums
      where these are exchanged (`permutation.effect`); positive is the side of
      membership.
    effect: the same in standard deviations, pooled over both sides; infinite where no
      side varies and they differ.
    p_value: one-sided, by permutation; the chance of a mean difference at least so
      large if tracks (or albums) could be exchanged.
    p_welch: one-sided, by Student's t with Welch's degrees of freedom: the cheap form;
      NaN where no side varies, or where albums are exchanged.
    p_holm: `p_value` corrected for the number of sets tested together.
    tracks_needed: suspect tracks that would give 80% power at 1%, if the difference is
      what was estimated and the reference stays as it is; infinite where the suspects
      lie on the wrong side, or where no number is enough against this reference.
      NaN where albums are exchanged: more tracks of the same albums add little.
    tracks_needed_ci: the same at both ends of the effect's 95% interval, fewest first.
  """

  tracks: int
  reference_tracks: int
  difference: float
  effect: float
  p_value: float
  p_welch: float
  p_holm: float
  tracks_needed: float
  tracks_needed_ci: intervals.Interval


class NullRejections(NamedTuple):
  """How often the tests reject where there is nothing to find.

  Attributes:
    draws: random divisions of the tracks.
    alpha: level of the tests.
    rate: share of the divisions with a `p_value` of at most alpha.
    ci: exact (Clopper-Pearson) 95% interval of what `rate` estimates.
    rate_welch: the same share of `p_welch`.
    ci_welch: its interval.
  """

  draws: int
  alpha: float
  rate: float
  ci: intervals.Interval
  rate_welch: float
  ci_welch: intervals.Interval


def track_means(scores, tracks) -> np.ndarray:
  """Mean score of each track, in the order of their names.

  Args:
    scores: [n] of clips, higher = member.
    tracks: [n] name of each clip's track.

  Raises:
    ValueError: on shapes that differ, or a score that is not finite.
  """
  scores, tracks = np.asarray(scores, float), np.asarray(tracks)
  if scores.ndim != 1 or scores.shape != tracks.shape:
    raise ValueError(f"scores {scores.shape} and tracks {tracks.shape} must be [n]")
  if not np.isfinite(scores).all():
    raise ValueError(f"{int((~np.isfinite(scores)).sum())} scores are not finite")
  names, code = np.unique(tracks, return_inverse=True)
  return np.bincount(code, scores, names.size) / np.bincount(code)


def compare_sets(
  suspects: Mapping[str, np.ndarray],
  reference: np.ndarray,
  *,
  permutations: int = 9_999,
  seed: int = 0,
) -> dict[str, SetTest]:
  """Tests each set of suspects against one reference, corrected by Holm.

  Sets whose tracks all score alike, and unlike the reference, are the strongest
  evidence there is; where no track differs from another p is 1.

  Args:
    suspects: scores of tracks (`track_means`) by the set's name.
    reference: [r] scores of tracks surely not in training.
    permutations: see `permutation.p_values`.
    seed: seed of the draws.

  Returns:
    A test for each name.

  Raises:
    ValueError: naming the set that has fewer than two tracks, or a score that is not
      finite.
  """
  reference = _checked("the reference", reference)
  tests = {
    name: _test(name, _checked(name, values), reference, permutations, seed)
    for name, values in suspects.items()
  }
  corrected = comparisons.holm([test.p_value for test in tests.values()])
  return {
    name: test._replace(p_holm=float(p))
    for (name, test), p in zip(tests.items(), corrected, strict=True)
  }


def null_rejections(
  scores,
  tracks,
  *,
  draws: int = 200,
  alpha: float = 0.05,
  suspects: int | None = None,
  permutations: int = 999,
  seed: int = 0,
) -> NullRejections:
  """Rejection rates over random disjoint divisions of tracks that were not trained on.

  Tells whether the p-values keep their level on these very scores, skewed, tied and of
  few tracks as they may be: Welch's may not, and the permutation test's can only fail
  by a mistake in it or be timid, as it is exact for a random division. That the real
  suspects could be exchanged with the reference is another matter, which no division
  at random can show.

  Args:
    scores: [n] of clips of non-members, higher = member.
    tracks: [n] name of each clip's track.
    draws: number of divisions.
    alpha: level, in (0, 1).
    suspects: tracks on the side of the suspects; half of all by default.
    permutations: see `compare_sets`.
    seed: seed of divisions and permutations.

  Returns:
    Both rates, with intervals over the draws; the tracks are taken as given.

  Raises:
    ValueError: see `track_means` and `compare_sets`; four tracks are needed.
  """
  means = track_means(scores, tracks)
  size = means.size // 2 if suspects is None else suspects
  if not _FEW_TRACKS <= size <= means.size - _FEW_TRACKS:
    raise ValueError(
      f"{means.size} tracks cannot be divided into {size} and the rest; each side needs"
      f" {_FEW_TRACKS}: give more non-member tracks"
    )
  rng = np.random.default_rng(seed)
  halves = permutation.design(np.arange(means.size) < size)
  rejected = np.zeros((draws, 2), bool)
  for draw in range(draws):
    order = rng.permutation(means)
    p_value = permutation.p_values(
      halves, order, permutations=permutations, seed=int(rng.integers(2**32))
    )
    rejected[draw] = np.array([p_value, _welch(order[:size], order[size:])]) <= alpha
  counts = rejected.sum(axis=0)
  (low, high), (low_welch, high_welch) = (
    stats.binomtest(int(count), draws).proportion_ci(method="exact") for count in counts
  )
  return NullRejections(
    draws=draws,
    alpha=alpha,
    rate=float(counts[0] / draws),
    ci=(float(low), float(high)),
    rate_welch=float(counts[1] / draws),
    ci_welch=(float(low_welch), float(high_welch)),
  )


def format_tests(
  tests: Mapping[str, SetTest], rejections: NullRejections | None = None
) -> str:
  """A fixed-width table of tests, and a line on the level they keep.

  Args:
    tests: see `compare_sets`.
    rejections: see `null_rejections`.

  Returns:
    Lines of text; the last says what the tests take for granted.
  """
  header = ["suspects", "tracks", "reference", "difference", "effect"]
  header += ["p", "p Holm", "p Welch", "tracks for 80% power at 1% [95%]"]
  cells = [
    [name, str(test.tracks), str(test.reference_tracks), f"{test.difference:+.4g}"]
    + [f"{test.effect:+.2f}"]
    + [f"{p:.2g}" for p in (test.p_value, test.p_holm, test.p_welch)]
    + [format_tracks_needed(test.tracks_needed, test.tracks_needed_ci)]
    for name, test in tests.items()
  ]
  lines = tables.align([header, *cells])
  if rejections is not None:
    r = rejections
    lines.append(
      f"Without members, {r.draws} random divisions of the reference were rejected at"
      f" {r.alpha:g} at a rate of {r.rate:.3f} [{r.ci[0]:.3f}, {r.ci[1]:.3f}]; by"
      f" Welch {r.rate_welch:.3f} [{r.ci_welch[0]:.3f}, {r.ci_welch[1]:.3f}]."
    )
  lines.append(
    "Tracks count as independent. Those of an album are alike whoever trained on them:"
    " a reference of other albums makes one look trained on, or not."
  )
  return "\n".join(lines)


def format_tracks_needed(needed: float, ci: intervals.Interval) -> str:
  """A number of tracks with its interval; 'none' stands for no number."""
  text = lambda number: f"{number:g}" if math.isfinite(number) else "none"
  return f"{text(needed)} [{text(ci[0])}, {text(ci[1])}]"


def _checked(name: str, values) -> np.ndarray:
  values = np.asarray(values, float)
  if values.ndim != 1 or values.size < _FEW_TRACKS:
    raise ValueError(f"{name} has {values.size} tracks; a test needs {_FEW_TRACKS}")
  if not np.isfinite(values).all():
    raise ValueError(f"{name} has scores that are not finite")
  return values


def _test(name: str, suspects, reference, permutations, seed) -> SetTest:
  suspect = np.arange(suspects.size + reference.size) < suspects.size
  return one_test(
    permutation.design(suspect),
    np.concatenate([suspects, reference]),
    permutations=permutations,
    seed=seed,
  )


def one_test(
  design: permutation.Design, scores, *, permutations: int, seed: int
) -> SetTest:
  """The test of one set; `p_holm` is NaN, as it is for the caller to correct.

  Args:
    design: who the suspects are and how they are exchanged; two tracks a side.
    scores: [n] of tracks, finite.
    permutations: see `permutation.p_values`.
    seed: seed of the draws.
  """
  scores = np.asarray(scores, float)
  suspects, reference = scores[design.suspect], scores[~design.suspect]
  sizes = suspects.size, reference.size
  p_value = permutation.p_values(design, scores, permutations=permutations, seed=seed)
  difference, effect = permutation.effect(design, scores)
  if design.by_track:
    ends = power.effect_interval(effect, *sizes)
    fewest, most, needed = (
      power.tracks_needed(e, reference.size) for e in (ends[1], ends[0], effect)
    )
    p_welch = _welch(suspects, reference)
  else:
    fewest = most = needed = p_welch = math.nan
  return SetTest(
    tracks=suspects.size,
    reference_tracks=reference.size,
    difference=difference,
    effect=effect,
    p_value=float(p_value),
    p_welch=p_welch,
    p_holm=math.nan,
    tracks_needed=needed,
    tracks_needed_ci=(fewest, most),
  )


def _welch(suspects, reference) -> float:
  """One-sided p-value of Welch's t-test; NaN where no side varies."""
  if np.ptp(suspects) == np.ptp(reference) == 0:
    return math.nan
  moments = lambda x: (x.mean(), x.std(ddof=1), x.size)
  return float(
    stats.ttest_ind_from_stats(
      *moments(suspects), *moments(reference), equal_var=False, alternative="greater"
    ).pvalue
  )
