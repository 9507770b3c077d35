"""A trained model as it is audited, and the two ways to have one.

`load_model` reads one that is embedded or on disk, and `from_denoiser` makes one of any
JAX functions.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import jax

from lsaprobe_jax import diffusion
from lsaprobe_jax.errors import ArgumentError, LsaProbeError
from lsaprobe_jax.models import checkpoints, conversion, hub, memory, registry
from lsaprobe_jax.models.denoiser import DenoiserModel
from lsaprobe_jax.models.diffusion_model import DiffusionModel
from lsaprobe_jax.models.fingerprint import fingerprint
from lsaprobe_jax.text import printable

Split = Literal["member", "nonmember", "dev"]
# What a clip is by its group, where nobody recorded what a model was trained on.
_SPLITS: Mapping[str, Split] = {"a": "member", "b": "nonmember"}
_REOPEN = "open the corpus as it was for training: path, rate, clip length, clips"


class Clip(Protocol):
  """What the split of a clip depends on (`data.clips.Clip`)."""

  id: str
  track: str
  group: str
  sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedModel:
  """A model under audit: the diffusion model, and what is known of its training.

  Attributes:
    name: what rows call it; `A` and `B` in a cross-over, `reference` for the control.
    model: the diffusion model, a pytree with the weights.
    group: the group of tracks it was trained on; None where that is not recorded.
    members: hashes by id of the clips it was trained on; None where nobody recorded
      them, and group `a` is then taken for the members.
    weights_sha256: hash of the weights as one file; None without a file.
    described_sha256: hash of what model.json says of the model beside them.
    clip_seconds: length of the clips it was trained on; None if not recorded.
    source: where it was loaded from; empty where it was made of functions.
    precision: of the network's blocks, `float32` or `bfloat16`.
    lora: `file`, `sha256` and `scale` of the LoRA that was merged into it; None without
      one.
    condition: under which a converted pipeline is asked; None where nothing says so.
  """

  name: str
  model: DiffusionModel
  group: str | None = None
  members: dict[str, str] | None = None
  weights_sha256: str | None = None
  described_sha256: str | None = None
  clip_seconds: float | None = None
  source: str = ""
  precision: str = "float32"
  lora: Mapping[str, Any] | None = None
  condition: str | None = None

  @property
  def sample_rate(self) -> int:
    """The rate of the audio that the model takes, in Hz."""
    return self.model.sample_rate

  @functools.cached_property
  def member_tracks(self) -> frozenset[str]:
    """Names of the tracks of which clips were trained on, as far as recorded."""
    return frozenset(clip_id.rpartition("@")[0] for clip_id in self.members or ())

  @functools.cached_property
  def _member_samples(self) -> frozenset[str]:
    return frozenset((self.members or {}).values())

  @property
  def channels(self) -> int:
    """Channels of the audio that the model takes; 1 where it does not say."""
    return getattr(self.model, "channels", 1)

  def for_length(self, samples: int) -> "TrainedModel":
    """Returns the model for clips of so many samples, which it decodes to.

    Where nobody decided whether it rematerialises, memory does (`memory.suited`).
    """
    model = memory.suited(self.model.for_length(samples), samples)
    return dataclasses.replace(self, model=model)

  def split(self, clip: Clip) -> Split:
    """Returns what a clip is to this model.

    Raises:
      LsaProbeError: the clip is neither a member nor none: other samples under the id
        of a member, or its samples under another id, a development clip that is a
        member, or another clip of a track, or of the group, that was trained on.
    """
    if self.members is None:
      return _SPLITS.get(clip.group, "dev")
    member = clip.id in self.members
    if member and self.members[clip.id] != clip.sha256:
      raise LsaProbeError(
        f"{clip.id}: {self.name} was trained on other samples under this id; {_REOPEN}"
      )
    if member and clip.group == "dev":
      raise LsaProbeError(
        f"{clip.id}: {self.name} was trained on this development clip"
      )
    if not member and clip.sha256 in self._member_samples:
      raise LsaProbeError(
        f"{clip.id}: {self.name} was trained on these samples under another id;"
        f" {_REOPEN}, and names of files"
      )
    # A model that went on from another's weights has seen clips of several groups.
    same = clip.track in self.member_tracks
    if not member and (same or clip.group == self.group):
      whose = f"track {clip.track}" if same else f"group {self.group}"
      raise LsaProbeError(
        f"{clip.id}: {self.name} was trained on {whose} but not on this clip of it;"
        f" {_REOPEN} a track; or, if this is other music, give its file another name"
        " and put it into a folder b or dev, or say so with score(..., members=[])"
      )
    return "dev" if clip.group == "dev" else "member" if member else "nonmember"


def load_model(
  source: str | os.PathLike,
  *,
  name: str | None = None,
  num_inference_steps: int = 1,
  precision: str = "float32",
  stop_at: str = "waveform",
  random_key: jax.Array | None = None,
  lora: str | os.PathLike | None = None,
  lora_scale: float = 1.0,
) -> TrainedModel:
  """Loads a model, and converts a published checkpoint when it is first named.

  Args:
    source: an embedded model's name, a model folder, a `.pt` file of LMNT's DiffWave,
      a folder of a MusicLDM, AudioLDM, Stable Audio or ACE-Step pipeline, or
      `hf:owner/name` of one on the Hugging Face hub.
    name: what rows call it; the last part of its source by default.
    num_inference_steps: S, the DDIM steps of the reverse process.
    precision: of the network's blocks, `float32` or `bfloat16`.
    stop_at: what is decoded to, `waveform`, or `mel` to end before a vocoder.
    random_key: draws random weights in the place of the model's own, for a control.
    lora: a LoRA file or its folder, merged into a pipeline (`convert`).
    lora_scale: what the LoRA adds is multiplied by it.

  Raises:
    CheckpointError: there is no such model, or it is damaged, does not describe one or
      has weights that do not fit; the message begins with the source.
    SettingError: the family has no such `precision` or `stop_at`, or
      `num_inference_steps` is below 1.
    ArgumentError: the LoRA cannot be used; it begins with `lora`.
  """
  source = os.fspath(source)
  registry.check_steps(num_inference_steps)
  folder = conversion.find_model(source, lora=lora, lora_scale=lora_scale)
  params, record = checkpoints.load_model(folder)
  described = record["model"]
  shown = printable(source)
  with checkpoints.reading(f"{shown}: its model.json does not describe a model ({{}})"):
    abstract = registry.abstract_params(described, len(jax.tree.leaves(params)))
    checkpoints.check_fit(params, abstract, source)
    if random_key is not None:
      params = registry.random_params(described, random_key)
    model = registry.build_model(
      described, params, num_inference_steps, precision=precision, stop_at=stop_at
    )
  return TrainedModel(
    name=name or _last_part(source),
    model=model,
    weights_sha256=record["weights_sha256"],
    described_sha256=fingerprint(described),
    source=source,
    precision=precision,
    **_training(record["training"] or {}),
  )


def _last_part(source: str) -> str:
  """What a model is called by its source; of `.` by the folder that it is."""
  last = pathlib.PurePath(source.removeprefix(hub.PREFIX)).name
  return last or pathlib.Path(source).resolve().name or "model"


def _training(record: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what a model folder's record says of the clips it was trained on."""
  clips = record.get("clips")
  # The record of a training here; others have no such table.
  part = record.get("config")
  for key in ("corpus", "clip_seconds"):
    part = part.get(key) if isinstance(part, Mapping) else None
  lora = record.get("lora")
  return {
    "group": record.get("group"),
    "members": clips and {clip["id"]: clip["sha256"] for clip in clips},
    "clip_seconds": float(part) if isinstance(part, int | float) else None,
    "lora": lora if isinstance(lora, Mapping) else None,
    "condition": _condition(record.get("condition")),
  }


