"""Scores of an audit's tracks: from rows of clips to a table by method and track."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lsaprobe_jax.data.clips import Clip
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.metrics import tables
from lsaprobe_jax.rows import Row

PANEL = "panel"
MODEL = "model"
# By what scores are calibrated for difficulty, what takes off most of it first.
CALIBRATIONS = ("both", "reference", "twins", "none")
# Groups of clips that stand for the parts of an audit.
GROUPS = {"suspects": "a", "comparison": "b", "development": "dev"}

Table = Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackScores:
  """Scores of tracks under one or more methods, higher = member.

  Attributes:
    suspects: by method, then by track.
    comparison: likewise, under the same methods.
    development: likewise.
  """

  suspects: Table
  comparison: Table
  development: Table

  @property
  def methods(self) -> tuple[str, ...]:
    """The methods, in their order."""
    return tuple(self.suspects)

  def with_panel(self) -> "TrackScores":
    """Adds the panel, the mean of all methods in deviations of development tracks.

    Raises:
      LsaProbeError: the sides or the methods hold different tracks, or a method does
        not vary over the development tracks.
    """
    scale = {}
    for method, by_track in self.development.items():
      values = np.array(list(by_track.values()))
      if values.size < 2 or not values.std(ddof=1) > 0:
        raise LsaProbeError(f"{method} does not vary over the development tracks")
      scale[method] = (values.mean(), values.std(ddof=1))
    sides = {}
    for field in dataclasses.fields(self):
      side = getattr(self, field.name)
      tracks = {frozenset(by_track) for by_track in side.values()}
      if side.keys() != scale.keys() or len(tracks) != 1:
        raise LsaProbeError(f"{field.name}: methods or tracks differ")
      panel = {
        track: float(
          np.mean([(side[m][track] - mean) / sd for m, (mean, sd) in scale.items()])
        )
        for track in sorted(*tracks)
      }
      sides[field.name] = {**side, PANEL: panel}
    return TrackScores(**sides)


def difficulty_calibration_of(rows: Sequence[Row]) -> str:
  """Says by what the scores of a model's rows that decide are calibrated.

  Returns:
    The first of `CALIBRATIONS` that there are rows of; `none` where there are no rows.
  """
  kinds = {row["difficulty_calibration"] for row in rows}
  return next((name for name in CALIBRATIONS if name in kinds), "none")


def tabulate(
  rows: Sequence[Row],
  clips: Sequence[Clip],
  *,
  model: str = MODEL,
  difficulty_calibration: str | None = None,
) -> tuple[TrackScores, list[str]]:
  """Averages the scores of each track, over clips that every method scored.

  Args:
    rows: rows of all methods, one a clip, method and model.
    clips: all clips that should have been scored.
    model: the model whose rows count.
    difficulty_calibration: that of the rows that count; by default the one that decides
      (`difficulty_calibration_of`).

  Returns:
    (scores without the panel, ids of the clips that some method has no score for).
  """
  own = [row for row in rows if row["model"] == model]
  wanted = difficulty_calibration or difficulty_calibration_of(own)
  by_clip: dict[str, dict[str, float]] = {}
  for row in own:
    if row["difficulty_calibration"] == wanted:
      label = tables.label(row["method"], wanted)
      by_clip.setdefault(row["clip"], {})[label] = row["score"]
  methods = list(dict.fromkeys(m for scores in by_clip.values() for m in scores))
  whole = [c for c in clips if by_clip.get(c.id, {}).keys() == set(methods)]
  failed = sorted({c.id for c in clips} - {c.id for c in whole})
  parts = {
    part: {
      method: _means([c for c in whole if c.group == group], by_clip, method)
      for method in methods
    }
    for part, group in GROUPS.items()
  }
  return TrackScores(**parts), failed


def _means(
  clips: Sequence[Clip], by_clip: Mapping[str, Mapping[str, float]], method: str
) -> dict[str, float]:
  """Mean score by track, in the order of their names."""
  scores: dict[str, list[float]] = {}
  for clip in clips:
    scores.setdefault(clip.track, []).append(by_clip[clip.id][method])
  return {track: float(np.mean(own)) for track, own in sorted(scores.items())}
