"""The statistics of an audit: suspects against tracks that were surely not trained on.

Without training, a suspect and the comparison tracks (`reference_split`) could be
exchanged, so that

  p = (1 + #{comparison tracks that score at least as high}) / (1 + #comparison tracks)

is at most u with probability at most u (a conformal p-value): the share of tracks that
the model has not seen which would be accused along with this one. All suspects together
are tested by permutation of their mean difference, by album where albums are known
(`metrics.permutation`). One statistic, fixed beforehand, decides: the *panel*, the mean
over methods of scores in standard deviations of the development tracks. Each method's
own test stands beside it, corrected by Holm.

What the suspects are compared with is a `Contrast`, and `judge` takes a list of them.
Each gets a test of its own, and the first of the list decides.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from lsaprobe_jax.audit.findings import (
  Cutoff,
  Findings,
  Power,
  SuspectsTest,
  TrackFinding,
)
from lsaprobe_jax.audit.track_scores import PANEL, TrackScores
from lsaprobe_jax.metrics import comparisons, permutation, power, roc, sets

# What a contrast with reference tracks is called, by how its scores are calibrated.
CONTRASTS = {
  "none": "raw",
  "twins": "by twins",
  "reference": "by reference",
  "both": "by both",
}
_TAKEN_OFF = {
  "none": "what is hard about them included",
  "twins": "once what their own twins score is taken off",
  "reference": "once what the reference model gives them is taken off",
  "both": "once what their own twins score is taken off, and the same of the reference"
  " model",
}
# Alpha times a whole number is rounded by so much at most.
_ROUNDING = 1e-9
# Permutations of each division that tests the level; a page should not wait for more.
_MOST_FOR_LEVEL = 9_999


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Contrast:
  """The suspects beside what they are compared with, and how both could be exchanged.

  Attributes:
    name: short, as the page shows it.
    design: who the suspects are, and which others could have been.
    scores: by method [n], in the order of the design; the panel is among them.
    by_album: whether every track's album is known, and some album has several.
    assumes: what must hold without training for the p-value to be one, in words.
  """

  name: str
  design: permutation.Design
  scores: Mapping[str, np.ndarray]
  by_album: bool
  assumes: str = ""


def conformal(suspects, comparison) -> np.ndarray:
  """p-values [m] of suspects [m] against comparison tracks [n]; ties count against."""
  suspects, comparison = np.asarray(suspects, float), np.asarray(comparison, float)
  above = (comparison[None, :] >= suspects[:, None]).sum(axis=1)
  return (1 + above) / (1 + comparison.size)


def exchange(
  suspects: Sequence[str],
  comparison: Sequence[str],
  albums: Mapping[str, str] | None = None,
) -> permutation.Design:
  """Says how an audit's tracks could have been exchanged: suspects first.

  Args:
    suspects: names of tracks.
    comparison: likewise.
    albums: by track, of tracks on both sides; None to take all tracks for exchangeable.
      A track that is not there is an album of its own.
  """
  names = [*suspects, *comparison]
  return permutation.design(
    np.arange(len(names)) < len(suspects),
    None if albums is None else [albums.get(name) for name in names],
  )


def reference_contrast(
  scores: TrackScores,
  albums: Mapping[str, str] | None = None,
  *,
  difficulty_calibration: str = "none",
) -> Contrast:
  """The suspects beside the comparison tracks of a reference.

  Args:
    scores: scores of tracks, with the panel.
    albums: see `exchange`.
    difficulty_calibration: that of the scores.
  """
  suspects, comparison = sorted(scores.suspects[PANEL]), list(scores.comparison[PANEL])
  design = exchange(suspects, comparison, albums)
  # Albums of one track each, as one folder a track would be, tell of no likeness.
  known = albums is not None and not design.by_track
  return Contrast(
    name=CONTRASTS[difficulty_calibration],
    assumes="without training, suspects and reference tracks could be exchanged,"
    f" {_TAKEN_OFF[difficulty_calibration]}",
    design=design,
    scores={
      method: np.array(
        [scores.suspects[method][track] for track in suspects]
        + [scores.comparison[method][track] for track in comparison]
      )
      for method in scores.methods
    },
    by_album=known and all(track in albums for track in (*suspects, *comparison)),
  )


def judge(
  scores: TrackScores,
  contrasts: Sequence[Contrast],
  *,
  alpha: float,
  permutations: int = 9_999,
  seed: int = 0,
  others: Sequence[SuspectsTest] = (),
) -> Findings:
  """Finds everything that follows from the scores of an audit.

  Args:
    scores: scores of tracks, with the panel (`TrackScores.with_panel`).
    contrasts: what all suspects together are compared with; the first decides.
    alpha: level of the verdicts.
    permutations: at most so many permutations for a set's p-value.
    seed: of them.
    others: further tests, which decide nothing.
  """
  tests = tuple(
    _tested(c, alpha=alpha, permutations=permutations, seed=seed) for c in contrasts
  )
  tests = (*tests, *others)
  tracks = track_findings(scores, alpha)
  comparison = len(scores.comparison[PANEL])
  return Findings(
    alpha=alpha,
    evidence=bool(tests[0].p_value <= alpha),
    p_value=tests[0].p_value,
    tests=tests,
    tracks=tracks,
    flagged=sum(track.flagged for track in tracks),
    expected_flags=expected_flags(len(tracks), comparison, alpha),
    cutoffs={method: _cutoff(scores, method, alpha) for method in scores.methods},
    lowest_track=1 / (comparison + 1),
  )


def expected_flags(suspects: int, comparison: int, alpha: float) -> float:
  """How many suspects lie beyond the level by chance.

  Conformal p-values are multiples of 1 / (n + 1), so that a track is flagged with
  probability floor(alpha (n + 1)) / (n + 1), which is less than alpha.
  """
  return suspects * on_grid(alpha, 1 / (comparison + 1))


def on_grid(alpha: float, step: float) -> float:
  """The largest multiple of a step that is at most alpha."""
  return math.floor(alpha / step + _ROUNDING) * step


def track_findings(scores: TrackScores, alpha: float) -> tuple[TrackFinding, ...]:
  """Judges each suspect by itself, in the order of their names."""
  names = sorted(scores.suspects[PANEL])
  p_values = {
    method: conformal(
      [scores.suspects[method][name] for name in names],
      list(scores.comparison[method].values()),
    )
    for method in scores.methods
  }
  q_values = stats.false_discovery_control(p_values[PANEL])
  return tuple(
    TrackFinding(
      track=name,
      score={method: scores.suspects[method][name] for method in scores.methods},
      p={method: float(p[i]) for method, p in p_values.items()},
      q=float(q_values[i]),
      flagged=bool(p_values[PANEL][i] <= alpha),
    )
    for i, name in enumerate(names)
  )


def null_rejections(
  scores: TrackScores, *, alpha: float, seed: int = 0
) -> sets.NullRejections | None:
  """Counts rejections at alpha between random halves of the comparison tracks.

  Returns:
    The rate of the panel's test; None of fewer than four tracks, which have no halves,
    and at an alpha that would take too many permutations for each of 200 divisions.
  """
  values = np.array(list(scores.comparison[PANEL].values()))
  permutations = max(199, math.ceil(1 / alpha))
  if values.size < 4 or permutations > _MOST_FOR_LEVEL:
    return None
  return sets.null_rejections(
    values, np.arange(values.size), alpha=alpha, permutations=permutations, seed=seed
  )


def power_of(
  design: permutation.Design,
  alpha: float,
  test: sets.SetTest | None,
  permutations: int = 9_999,
) -> Power:
  """Says what a test of this size can find (`metrics.power`).

  Args:
    design: see `exchange`.
    alpha: level of the test.
    test: that of the panel; None for a single suspect.
    permutations: of the test.
  """
  finite = lambda value: value if math.isfinite(value) else None
  effects = power.critical_effects(design, alpha, permutations)
  detectable = finite(power.detectable(effects))
  size = Power(
    detectable=detectable,
    detectable_auc=detectable and float(stats.norm.cdf(detectable / 2**0.5)),
  )
  if test is None:
    return size
  return dataclasses.replace(
    size,
    at_estimate=power.at(effects, test.effect),
    tracks_needed=finite(test.tracks_needed),
    tracks_needed_ci=tuple(finite(end) for end in test.tracks_needed_ci),
  )


def _tested(
  contrast: Contrast, *, alpha: float, permutations: int, seed: int
) -> SuspectsTest:
  """Tests all suspects together against one contrast, by every method."""
  how = {"permutations": permutations, "seed": seed}
  design, panel = contrast.design, contrast.scores[PANEL]
  tests = _set_tests(contrast, **how)
  return SuspectsTest(
    name=contrast.name,
    p_value=float(permutation.p_values(design, panel, **how)),
    lowest=design.lowest(permutations),
    albums_exchanged=not design.by_track,
    by_album=contrast.by_album,
    sets=tests,
    power=power_of(design, alpha, tests[PANEL], permutations),
    assumes=contrast.assumes,
    unmoved=design.unmoved,
  )


def _set_tests(contrast: Contrast, **how) -> dict[str, sets.SetTest | None]:
  if contrast.design.suspect.sum() < 2:
    return dict.fromkeys(contrast.scores)
  tests = {
    method: sets.one_test(contrast.design, values, **how)
    for method, values in contrast.scores.items()
  }
  methods = [method for method in tests if method != PANEL]
  corrected = comparisons.holm([tests[method].p_value for method in methods])
  for method, p_value in zip(methods, corrected, strict=True):
    tests[method] = tests[method]._replace(p_holm=float(p_value))
  return tests


def _cutoff(scores: TrackScores, method: str, alpha: float) -> Cutoff:
  development, comparison = (
    np.array(list(side[method].values()))
    for side in (scores.development, scores.comparison)
  )
  cut = roc.cutoff(development, alpha)
  above = None if cut is None else int((comparison > cut).sum())
  return Cutoff(cutoff=cut, above=above, of=comparison.size)
