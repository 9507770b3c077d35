"""Gates of an audit: what must hold before there is a verdict. Reads no flags."""

import dataclasses
from typing import Any

import numpy as np
from absl import app
from ml_collections import ConfigDict

from lsaprobe_jax.attacks import blind
from lsaprobe_jax.audit import statistics
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.clips import Clip, Corpus
from lsaprobe_jax.metrics import likeness, permutation, power, summary
from lsaprobe_jax.scoring.scorer import Target

# Level at which the sides are taken to differ without any membership; that of the
# verdict where that is higher, so that a gate can fail wherever a verdict can be had.
_LEVEL = 0.05
_LISTED = 5


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


def reference_size(tracks: int, needed: statistics.Size, alpha: float) -> Gate:
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


def albums(
  design: permutation.Design, known: tuple[int, int] | None, config: ConfigDict
) -> Gate:
  """Whether enough albums are there for a verdict, where whole albums are exchanged.

  Args:
    design: `statistics.exchange` of the tracks.
    known: tracks whose album is known, of how many; None where tracks are exchanged.
    config: all settings.
  """
  name = "albums"
  if known is None:
    return Gate(
      name=name,
      holds=None,
      text="tracks are taken for independent: no album is known, or"
      " --config.albums=tracks was given. Likeness to tracks of one album that were"
      " trained on would look like training",
    )
  lowest = design.lowest(config.permutations)
  many = design.arrangements >= 10**6
  text = (
    f"the album of {known[0]} of {known[1]} tracks is known;"
    f" {'over a million' if many else design.arrangements} ways to exchange suspects"
    " and reference respect albums"
    + ("" if many else f", so that no p-value can be below {lowest:.2g}")
  )
  if known[0] < known[1]:
    text += ". Tracks of no known album are taken for independent"
  if lowest <= config.alpha:
    return Gate(name=name, holds=True, text=text)
  return Gate(
    name=name,
    holds=False,
    text=text,
    mend="give reference tracks of the suspects' own albums, or of more albums; or take"
    " tracks for independent with --config.albums=tracks, which the verdict will say",
  )


def recorded(model: Target, corpus: Corpus) -> dict[str, bool]:
  """Tracks that the model's own record holds: by name, whether by their samples.

  A track counts whose clip has the samples of one that was trained on, or that bears
  the name of one: cut elsewhere or decoded anew, the samples differ.
  """
  members = model.members or {}
  samples = set(members.values())
  names = {clip_id.rpartition("@")[0] for clip_id in members}
  found: dict[str, bool] = {}
  for clip in corpus.clips:
    same = clip.sha256 in samples
    if same or clip.track.partition("-")[2] in names:
      found[clip.track] = found.get(clip.track, False) or same
  return found


def not_recorded(model: Target, sides: dict[str, Corpus], name: str) -> Gate:
  """Whether a model's own record names no track of some sides.

  Args:
    model: the model under audit, or the reference model.
    sides: those that it must not have seen, by name.
    name: of the gate.
  """
  if not model.members:
    return Gate(
      name=name,
      holds=None,
      text=f"the folder of {_called(model)} does not say what it was trained on",
    )
  texts, seen = [], {}
  for side, corpus in sides.items():
    own = recorded(model, corpus)
    seen |= own
    texts.append(
      f"{len(own)} of {len(corpus.tracks)} {side} tracks are recorded as trained on"
      f" ({sum(own.values())} by their samples, others by name)"
    )
  text = "; ".join(texts)
  if not seen:
    return Gate(name=name, holds=True, text=text)
  listed = ", ".join(list(seen)[:_LISTED]) + ", ..." * (len(seen) > _LISTED)
  return Gate(
    name=name,
    holds=False,
    text=f"{text}: {listed}",
    mend=f"give tracks that {_called(model)} was not trained on"
    + (" or another reference model" if model.name == summary.REFERENCE else "")
    + "; rename other music that only bears the same name",
  )


def _called(model: Target) -> str:
  return "the reference model" if model.name == summary.REFERENCE else "the model"


