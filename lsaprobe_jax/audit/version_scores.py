"""Scores of suspects in several versions, and what they say: no other music is needed.

The versions of a track are the track as given and its twins, or the version that was
published and those that were held back (`metrics.versions`). Scores are compared on the
scale on which differences count (`metrics.difficulty`), clip by clip.

The panel of a clip's version is the mean over methods of its score less the mean of the
clip's versions, over the root mean square of all such differences of the method, over
all clips and versions. No version of a track is treated unlike another, so that an
exchange of versions leaves the scales as they are, and the test stays exact.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from lsaprobe_jax.audit.findings import (
  VERSIONS,
  MethodVersions,
  Power,
  SuspectsTest,
  TrackFinding,
)
from lsaprobe_jax.audit.statistics import on_grid
from lsaprobe_jax.audit.track_scores import MODEL, PANEL, TrackScores
from lsaprobe_jax.data.clips import Clip
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.metrics import comparisons, difficulty, equivalence, power, tables
from lsaprobe_jax.metrics.versions import (
  TrackVersions,
  VersionTest,
  compare_clips,
  compare_versions,
)
from lsaprobe_jax.rows import Row

# Scores whose differences are no larger, relative to them, differ by rounding.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class VersionScores:
  """Scores of tracks in several versions, higher = member.

  Attributes:
    scores: by method, then by track in the order of their names, [clips, 1 + k]: as
      given in column 0, in k other versions behind it.
  """

  scores: Mapping[str, Mapping[str, np.ndarray]]

  @property
  def methods(self) -> tuple[str, ...]:
    """The methods, in their order."""
    return tuple(self.scores)

  @property
  def tracks(self) -> tuple[str, ...]:
    """The tracks, in the order of their names."""
    return tuple(next(iter(self.scores.values()), {}))

  def with_panel(self) -> "VersionScores":
    """Adds the panel.

    Raises:
      LsaProbeError: there is no track, or versions of every clip score alike under a
        method.
    """
    if not self.tracks:
      raise LsaProbeError("no clip has a score by every method in every version")
    panel = {track: [] for track in self.tracks}
    for method, by_track in self.scores.items():
      values = np.concatenate(list(by_track.values()))
      centred = values - values.mean(axis=1, keepdims=True)
      scale = float(np.sqrt(np.mean(centred**2)))
      if not scale > _ROUNDING * float(np.abs(values).max()):
        raise LsaProbeError(f"{method} does not tell the versions of any clip apart")
      for track, own in by_track.items():
        panel[track].append((own - own.mean(axis=1, keepdims=True)) / scale)
    means = {track: np.mean(own, axis=0) for track, own in panel.items()}
    return VersionScores(scores={**self.scores, PANEL: means})

  def track_versions(
    self,
    method: str,
    albums: Mapping[str, str] | None = None,
    *,
    randomised: bool = False,
  ) -> TrackVersions:
    """Means of tracks over their clips, weighted by these.

    Args:
      method: whose scores.
      albums: by track; None to take all tracks for independent.
      randomised: see `TrackVersions`.
    """
    own = self.scores[method]
    return TrackVersions(
      scores=np.array([clips.mean(axis=0) for clips in own.values()]),
      weights=np.array([len(clips) for clips in own.values()], float),
      blocks=None if albums is None else [albums.get(track) for track in own],
      randomised=randomised,
    )

  def track_scores(self) -> TrackScores:
    """Differences of tracks, as given less the mean of the others, by method."""
    suspects = {
      method: dict(
        zip(own, self.track_versions(method).differences.tolist(), strict=True)
      )
      for method, own in self.scores.items()
    }
    nothing = {method: {} for method in self.scores}
    return TrackScores(suspects=suspects, comparison=nothing, development=nothing)


def of_twins(
  rows: Sequence[Row], clips: Sequence[Clip], names: Sequence[str]
) -> tuple[VersionScores, list[str]]:
  """Scores of clips and of some of their twins, under the model.

  Args:
    rows: of all methods.
    clips: all clips that should have been scored.
    names: the twins that count.

  Returns:
    (scores without the panel, ids of the clips that some method has no score for).
  """
  found: dict[str, dict[str, list[float]]] = {}
  for row in _scored(rows):
    if "twins" in row:
      own = dict(zip(row["twins"].split(","), row["twin_scores"], strict=True))
      values = [
        difficulty.scale(row, score) for score in (row["score"], *map(own.get, names))
      ]
      method = tables.label(row["method"], "twins")
      found.setdefault(row["clip"], {})[method] = values
  return _by_track(found, {clip.id: clip.track for clip in clips})


def of_held_back(
  rows: Sequence[Row], versions: Sequence[Sequence[Clip]]
) -> tuple[VersionScores, list[str]]:
  """Scores of clips as published and in the versions that were held back.

  Args:
    rows: of all methods.
    versions: clips of each version, those published first; the same clips of the same
      tracks in each.

  Returns:
    See `of_twins`; ids are those of the published clips.
  """
  scored: dict[str, dict[str, float]] = {}
  for row in _scored(rows):
    scored.setdefault(row["clip"], {})[row["method"]] = difficulty.scale(
      row, row["score"]
    )
  found = {}
  for same in zip(*versions, strict=True):
    each = [scored.get(clip.id, {}) for clip in same]
    found[same[0].id] = {
      method: [own[method] for own in each]
      for method in each[0]
      if all(method in own for own in each)
    }
  return _by_track(found, {clip.id: clip.track for clip in versions[0]})


def judge_set(
  scores: VersionScores,
  albums: Mapping[str, str] | None,
  *,
  name: str,
  assumes: str,
  alpha: float,
  permutations: int,
  seed: int,
  two_sided: bool = False,
  randomised: bool = False,
) -> SuspectsTest:
  """Tests whether suspects score higher as given than in their other versions.

  Args:
    scores: with the panel.
    albums: by track, which are exchanged whole; None to take tracks for independent.
    name: of the test.
    assumes: what must hold for it, in words.
    alpha: level of the verdict.
    permutations: at most so many ways to choose versions.
    seed: of them.
    two_sided: see `versions.p_value`.
    randomised: see `TrackVersions`.
  """
  how = {"permutations": permutations, "two_sided": two_sided}
  tests = {
    method: compare_versions(
      scores.track_versions(method, albums, randomised=randomised), seed=seed, **how
    )
    for method in scores.methods
  }
  methods = [method for method in tests if method != PANEL]
  holm = comparisons.holm([tests[method].p_value for method in methods])
  corrected = dict(zip(methods, map(float, holm), strict=True))
  panel = tests[PANEL]
  return SuspectsTest(
    name=name,
    p_value=panel.p_value,
    lowest=panel.lowest,
    albums_exchanged=panel.blocks < panel.tracks,
    by_album=albums is not None and all(track in albums for track in scores.tracks),
    sets={
      method: _method(test, corrected.get(method, test.p_value))
      for method, test in tests.items()
    },
    power=_power(panel, alpha, how),
    kind=VERSIONS,
    assumes=assumes,
  )


def track_findings(
  scores: VersionScores,
  *,
  alpha: float,
  permutations: int,
  seed: int,
  two_sided: bool = False,
) -> tuple[tuple[TrackFinding, ...], float, float]:
  """Judges each suspect by its own clips, which are taken for independent.

  Args:
    scores: with the panel.
    alpha: level of the flags.
    permutations: see `compare_clips`.
    seed: likewise.
    two_sided: likewise.

  Returns:
    (findings in the order of the names, how many flags are expected by chance, the
    smallest p-value that a track could have had).
  """
  how = {"permutations": permutations, "seed": seed, "two_sided": two_sided}
  tests = {
    track: {m: compare_clips(scores.scores[m][track], **how) for m in scores.methods}
    for track in scores.tracks
  }
  panel = [own[PANEL] for own in tests.values()]
  q_values = stats.false_discovery_control([test.p_value for test in panel])
  found = tuple(
    TrackFinding(
      track=track,
      score={method: test.difference for method, test in own.items()},
      p={method: test.p_value for method, test in own.items()},
      q=float(q),
      flagged=bool(own[PANEL].p_value <= alpha),
    )
    for (track, own), q in zip(tests.items(), q_values, strict=True)
  )
  expected = sum(on_grid(alpha, test.lowest) for test in panel)
  return found, expected, min(test.lowest for test in panel)


def _method(test: VersionTest, p_holm: float) -> MethodVersions:
  names = ("tracks", "blocks", "difference", "effect", "ci", "p_value")
  return MethodVersions(p_holm=p_holm, **{name: getattr(test, name) for name in names})


def _power(test: VersionTest, alpha: float, how: Mapping) -> Power:
  """What the test can find, in standard deviations of the blocks' differences."""
  effects = equivalence.critical_effects(test.blocks, test.versions, alpha, **how)
  found = equivalence.detectable(test.blocks, test.versions, alpha, **how)
  effect = abs(test.effect) if how["two_sided"] else test.effect
  return Power(
    detectable=found if np.isfinite(found) else None,
    detectable_auc=None,
    at_estimate=None if np.isnan(test.effect) else power.at(effects, effect),
  )


def _scored(rows: Sequence[Row]) -> list[Row]:
  return [
    row
    for row in rows
    if row["model"] == MODEL and row["difficulty_calibration"] == "none"
  ]


def _by_track(
  found: Mapping[str, Mapping[str, list[float]]], tracks: Mapping[str, str]
) -> tuple[VersionScores, list[str]]:
  """Scores of whole clips by method and track, and the ids of the other clips."""
  methods = list(dict.fromkeys(m for by_method in found.values() for m in by_method))
  whole = [clip for clip in tracks if found.get(clip, {}).keys() == set(methods)]
  scores: dict[str, dict[str, list]] = {method: {} for method in methods}
  for clip in sorted(whole, key=lambda clip: (tracks[clip], clip)):
    for method in methods:
      scores[method].setdefault(tracks[clip], []).append(found[clip][method])
  arrays = {
    method: {track: np.array(own) for track, own in by_track.items()}
    for method, by_track in scores.items()
  }
  return VersionScores(scores=arrays), sorted(set(tracks) - set(whole))
