"""What an audit is given, opened by its mode, with the gates that need no score."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lsaprobe_jax.audit import canary, sides, statistics, version_gates
from lsaprobe_jax.audit import gates as input_gates
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.audit.reference_split import smallest_reference, split_reference
from lsaprobe_jax.audit.settings import AuditSettings
from lsaprobe_jax.audit.track_scores import GROUPS
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.scoring.experiment_inputs import MIN_DEVELOPMENT_CLIPS

RECORD = "reference not in the model's own record"
REFERENCE_RECORD = "neither side in the reference model's own record"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
  """Clips of all parts, what is known of their files, and the first gates.

  Attributes:
    suspects: clips of group a.
    comparison: clips of group b; none without reference tracks.
    development: clips of group dev; none without reference tracks, or where these are
      too few.
    held_back: clips of each version that was held back, in the order of the suspects'.
    facts: what is known of each track's file, by side.
    albums: by track, where whole albums are exchanged; None where tracks are.
    gates: those that need no score.
    notes: what a reader should know of the sides.
  """

  suspects: Corpus
  comparison: Corpus
  development: Corpus
  held_back: tuple[Corpus, ...]
  facts: Mapping[str, list[inspection.Facts]]
  albums: Mapping[str, str] | None
  gates: list[Gate]
  notes: list[str]


def with_reference(
  settings: AuditSettings,
  targets: Sequence[TrainedModel],
  given: Mapping[str, str],
  groups: sides.Groups,
  how: Mapping,
) -> Opened:
  """Opens suspects and reference tracks.

  Args:
    settings: all settings.
    targets: the model and, where there is one, the reference model.
    given: path by side.
    groups: groups of tracks by side.
    how: `sample_rate`, `channels`, `clip_seconds` and `clips_per_track` of the clips.
  """
  opened, notes = sides.open_sides(given, groups=groups, **how)
  facts, opened, left_out = sides.inspect_sides(given, opened)
  notes += left_out + inspection.differences(*facts.values())
  development, comparison, enough = _split(settings, opened["reference"])
  albums = _albums(settings, given)
  gates = [enough, input_gates.duplicates(facts)]
  gates += _record_gates(targets, opened)
  gates += _exchange_gates(settings, opened, comparison, albums)
  return Opened(
    suspects=_regroup(opened["suspect"], "suspects"),
    comparison=_regroup(opened["reference"], "comparison", comparison),
    development=_regroup(opened["reference"], "development", development),
    held_back=(),
    facts=facts,
    albums=albums,
    gates=gates,
    notes=notes + _seen(targets[0], opened["suspect"]),
  )


def alone(
  settings: AuditSettings,
  targets: Sequence[TrainedModel],
  given: Mapping[str, str],
  groups: sides.Groups,
  how: Mapping,
) -> Opened:
  """Opens suspects without any other music; see `with_reference`."""
  opened, notes = sides.open_sides(given, groups=groups, **how)
  facts, opened, left_out = sides.inspect_sides(given, opened)
  suspects = _regroup(opened["suspect"], "suspects")
  return Opened(
    suspects=suspects,
    **_nothing_beside(suspects),
    held_back=(),
    facts=facts,
    albums=_albums(settings, given),
    gates=[],
    notes=notes + left_out + _seen(targets[0], suspects),
  )


def with_held_back(
  settings: AuditSettings,
  targets: Sequence[TrainedModel],
  suspects: str,
  held_back: str,
  how: Mapping,
) -> Opened:
  """Opens published tracks and the versions that were held back.

  Args:
    settings: all settings.
    targets: the model.
    suspects: folder of the published tracks.
    held_back: folder of the others.
    how: see `with_reference`.
  """
  folders = canary.version_folders(held_back)
  given = {"suspect": suspects, **folders}
  opened, notes = canary.open_versions(suspects, folders, **how)
  facts, opened, left_out = sides.inspect_sides(given, opened)
  opened, facts = _in_all(opened, facts)
  published = _regroup(opened.pop("suspect"), "suspects")
  versions = tuple(_regroup(corpus, "comparison") for corpus in opened.values())
  return Opened(
    suspects=published,
    **_nothing_beside(published),
    held_back=versions,
    facts=facts,
    # What was drawn for each track by itself is exchanged by itself.
    albums=None
    if settings.canary_randomised
    else _albums(settings, {"suspect": suspects}),
    gates=[
      version_gates.other_recordings(facts),
      version_gates.not_trained_on(targets[0], versions),
    ],
    notes=canary.beside_versions(held_back)
    + _unlike_versions(facts)
    + notes
    + left_out
    + _seen(targets[0], published),
  )


def _unlike_versions(facts: Mapping[str, list[inspection.Facts]]) -> list[str]:
  """Notes on what one of the versions alone went through, such as an encoder."""
  published, *others = facts.values()
  found = [
    line
    for side, own in facts.items()
    if side != "suspect"
    for line in inspection.differences(published, own, ("published", side))
  ]
  for name in inspection.KINDS:
    # Where it was drawn by track which to publish, both sides have kinds of either.
    own, other = (
      {getattr(fact, name) for fact in side}
      for side in (published, [fact for side in others for fact in side])
    )
    if not own & other and not any(line.startswith(f"{name}: ") for line in found):
      kinds = [" and ".join(map(str, sorted(side))) for side in (own, other)]
      found.append(f"{name}: {kinds[0]} as published, {kinds[1]} as held back")
  if not found:
    return []
  return [
    "published and held-back versions differ in what no draw covers: what was done to"
    " one side alone after it, such as encoding, may look like training. Give all"
    " versions as they were when it was chosen which to publish",
    *found,
  ]


def _nothing_beside(suspects: Corpus) -> dict[str, Corpus]:
  return {part: _regroup(suspects, part, ()) for part in ("comparison", "development")}


def _in_all(opened: Mapping, facts: Mapping) -> tuple[dict, dict]:
  """Clips and facts of the tracks that are left in all versions."""
  name = lambda side, track: track.removeprefix(f"{side}-")
  kept = set.intersection(
    *({name(side, track) for track in corpus.tracks} for side, corpus in opened.items())
  )
  clips = {
    side: corpus.take(
      i for i, clip in enumerate(corpus.clips) if name(side, clip.track) in kept
    )
    for side, corpus in opened.items()
  }
  return clips, {
    side: [fact for fact in own if name(side, fact.track) in kept]
    for side, own in facts.items()
  }


def _albums(settings: AuditSettings, given: Mapping[str, str]) -> dict | None:
  return None if settings.albums == "tracks" else sides.known_albums(given)


def _record_gates(
  targets: Sequence[TrainedModel], opened: Mapping[str, Corpus]
) -> list[Gate]:
  """Gates on what the models themselves say that they were trained on."""
  model, *references = targets
  sides_of_model = {"reference": opened["reference"]}
  gates = [input_gates.not_recorded(model, sides_of_model, RECORD)]
  for reference in references:
    gates.append(input_gates.not_recorded(reference, opened, REFERENCE_RECORD))
  return gates


def _seen(model: TrainedModel, suspects: Corpus) -> list[str]:
  """What to note where the model's own record names suspects."""
  seen = input_gates.recorded(model, suspects)
  if not seen:
    return []
  return [
    f"the model's own record holds {len(seen)} of {len(suspects.tracks)} suspects as"
    f" trained on ({sum(seen.values())} by their samples, others by name)"
  ]