def blind_baseline(
  suspects: Corpus, reference: Corpus, design: permutation.Design, config: ConfigDict
) -> Gate:
  """Whether the sides cannot be told apart without any model.

  Args:
    suspects: their clips.
    reference: those that they are compared with.
    design: `statistics.exchange` of the tracks of both, in that order.
    config: all settings.

  Raises:
    app.UsageError: the clips are too short for the features.
  """
  try:
    features = np.concatenate([_track_features(side) for side in (suspects, reference)])
  except ValueError as error:
    raise app.UsageError(f"blind baseline: {error}") from error
  level = max(_LEVEL, config.alpha)
  if cannot := _cannot_fail("blind baseline", design, level):
    return cannot
  found = likeness.compare(design, features, blind.FEATURE_NAMES, seed=config.seed)
  least = power.detectable(power.critical_effects(design, level / 2))
  seen = f"a shift of {least:.2g} sd or more" if np.isfinite(least) else "no shift"
  holds = found.p_value > level
  return Gate(
    name="blind baseline",
    holds=holds,
    text="without the model, suspects and reference differ over"
    f" {len(blind.FEATURE_NAMES)} acoustic features with p = {found.p_value:.2g}, most"
    f" in {found.feature} ({found.difference:+.2g} sd). In one feature, {seen} would be"
    " seen four times in five",
    mend=""
    if holds
    else "find what sets the sides apart (codec, mastering, genre, age: see the"
    " differences listed) and give a reference without it",
  )


def _cannot_fail(name: str, design: permutation.Design, level: float) -> Gate | None:
  """What to say of a gate that holds whatever it sees; None where it can fail."""
  if 1 / design.arrangements <= level:
    return None
  return Gate(
    name=name,
    holds=None,
    text=f"suspects and reference can be exchanged in {design.arrangements} ways only,"
    f" so that no difference could be seen at {level:g}",
  )


def _track_features(corpus: Corpus) -> np.ndarray:
  """[tracks, features] means over clips of what the blind baseline hears."""
  values = blind.features(corpus.audio, corpus.sample_rate)
  tracks = np.array([clip.track for clip in corpus.clips])
  return np.stack([values[tracks == track].mean(axis=0) for track in corpus.tracks])


def of_scores(
  config: ConfigDict,
  scores: statistics.Scores,
  rows: list[dict[str, Any]],
  clips: tuple[Clip, ...],
  albums: dict[str, str] | None = None,
) -> list[Gate]:
  """Gates that need scores: enough of them, and the null control where it can be run.

  Args:
    config: all settings.
    scores: see `statistics.tabulate`.
    rows: see `auditing.score`.
    clips: see `statistics.tabulate`.
    albums: see `statistics.exchange`.
  """
  needed = statistics.smallest_reference(config.alpha, 1, 1)
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
  if not enough:
    text = "not run: too few tracks have a score"
    return [*gates, Gate(name=control, holds=None, text=text)]
  raw = [row for row in rows if row["difficulty_calibration"] == "none"]
  table, _ = statistics.tabulate(raw, clips, summary.REFERENCE)
  try:
    panel = table.with_panel()
  except ValueError as error:
    return [*gates, Gate(name=control, holds=None, text=f"not run: {error}")]
  return [*gates, _null_control(control, panel, albums, config)]


def _null_control(
  name: str, scores: statistics.Scores, albums, config: ConfigDict
) -> Gate:
  """Whether the reference model's own panel does not tell the sides apart."""
  sides = [scores.suspects[statistics.PANEL], scores.comparison[statistics.PANEL]]
  design = statistics.exchange(*map(list, sides), albums)
  level = max(_LEVEL, config.alpha)
  if cannot := _cannot_fail(name, design, level):
    return cannot
  values = np.array([value for side in sides for value in side.values()])
  settings = {"permutations": config.permutations, "seed": config.seed}
  p_value = permutation.p_values(design, values, two_sided=True, **settings)
  difference, _ = permutation.effect(design, values)
  holds = bool(p_value > level)
  return Gate(
    name=name,
    holds=holds,
    text="under the reference model, which should have seen neither side, suspects"
    f" score {'above' if difference > 0 else 'below'} the comparison tracks with"
    f" p = {p_value:.2g}, two-sided",
    mend=""
    if holds
    else "the reference model tells them apart: if it saw neither side, it is their"
    " content; give a reference of the same kind as the suspects",
  )