def _condition(told: Any) -> str | None:
  """Returns what a record says of a condition, in words."""
  if isinstance(told, Mapping):
    return ", ".join(f"{name} {value!r}" for name, value in told.items())
  return told if isinstance(told, str) else None


def from_denoiser(
  predict_noise: Callable[..., jax.Array],
  path: diffusion.Schedule,
  encode: Callable[..., jax.Array] | None = None,
  decode: Callable[..., jax.Array] | None = None,
  *,
  sample_rate: int,
  params: Any = None,
  num_inference_steps: int = 1,
  channels: int = 1,
  name: str = "model",
) -> TrainedModel:
  """Makes a model of any JAX functions, each for one clip without a batch axis.

  Functions that are given the weights as `params` take them first, so that weights are
  arguments of the compiled programs; weights that a function closes over become
  constants of it instead, and make every model compile anew. The gradient norm needs
  `params`: it differentiates by them.

  Args:
    predict_noise: the denoiser, `(x, t) -> noise` of the state's shape, or
      `(params, x, t) -> noise`; t is an integer in 1..T. On a path in continuous time
      it predicts what the path says, v or a flow's velocity, and is told that time.
    path: the noise schedule that it was trained under (`diffusion.linear`, ...), or a
      path (`Schedule.from_path(diffusion.RECTIFIED_FLOW)`).
    encode: waveform [samples] -> clean state of any shape; the identity by default.
    decode: clean state -> waveform [samples], of which what is longer than the clip is
      cut off; the identity by default.
    sample_rate: of the audio, in Hz.
    params: a pytree of arrays; None where the functions take no weights.
    num_inference_steps: S, the DDIM steps of the reverse process.
    channels: of the audio, 1 or 2; with 2 `encode` takes and `decode` returns
      [2, samples].
    name: what rows call the model.

  Raises:
    ArgumentError: what is given is no function, no schedule or no rate, or the schedule
      says that something is predicted that there is not, or not on it.
    SettingError: `num_inference_steps` is below 1.
  """
  registry.check_steps(num_inference_steps)
  if not isinstance(path, diffusion.Schedule):
    raise ArgumentError(
      f"path={printable(type(path).__name__)}: it must be a diffusion.Schedule, such as"
      " diffusion.linear(200, 1e-4, 0.02)"
    )
  diffusion.check_prediction(path)
  if not isinstance(sample_rate, int) or sample_rate < 1:
    raise ArgumentError(f"sample_rate={sample_rate}: it must be a whole number of Hz")
  if channels not in (1, 2):
    raise ArgumentError(f"channels={channels}: it must be 1 or 2")
  given = {"predict_noise": predict_noise, "encode": encode, "decode": decode}
  for argument, function in given.items():
    if function is not None or argument == "predict_noise":
      _check_function(argument, function)
  model = DenoiserModel(
    params=params,
    schedule=path,
    predict_fn=predict_noise,
    encode_fn=encode,
    decode_fn=decode,
    sample_rate=sample_rate,
    num_inference_steps=num_inference_steps,
    channels=channels,
  )
  return TrainedModel(name=name, model=model)


def _check_function(argument: str, function: Any) -> None:
  """Refuses what cannot be called, or cannot be told from another by JAX."""
  kind = printable(type(function).__name__)
  if not callable(function):
    raise ArgumentError(f"{argument}={kind}: it must be a function")
  try:
    hash(function)
  except TypeError as error:
    raise ArgumentError(
      f"{argument}={kind}: a callable that holds arrays cannot be hashed; give a plain"
      " function that takes them first, and the arrays as params"
    ) from error
