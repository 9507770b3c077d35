"""Gates of an audit: what must hold before there is a verdict. Reads no flags."""

import dataclasses
from typing import Any

import numpy as np
from absl import app
from ml_collections import ConfigDict

from lsaprobe_jax.attacks import blind
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.clips import Clip, Corpus
from lsaprobe_jax.evaluating import Target
from lsaprobe_jax.evaluation import audit, intervals, summary

# From so many suspects on a classifier can learn what sets them apart.
_LEARNABLE = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
  """A condition without which there is no verdict.

  Attributes:
    name: short.
    holds: None where it could not be looked at.
    text: what was found.
    mend: what would make it hold; '' where it does.
  """

  name: str
  holds: bool | None
  text: str
  mend: str = ""


def reference_size(tracks: int, needed: audit.Size, alpha: float) -> Gate:
  """Whether the reference has tracks for a verdict at alpha."""
  text = (
    f"{tracks} reference tracks; a verdict at {alpha:g} needs {needed.total}"
    f" ({needed.comparison} to compare with, {needed.calibration} to calibrate on)"
  )
  if tracks >= needed.total:
    return Gate(name="size of the reference", holds=True, text=text)
  more = needed.total - tracks
  return Gate(
    name="size of the reference",
    holds=False,
    text=text,
    mend=f"add {more} more tracks of the same kind, surely not in training",
  )


def duplicates(facts: dict[str, list[inspection.Facts]]) -> Gate:
  """Whether no recording is on both sides; facts by side."""
  name = "no recording on both sides"
  sides = {fact.track: side for side, own in facts.items() for fact in own}
  both = [fact for own in facts.values() for fact in own]
  across = [
    pair
    for pair in inspection.duplicates(both)
    if sides[pair.first] != sides[pair.second]
  ]
  if not across:
    return Gate(name=name, holds=True, text="none found, by samples or fingerprint")
  listed = "; ".join(
    f"{p.first} and {p.second} ({'the same samples' if p.exact else 'by fingerprint'})"
    for p in across
  )
  return Gate(
    name=name,
    holds=False,
    text=f"{len(across)} found: {listed}",
    mend="a track cannot be suspected and surely untrained: take each off one side",
  )


def recorded(model: Target, corpus: Corpus) -> int:
  """Clips that the model's own record names as trained on."""
  seen = set((model.members or {}).values())
  return sum(clip.sha256 in seen for clip in corpus.clips)


def seen_in_training(model: Target, reference: Corpus) -> Gate:
  """Whether the model's own record names no clip of the reference."""
  name = "reference not in the model's own record"
  if not model.members:
    return Gate(
      name=name,
      holds=None,
      text="the model's folder does not say what it was trained on",
    )
  seen = recorded(model, reference)
  return Gate(
    name=name,
    holds=not seen,
    text=f"{seen} of {len(reference)} reference clips are recorded as trained on",
    mend="give tracks that the model was not trained on" if seen else "",
  )


def blind_baseline(suspects: Corpus, reference: Corpus, seed: int) -> Gate:
  """Whether the sides cannot be told apart without any model (BASELINES rule 5)."""
  name = "blind baseline"
  mend = (
    "find what sets the sides apart (codec, mastering, genre, age: see the differences"
    " listed) and give a reference without it"
  )
  count = len(suspects.tracks)
  try:
    if count >= _LEARNABLE and len(reference.tracks) >= 2:
      return _learned_gate(name, mend, suspects, reference, seed)
    p_values = audit.outlier_p_values(
      *(_track_features(corpus) for corpus in (suspects, reference))
    )
  except ValueError as error:
    raise app.UsageError(f"blind baseline: {error}") from error
  least = float(min(1.0, count * p_values.min()))
  holds = least > 0.05
  return Gate(
    name=name,
    holds=holds,
    text=f"with {count} suspects no classifier can be taught; the one that sounds least"
    f" like the reference has p = {least:.2g}, corrected for their number. Only a gross"
    " difference would be seen",
    mend="" if holds else mend,
  )


