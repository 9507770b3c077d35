"""What an audit is given, opened and checked before anything is scored."""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from lsaprobe_jax.audit import fine_tunes, opening, times, twin_choice, version_gates
from lsaprobe_jax.audit.findings import ALONE, BY_REFERENCE, CANARY
from lsaprobe_jax.audit.fine_tunes import Source, name_of
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.audit.settings import AuditSettings
from lsaprobe_jax.audit.track_scores import GROUPS, MODEL
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.metrics import pivot
from lsaprobe_jax.models.checkpoints import CheckpointError
from lsaprobe_jax.models.fingerprint import fingerprint
from lsaprobe_jax.models.trained import TrainedModel, load_model
from lsaprobe_jax.text import printable

# Where no record says how long the clips were that a model was trained on.
_CLIP_SECONDS = 4.0
_LONGEST_CLIP = 3600.0


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Inputs(opening.Opened):
  """What an audit was given, checked.

  Attributes:
    settings: all settings; twins and methods are those that are scored.
    mode: see `Findings`.
    given: `model`, `suspects`, `reference`, `reference_model`, `held_back` and `lora`,
      as they were named; of a LoRA the base is the reference model.
    targets: the model and, where there is one, the reference model; what their records
      say of training is taken off, as it must not enter the scores.
    loaded: names of those that were given as models in memory.
  """

  settings: AuditSettings
  mode: str
  given: Mapping[str, str | None]
  targets: list[TrainedModel]
  loaded: tuple[str, ...] = ()

  @property
  def refused(self) -> bool:
    """Whether a gate that needs no score fails."""
    return any(gate.holds is False for gate in self.gates)

  @property
  def halves(self) -> Corpus:
    """Clips of the suspects and of what they are compared with."""
    return together(self.suspects, self.comparison, *self.held_back)

  @property
  def clips(self) -> Corpus:
    """Clips of all parts."""
    return together(self.halves, self.development)

  @functools.cached_property
  def _in_memory(self) -> dict[str, str]:
    """Fingerprints of models in memory, which may have been changed after loading."""
    return {t.name: fingerprint(t.model) for t in self.targets if t.name in self.loaded}

  def identity(self) -> dict[str, Any]:
    """What decides the results: settings, and hashes of models and clips."""
    data = {part: getattr(self, part).fingerprint() for part in GROUPS}
    data |= {f"held_back_{i}": c.fingerprint() for i, c in enumerate(self.held_back, 1)}
    models = {"models": self._in_memory} if self.loaded else {}
    return models | {
      "config": self.settings.to_dict(),
      "weights": {target.name: weights_hash(target) for target in self.targets},
      "described": {target.name: target.described_sha256 for target in self.targets},
      "data": data,
    }


