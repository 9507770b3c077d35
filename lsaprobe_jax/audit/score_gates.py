"""Gates of an audit that need scores: enough of them, and the null control."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lsaprobe_jax.audit import gates as input_gates
from lsaprobe_jax.audit import statistics
from lsaprobe_jax.audit.gates import LEVEL, Gate, cannot_fail
from lsaprobe_jax.audit.reference_split import smallest_reference
from lsaprobe_jax.audit.track_scores import GROUPS, PANEL, TrackScores, tabulate
from lsaprobe_jax.data.clips import Clip
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.metrics import permutation, pivot
from lsaprobe_jax.rows import Row

NULL_CONTROL = "null control"


def score_gates(
  scores: TrackScores,
  rows: Sequence[Row],
  clips: Sequence[Clip],
  *,
  alpha: float,
  permutations: int,
  seed: int,
  albums: Mapping[str, str] | None = None,
) -> list[Gate]:
  """Asks whether enough tracks have scores, and how the reference model scores them.

  Args:
    scores: scores of tracks under the model, without the panel.
    rows: rows of all models.
    clips: all clips that should have been scored.
    alpha: level of the verdict.
    permutations: at most so many permutations for a p-value.
    seed: of them.
    albums: see `statistics.exchange`.
  """
  enough = enough_scores(scores, alpha=alpha)
  if albums is not None and enough.holds:
    exchanged = scored_albums(scores, albums, alpha=alpha, permutations=permutations)
    if not exchanged.holds:
      return [enough, exchanged]
  if not any(row["model"] == pivot.REFERENCE for row in rows):
    text = "not run: no reference model, which saw neither side, was given"
    return [enough, Gate(name=NULL_CONTROL, holds=None, text=text)]
  if not enough.holds:
    text = "not run: too few tracks have a score"
    return [enough, Gate(name=NULL_CONTROL, holds=None, text=text)]
  table, _ = tabulate(rows, clips, model=pivot.REFERENCE, difficulty_calibration="none")
  try:
    panel = table.with_panel()
  except LsaProbeError as error:
    text = f"not run: {error}"
    return [enough, Gate(name=NULL_CONTROL, holds=None, text=text)]
  control = null_control(
    panel, alpha=alpha, permutations=permutations, seed=seed, albums=albums
  )
  return [enough, control]


def enough_scores(scores: TrackScores, *, alpha: float) -> Gate:
  """Asks whether enough tracks of each part have a score under every method."""
  needed = smallest_reference(alpha=alpha, clips_per_track=1, clips_for_tau=1)
  least = {
    "suspects": 1,
    "comparison": needed.comparison,
    "development": needed.development,
  }
  counts = {
    part: len(next(iter(getattr(scores, part).values()), {})) for part in GROUPS
  }
  enough = all(counts[part] >= least[part] for part in GROUPS)
  listed = ", ".join(f"{count} {part}" for part, count in counts.items())
  return Gate(
    name="tracks with a score",
    holds=enough,
    text=f"{listed} tracks have a score under every method",
    mend=""
    if enough
    else f"mend or replace the clips that failed: {needed.comparison} comparison and"
    f" {needed.development} development tracks must have scores",
  )


def scored_albums(
  scores: TrackScores, albums: Mapping[str, str], *, alpha: float, permutations: int
) -> Gate:
  """Asks of the tracks with a score what `gates.albums` asked of all."""
  sides = [next(iter(scores.suspects.values())), next(iter(scores.comparison.values()))]
  design = statistics.exchange(*map(list, sides), albums)
  tracks = [track for side in sides for track in side]
  known = sum(track in albums for track in tracks), len(tracks)
  gate = input_gates.albums(design, known, alpha=alpha, permutations=permutations)
  return dataclasses.replace(
    gate, name="albums with a score", text=f"of tracks with a score {gate.text}"
  )


def null_control(
  scores: TrackScores,
  *,
  alpha: float,
  permutations: int,
  seed: int,
  albums: Mapping[str, str] | None = None,
) -> Gate:
  """Asks whether the reference model's own panel does not tell the sides apart.

  Args:
    scores: scores of tracks under the reference model, with its panel.
    alpha: level of the verdict.
    permutations: at most so many permutations for the p-value.
    seed: of them.
    albums: see `statistics.exchange`.
  """
  sides = [scores.suspects[PANEL], scores.comparison[PANEL]]
  design = statistics.exchange(*map(list, sides), albums)
  level = max(LEVEL, alpha)
  if cannot := cannot_fail(NULL_CONTROL, design, level):
    return cannot
  values = np.array([value for side in sides for value in side.values()])
  p_value = permutation.p_values(
    design, values, two_sided=True, permutations=permutations, seed=seed
  )
  difference, _ = permutation.effect(design, values)
  holds = bool(p_value > level)
  return Gate(
    name=NULL_CONTROL,
    holds=holds,
    text="under the reference model, which should have seen neither side, suspects"
    f" score {'above' if difference > 0 else 'below'} the comparison tracks with"
    f" p = {p_value:.2g}, two-sided",
    mend=""
    if holds
    else "the reference model tells them apart: if it saw neither side, it is their"
    " content; give a reference of the same kind as the suspects",
  )