def _learned_gate(name, mend, suspects: Corpus, reference: Corpus, seed: int) -> Gate:
  clips = (*suspects.clips, *reference.clips)
  sides = np.arange(len(clips)) < len(suspects)
  tracks = [clip.track for clip in clips]
  scores = blind.blind_scores(
    np.concatenate([suspects.audio, reference.audio]),
    suspects.sample_rate,
    sides,
    tracks,
    seed=seed,
  )
  return _auc_gate(name, mend, scores, sides, tracks, cross_fitted=True)


def _auc_gate(name, mend, scores, sides, tracks, *, cross_fitted=False) -> Gate:
  """Holds where the interval of the AUC, suspects against reference, contains 0.5."""
  estimate = intervals.clustered_auc(np.array([scores]), np.array(sides), tracks)
  low, high = intervals.interval(estimate, cross_fitted=cross_fitted)
  holds = low <= 0.5 <= high
  return Gate(
    name=name,
    holds=bool(holds),
    text=f"AUC {float(estimate.auc[0]):.3f} [{low:.3f}, {high:.3f}] by track, suspects"
    f" against reference; a difference of less than {(high - low) / 2:.3f} would not"
    " have been seen",
    mend="" if holds else mend,
  )


def _track_features(corpus: Corpus) -> np.ndarray:
  """[tracks, features] means over clips of what the blind baseline hears."""
  values = blind.features(corpus.audio, corpus.sample_rate)
  tracks = np.array([clip.track for clip in corpus.clips])
  return np.stack([values[tracks == track].mean(axis=0) for track in corpus.tracks])


def of_scores(
  config: ConfigDict,
  scores: audit.Scores,
  rows: list[dict[str, Any]],
  clips: tuple[Clip, ...],
) -> list[Gate]:
  """Gates that need scores: enough of them, and the null control where it can be run.

  Args:
    config: all settings.
    scores: see `audit.tabulate`.
    rows: see `auditing.score`.
    clips: see `audit.tabulate`.
  """
  needed = audit.smallest_reference(config.alpha, 1, 1)
  counts = {
    side: len(next(iter(getattr(scores, side).values()), {}))
    for side in ("suspects", "comparison", "calibration")
  }
  enough = (
    counts["suspects"] >= 1
    and counts["comparison"] >= needed.comparison
    and counts["calibration"] >= needed.calibration
  )
  listed = ", ".join(f"{count} {side}" for side, count in counts.items())
  gates = [
    Gate(
      name="tracks with a score",
      holds=enough,
      text=f"{listed} tracks have a score under every method",
      mend=""
      if enough
      else f"mend or replace the clips that failed: {needed.comparison} comparison and"
      f" {needed.calibration} calibration tracks must have scores",
    )
  ]
  control = "null control"
  if not any(row["model"] == summary.REFERENCE for row in rows):
    text = "not run: no --reference_model, which saw neither side, was given"
    return [*gates, Gate(name=control, holds=None, text=text)]
  if not enough or counts["suspects"] < 2:
    text = "not run: it needs two suspects, and tracks with scores"
    return [*gates, Gate(name=control, holds=None, text=text)]
  raw = [row for row in rows if not row["calibrated"]]
  table, _ = audit.tabulate(raw, clips, summary.REFERENCE)
  try:
    panel = table.with_panel()
  except ValueError as error:
    return [*gates, Gate(name=control, holds=None, text=f"not run: {error}")]
  sides = [panel.suspects[audit.PANEL], panel.comparison[audit.PANEL]]
  gate = _auc_gate(
    control,
    "the reference model, which saw neither side, tells them apart: it is their"
    " content; give a reference of the same kind as the suspects",
    [value for side in sides for value in side.values()],
    [True] * len(sides[0]) + [False] * len(sides[1]),
    [track for side in sides for track in side],
  )
  return [*gates, gate]