def _exchange_gates(
  settings: AuditSettings,
  opened: Mapping[str, Corpus],
  comparison: Sequence[str],
  albums: Mapping[str, str] | None,
) -> list[Gate]:
  """Gates on whether the sides can be exchanged."""
  suspects, reference = opened["suspect"], opened["reference"]
  # The tracks that the verdict compares, exchanged as it exchanges them. Where tracks
  # are exchanged, the development tracks are as good, and make the gate see more.
  judged = statistics.exchange(suspects.tracks, comparison, albums)
  known = None
  if albums is not None:
    names = (*suspects.tracks, *comparison)
    known = sum(track in albums for track in names), len(names)
    reference = _regroup(reference, "comparison", comparison)
  heard = statistics.exchange(suspects.tracks, reference.tracks, albums)
  alpha = settings.alpha
  return [
    input_gates.albums(judged, known, alpha=alpha, permutations=settings.permutations),
    input_gates.blind_baseline(
      suspects, reference, heard, alpha=alpha, seed=settings.seed
    ),
  ]


def _split(
  settings: AuditSettings, reference: Corpus
) -> tuple[Sequence[str], Sequence[str], Gate]:
  """Development tracks, comparison tracks, and whether there are enough of both."""
  needed = smallest_reference(
    alpha=settings.alpha,
    clips_per_track=int(sides.clips_of_tracks(reference).min()),
    clips_for_tau=MIN_DEVELOPMENT_CLIPS,
  )
  tracks = reference.tracks
  gate = input_gates.reference_size(len(tracks), needed, alpha=settings.alpha)
  if not gate.holds:
    return [], tracks, gate
  return *split_reference(tracks, needed, seed=settings.seed), gate


def _regroup(corpus: Corpus, part: str, tracks=None) -> Corpus:
  """Clips of some tracks, of all by default, in the group that stands for a part."""
  kept = [i for i, c in enumerate(corpus.clips) if tracks is None or c.track in tracks]
  chosen = corpus.take(kept)
  regroup = lambda clip: dataclasses.replace(clip, group=GROUPS[part])
  return dataclasses.replace(
    chosen,
    clips=tuple(map(regroup, chosen.clips)),
    audio=np.asarray(chosen.audio),
  )