def open_inputs(
  model: Source,
  suspects: str | os.PathLike,
  reference: str | os.PathLike | None = None,
  *,
  settings: AuditSettings,
  reference_model: Source | None = None,
  held_back: str | os.PathLike | None = None,
  suspects_groups: Sequence[str] | None = None,
  reference_groups: Sequence[str] | None = None,
  lora: str | os.PathLike | None = None,
  lora_scale: float = 1.0,
) -> Inputs:
  """Opens and checks everything that an audit is given; scores nothing.

  Args:
    model: see `audit`, as are the others.
    suspects: a folder, a manifest or an audio file.
    reference: a folder or a manifest; None for none.
    settings: all settings.
    reference_model: a model that saw neither side.
    held_back: a folder of versions of the suspects; None for none.
    suspects_groups: groups of the suspects' tracks that are taken; all by default.
    reference_groups: the same of the reference.
    lora: a LoRA that was trained on the model; None for none.
    lora_scale: what it adds is multiplied by it.

  Raises:
    ArgumentError: it begins with the argument that cannot be used at all.
    SettingError: it begins with the setting.
  """
  groups = {"suspect": suspects_groups, "reference": reference_groups}
  _check_empty(
    model=model,
    suspects=suspects,
    reference=reference,
    reference_model=reference_model,
    held_back=held_back,
    lora=lora,
  )
  mode = _mode(reference, held_back, reference_model, groups)
  if mode == CANARY and settings.two_sided:
    raise SettingError(
      "two_sided: where the model was trained on what was published, that scores above"
      " the versions that were held back, and not below; leave it out"
    )
  if settings.canary_randomised and mode != CANARY:
    raise SettingError(
      "canary_randomised: it is said of versions that were held back; give held_back"
      " too, or leave it out"
    )
  calibrating = fine_tunes.reference_of(model, reference_model, lora, lora_scale, mode)
  targets = _load(model, calibrating, settings, lora=lora, lora_scale=lora_scale)
  settings, untuned = times.matched(settings, targets[0])
  paths = {"suspect": os.fspath(suspects)}
  how = {
    "sample_rate": targets[0].sample_rate,
    "channels": targets[0].channels,
    "clip_seconds": settings.corpus.clip_seconds or _trained_seconds(targets[0]),
    "clips_per_track": settings.corpus.clips_per_track,
  }
  if mode == CANARY:
    held_back = os.fspath(held_back)
    opened = opening.with_held_back(settings, targets, paths["suspect"], held_back, how)
  elif mode == ALONE:
    opened = opening.alone(settings, targets, paths, groups, how)
  else:
    paths["reference"] = os.fspath(reference)
    opened = opening.with_reference(settings, targets, paths, groups, how)
  notes = fine_tunes.notes(targets[0], model, reference_model, lora, mode) + untuned
  notes += times.unlike(settings, targets)
  notes += [
    f"{'the reference model' if target.name == pivot.REFERENCE else 'the model'} is"
    f" asked under this condition: {printable(target.condition)}"
    for target in targets
    if target.condition
  ]
  if mode == BY_REFERENCE and settings.two_sided:
    notes.append(
      "two_sided: the test against reference tracks, which decides, is one-sided; it is"
      " the test of the suspects alone that takes the size of a difference"
    )
  if not any(gate.holds is False for gate in opened.gates):
    # It asks the models, which costs some seconds.
    settings, chosen = twin_choice.choose(settings, mode, targets, opened.suspects)
    notes += chosen
  fields = {f.name: getattr(opened, f.name) for f in dataclasses.fields(opened)}
  fields["gates"] = opened.gates + _version_gates(settings, mode, opened)
  fields["notes"] = opened.notes + notes
  return Inputs(
    settings=settings,
    mode=mode,
    given={
      "model": name_of(model, lora),
      "suspects": _with_groups(paths["suspect"], suspects_groups),
      "reference": reference and _with_groups(paths["reference"], reference_groups),
      "reference_model": calibrating and name_of(calibrating),
      "held_back": held_back,
      "lora": None if lora is None else os.fspath(lora),
    },
    targets=[dataclasses.replace(t, group=None, members=None) for t in targets],
    loaded=tuple(
      name
      for name, source in ((MODEL, model), (pivot.REFERENCE, calibrating))
      if isinstance(source, TrainedModel)
    ),
    **fields,
  )


def together(*parts: Corpus) -> Corpus:
  """Clips of all parts."""
  return dataclasses.replace(
    parts[0],
    clips=tuple(clip for part in parts for clip in part.clips),
    audio=np.concatenate([part.audio for part in parts]),
  )


def weights_hash(model: TrainedModel) -> str:
  """The hash of a model's weights file, or of its arrays where there is no file."""
  if model.weights_sha256:
    return model.weights_sha256
  digest = hashlib.sha256()
  for leaf in map(np.asarray, jax.tree.leaves(model.model)):
    digest.update(f"{leaf.dtype} {leaf.shape}\n".encode() + leaf.tobytes())
  return digest.hexdigest()


def _check_empty(**given: Any) -> None:
  """Refuses text that names nothing, such as that of a variable that is not set."""
  for name, value in given.items():
    if isinstance(value, str) and not value.strip():
      raise ArgumentError(f"{name}: it is empty; give a path or name, or leave it out")


