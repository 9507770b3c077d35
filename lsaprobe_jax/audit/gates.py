"""Gates of an audit that need no score: what must hold of what was given."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lsaprobe_jax.attacks import blind
from lsaprobe_jax.audit.reference_split import ReferenceSize
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.metrics import likeness, permutation, pivot, power
from lsaprobe_jax.models.trained import TrainedModel

# Level at which the sides are taken to differ without any membership; that of the
# verdict where that is higher, so that a gate can fail wherever a verdict can be had.
LEVEL = 0.05
_LISTED = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
  """A condition without which there is no verdict.

  Attributes:
    name: short.
    holds: None where it could not be looked at.
    text: what was found.
    mend: what would make it hold; empty where it holds.
  """

  name: str
  holds: bool | None
  text: str
  mend: str = ""


def reference_size(tracks: int, needed: ReferenceSize, *, alpha: float) -> Gate:
  """Asks whether the reference has enough tracks for a verdict at alpha."""
  name = "size of the reference"
  text = (
    f"{tracks} reference tracks; a verdict at {alpha:g} needs {needed.total}"
    f" ({needed.comparison} to compare with, {needed.development} for development)"
  )
  if tracks >= needed.total:
    return Gate(name=name, holds=True, text=text)
  more = needed.total - tracks
  mend = f"add {more} more tracks of the same kind, surely not in training"
  return Gate(name=name, holds=False, text=text, mend=mend)


def duplicates(facts: Mapping[str, Sequence[inspection.Facts]]) -> Gate:
  """Asks whether no recording is on both sides.

  Args:
    facts: what is known of each track's file, by side.
  """
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
  design: permutation.Design,
  known: tuple[int, int] | None,
  *,
  alpha: float,
  permutations: int,
) -> Gate:
  """Asks whether there are enough albums for a verdict, where these are exchanged.

  Args:
    design: `statistics.exchange` of the tracks.
    known: how many tracks' album is known, and of how many tracks; None where tracks
      are exchanged.
    alpha: level of the verdict.
    permutations: at most so many permutations for a p-value.
  """
  name = "albums"
  if known is None:
    return Gate(
      name=name,
      holds=None,
      text="tracks are taken for independent: no album is known, or albums=tracks was"
      " given. Likeness to tracks of one album that were trained on would look like"
      " training",
    )
  lowest = design.lowest(permutations)
  many = design.arrangements >= 10**6
  text = (
    f"the album of {known[0]} of {known[1]} tracks is known;"
    f" {'over a million' if many else design.arrangements} ways to exchange suspects"
    " and reference respect albums"
    + ("" if many else f", so that no p-value can be below {lowest:.2g}")
  )
  if known[0] < known[1]:
    text += ". Tracks of no known album are taken for independent"
  if design.unmoved:
    text += (
      f". {design.unmoved} of {design.suspect.sum()} suspects can be exchanged with no"
      " reference track, so that whatever they score counts for nothing"
    )
  # The answer would be of few of them.
  if lowest <= alpha and 2 * design.unmoved <= design.suspect.sum():
    return Gate(name=name, holds=True, text=text)
  return Gate(
    name=name,
    holds=False,
    text=text,
    mend="give reference tracks of the suspects' own albums, or of more albums; or take"
    " tracks for independent with albums=tracks, which the verdict will say",
  )


def recorded(model: TrainedModel, corpus: Corpus) -> dict[str, bool]:
  """Finds the tracks that a model's own record names as trained on.

  A track counts whose clip has the samples of one that was trained on, or that bears
  the name of one: cut elsewhere or decoded anew, the samples differ.

  Returns:
    Whether each such track is known by its samples, by name.
  """
  samples = set((model.members or {}).values())
  found: dict[str, bool] = {}
  for clip in corpus.clips:
    same = clip.sha256 in samples
    if same or clip.track.partition("-")[2] in model.member_tracks:
      found[clip.track] = found.get(clip.track, False) or same
  return found


def not_recorded(model: TrainedModel, sides: Mapping[str, Corpus], name: str) -> Gate:
  """Asks whether a model's own record names no track of some sides.

  Args:
    model: the model under audit, or the reference model.
    sides: what the model must not have seen, by name.
    name: that of the gate.
  """
  if not model.members:
    text = f"the folder of {_called(model)} does not say what it was trained on"
    return Gate(name=name, holds=None, text=text)
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
    + (" or another reference model" if model.name == pivot.REFERENCE else "")
    + "; rename other music that only bears the same name",
  )


def _called(model: TrainedModel) -> str:
  return "the reference model" if model.name == pivot.REFERENCE else "the model"


def blind_baseline(
  suspects: Corpus,
  reference: Corpus,
  design: permutation.Design,
  *,
  alpha: float,
  seed: int,
) -> Gate:
  """Asks whether the sides cannot be told apart without any model.

  Args:
    suspects: their clips.
    reference: clips of the tracks that they are compared with.
    design: `statistics.exchange` of the tracks of both, in that order.
    alpha: level of the verdict.
    seed: of the permutations.

  Raises:
    SettingError: the clips are too short for the features.
  """
  try:
    features = np.concatenate([_track_features(side) for side in (suspects, reference)])
  except ValueError as error:
    raise SettingError(f"corpus.clip_seconds: blind baseline: {error}") from error
  level = max(LEVEL, alpha)
  if cannot := cannot_fail("blind baseline", design, level):
    return cannot
  names = blind.feature_names(suspects.channels)
  found = likeness.compare(design, features, names, seed=seed)
  least = power.detectable(power.critical_effects(design, level / 2))
  # A test of that feature alone sees it four times in five; one of all sees less.
  missed = f"less than {least:.2g} sd" if np.isfinite(least) else "whatever size"
  holds = found.p_value > level
  return Gate(
    name="blind baseline",
    holds=holds,
    text="without the model, suspects and reference differ over"
    f" {len(names)} acoustic features with p = {found.p_value:.2g}, most"
    f" in {found.feature} ({found.difference:+.2g} sd). A shift of one feature by"
    f" {missed} would often be missed",
    mend=""
    if holds
    else "find what sets the sides apart (codec, mastering, genre, age: see the"
    " differences listed) and give a reference without it",
  )


def cannot_fail(name: str, design: permutation.Design, level: float) -> Gate | None:
  """Says that a gate holds whatever it sees; None where it can fail.

  Args:
    name: that of the gate.
    design: of its test.
    level: two-sided p-values above it let the gate hold.
  """
  # Where the sides could change places, that way is as extreme as the observed one.
  ways = 2 if design.mirrored else 1
  if ways / design.arrangements <= level:
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
