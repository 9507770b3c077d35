"""What an audit is given, opened and checked before anything is scored."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lsaprobe_jax.audit import gates as input_gates
from lsaprobe_jax.audit import sides, statistics
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.audit.reference_split import smallest_reference, split_reference
from lsaprobe_jax.audit.settings import AuditSettings
from lsaprobe_jax.audit.track_scores import GROUPS, MODEL
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics import pivot
from lsaprobe_jax.models.checkpoints import CheckpointError
from lsaprobe_jax.models.trained import TrainedModel, load_model
from lsaprobe_jax.scoring.experiment_inputs import MIN_DEVELOPMENT_CLIPS

RECORD = "reference not in the model's own record"
REFERENCE_RECORD = "neither side in the reference model's own record"
# Where no record says how long the clips were that a model was trained on.
_CLIP_SECONDS = 4.0
_LONGEST_CLIP = 3600.0

Source = str | os.PathLike | TrainedModel


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
  """What an audit was given, checked.

  Attributes:
    settings: all settings.
    given: `model`, `suspects`, `reference` and `reference_model`, as they were named.
    targets: the model and, where there is one, the reference model; what their records
      say of training is taken off, as it must not enter the scores.
    suspects: clips of group a.
    comparison: clips of group b; of the whole reference where that is too small.
    development: clips of group dev, none where the reference is too small.
    facts: what is known of each track's file, by `suspect` and `reference`.
    albums: by track, where whole albums are exchanged; None where tracks are.
    gates: those that need no score.
    notes: what a reader should know of the two sides.
  """

  settings: AuditSettings
  given: Mapping[str, str | None]
  targets: list[TrainedModel]
  suspects: Corpus
  comparison: Corpus
  development: Corpus
  facts: Mapping[str, list[inspection.Facts]]
  albums: Mapping[str, str] | None
  gates: list[Gate]
  notes: list[str]

  @property
  def refused(self) -> bool:
    """Whether a gate that needs no score fails."""
    return any(gate.holds is False for gate in self.gates)

  @property
  def halves(self) -> Corpus:
    """Clips of the suspects and of the comparison tracks."""
    return together(self.suspects, self.comparison)

  @property
  def clips(self) -> Corpus:
    """Clips of all parts."""
    return together(self.halves, self.development)

  def identity(self) -> dict[str, Any]:
    """What decides the results: settings, and hashes of weights and clips."""
    return {
      "config": self.settings.to_dict(),
      "weights": {target.name: weights_hash(target) for target in self.targets},
      "data": {part: getattr(self, part).fingerprint() for part in GROUPS},
    }


def open_inputs(
  model: Source,
  suspects: str | os.PathLike,
  reference: str | os.PathLike,
  *,
  settings: AuditSettings,
  reference_model: Source | None = None,
  suspects_groups: Sequence[str] | None = None,
  reference_groups: Sequence[str] | None = None,
) -> Inputs:
  """Opens and checks everything that an audit is given; scores nothing.

  Args:
    model: see `audit`, as are the others.
    suspects: a folder, a manifest or an audio file.
    reference: a folder or a manifest.
    settings: all settings.
    reference_model: a model that saw neither side.
    suspects_groups: groups of the suspects' tracks that are taken; all by default.
    reference_groups: the same of the reference.

  Raises:
    ArgumentError: it begins with the argument that cannot be used at all.
    SettingError: it begins with the setting.
  """
  targets = _load(model, reference_model, settings)
  given = {"suspect": os.fspath(suspects), "reference": os.fspath(reference)}
  opened, notes = sides.open_sides(
    given,
    groups={"suspect": suspects_groups, "reference": reference_groups},
    sample_rate=targets[0].sample_rate,
    clip_seconds=settings.corpus.clip_seconds or _trained_seconds(targets[0]),
    clips_per_track=settings.corpus.clips_per_track,
  )
  facts, opened, left_out = sides.inspect_sides(given, opened)
  notes += left_out + inspection.differences(*facts.values())
  development, comparison, enough = _split(settings, opened["reference"])
  albums = None if settings.albums == "tracks" else sides.known_albums(given)
  gates = [enough, input_gates.duplicates(facts)]
  gates += _record_gates(targets, opened)
  gates += _exchange_gates(settings, opened, comparison, albums)
  return Inputs(
    settings=settings,
    given={
      "model": _name_of(model),
      "suspects": _with_groups(given["suspect"], suspects_groups),
      "reference": _with_groups(given["reference"], reference_groups),
      "reference_model": reference_model and _name_of(reference_model),
    },
    targets=[dataclasses.replace(t, group=None, members=None) for t in targets],
    suspects=_regroup(opened["suspect"], "suspects"),
    comparison=_regroup(opened["reference"], "comparison", comparison),
    development=_regroup(opened["reference"], "development", development),
    facts=facts,
    albums=albums,
    gates=gates,
    notes=notes + _seen(targets[0], opened["suspect"]),
  )


def together(one: Corpus, other: Corpus) -> Corpus:
  """Clips of both."""
  return dataclasses.replace(
    one,
    clips=one.clips + other.clips,
    audio=np.concatenate([one.audio, other.audio]),
  )


def weights_hash(model: TrainedModel) -> str:
  """The hash of a model's weights file, or of its arrays where there is no file."""
  if model.weights_sha256:
    return model.weights_sha256
  digest = hashlib.sha256()
  for leaf in map(np.asarray, jax.tree.leaves(model.model)):
    digest.update(f"{leaf.dtype} {leaf.shape}\n".encode() + leaf.tobytes())
  return digest.hexdigest()


def _load(
  model: Source, reference_model: Source | None, settings: AuditSettings
) -> list[TrainedModel]:
  """The model, and the reference model where there is one, by their names in rows."""
  sources = {"model": (MODEL, model)}
  if reference_model:
    sources["reference_model"] = (pivot.REFERENCE, reference_model)
  loaded = []
  for argument, (name, source) in sources.items():
    try:
      loaded.append(_trained(source, name, settings))
    except CheckpointError as error:
      raise ArgumentError(f"{argument}: {error}") from error
  if len({weights_hash(target) for target in loaded}) < len(loaded):
    raise ArgumentError(
      "reference_model has the weights of model; give a model of the same kind that"
      " saw neither side, or none"
    )
  rates = [target.sample_rate for target in loaded]
  if len(set(rates)) > 1:
    raise ArgumentError(
      f"reference_model has a sample rate of {rates[1]} Hz, and model one of"
      f" {rates[0]}; give a model of the same kind, or none"
    )
  return loaded


def _trained(source: Source, name: str, settings: AuditSettings) -> TrainedModel:
  if isinstance(source, TrainedModel):
    return dataclasses.replace(source, name=name)
  return load_model(
    source,
    name=name,
    num_inference_steps=settings.num_inference_steps,
    precision=settings.precision,
    stop_at=settings.stop_at,
  )


def _name_of(source: Source) -> str:
  if isinstance(source, TrainedModel):
    return source.source or source.name
  return os.fspath(source)


def _with_groups(path: str, groups: Sequence[str] | None) -> str:
  """A side as the dossier calls it."""
  return f"{path} ({','.join(groups)})" if groups else path


def _trained_seconds(model: TrainedModel) -> float:
  """Length of the clips that a model was trained on, or 4 s where none is known."""
  seconds = model.clip_seconds or 0.0
  return seconds if 0 < seconds <= _LONGEST_CLIP else _CLIP_SECONDS


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
  return dataclasses.replace(chosen, clips=tuple(map(regroup, chosen.clips)))