def _mode(reference, held_back, reference_model, groups) -> str:
  """The mode that arguments ask for, refused where they do not go together."""
  if held_back is not None:
    others = {"reference": reference, "reference_model": reference_model}
    others |= {
      "suspects_groups": groups["suspect"],
      "reference_groups": groups["reference"],
    }
    for name, value in others.items():
      if value:
        raise ArgumentError(
          f"{name} and held_back: every track is compared with its own versions that"
          f" were held back; leave {name} out"
        )
    return CANARY
  if reference is not None:
    return BY_REFERENCE
  if groups["reference"]:
    raise ArgumentError("reference_groups: there is no reference")
  if reference_model is not None:
    raise ArgumentError(
      "reference_model takes a reference: what shows that it saw neither side are"
      " tracks to compare with; give those, or leave it out"
    )
  return ALONE


def _version_gates(
  settings: AuditSettings, mode: str, opened: opening.Opened
) -> list[Gate]:
  """Gates of tests of versions, where these decide."""
  if mode == BY_REFERENCE:
    return []
  names = settings.twins.names
  twins = [] if mode == CANARY else [version_gates.some_twin(names)]
  size = version_gates.enough_tracks(
    opened.suspects.tracks,
    opened.albums,
    count=1 + (len(opened.held_back) if mode == CANARY else max(len(names), 1)),
    mode=mode,
    alpha=settings.alpha,
    permutations=settings.permutations,
    two_sided=settings.two_sided,
    drawn=mode == CANARY and settings.canary_randomised,
  )
  return [*twins, *size, *version_gates.not_run(mode)]


def _load(
  model: Source,
  reference_model: Source | None,
  settings: AuditSettings,
  **adapter: Any,
) -> list[TrainedModel]:
  """The model, and the reference model where there is one, by their names in rows."""
  sources = {"model": (MODEL, model, adapter)}
  if reference_model is not None:
    sources["reference_model"] = (pivot.REFERENCE, reference_model, {})
  loaded = []
  for argument, (name, source, more) in sources.items():
    try:
      loaded.append(_trained(source, name, settings, **more))
    except CheckpointError as error:
      raise ArgumentError(f"{argument}: {error}") from error
  if _alike(loaded):
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
  channels = [target.channels for target in loaded]
  if len(set(channels)) > 1:
    raise ArgumentError(
      f"reference_model has {channels[1]} channels, and model {channels[0]}; give a"
      " model of the same kind, or none"
    )
  return loaded


def _alike(loaded: Sequence[TrainedModel]) -> bool:
  """Whether the models have the same weights, in a file or in their functions."""
  whole = lambda model: model.weights_sha256 or fingerprint(model.model)
  return len({whole(model) for model in loaded}) < len(loaded)


def _trained(
  source: Source, name: str, settings: AuditSettings, **adapter: Any
) -> TrainedModel:
  if isinstance(source, TrainedModel):
    _check_settings(source, settings)
    return dataclasses.replace(source, name=name)
  return load_model(
    source,
    name=name,
    num_inference_steps=settings.num_inference_steps,
    precision=settings.precision,
    stop_at=settings.stop_at,
    **adapter,
  )


def _check_settings(model: TrainedModel, settings: AuditSettings) -> None:
  """Refuses settings of a model in memory that are not its own."""
  own = {
    "num_inference_steps": model.model.num_inference_steps,
    "precision": model.precision,
    "stop_at": getattr(model.model, "stop_at", "waveform"),
  }
  for name, value in own.items():
    if getattr(settings, name) != value:
      raise SettingError(
        f"{name}={getattr(settings, name)}: {model.name}, which was given as a model in"
        f" memory, has {value}; give {name}={value!r} here too, or load it otherwise"
      )


def _with_groups(path: str, groups: Sequence[str] | None) -> str:
  """A side as the dossier calls it."""
  return f"{path} ({','.join(groups)})" if groups else path


def _trained_seconds(model: TrainedModel) -> float:
  """Length of the clips that a model was trained on, or 4 s where none is known."""
  seconds = model.clip_seconds or 0.0
  return seconds if 0 < seconds <= _LONGEST_CLIP else _CLIP_SECONDS
