"""LoRA files, read without PyTorch, and merged into a network's state dict.

A LoRA adds `scale B A` to the weights of some modules, on PyTorch's names and axes.
Only safetensors and JSON are read, so nothing in a file can run code.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from lsaprobe_jax import strict_json
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models import checkpoints, checks
from lsaprobe_jax.models.files import (
  lora_names,
  lora_settings,
  pipeline_files,
  safetensors_reader,
  tensors,
)
from lsaprobe_jax.text import printable

PEFT_WEIGHTS, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
DIFFUSERS_WEIGHTS = "pytorch_lora_weights.safetensors"
# Where diffusers puts peft's settings in a file's header.
_HEADER = "lora_adapter_metadata"
_MOST_SCALE = 100
# ACE-Step trains on the names of its own repository.
_OTHER_NAMES = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v"}
_OTHER_NAMES |= {"o_proj": "to_out.0"}


class Update(NamedTuple):
  """What is added to the weight of one module.

  Attributes:
    down: A, [rank, in, *kernel].
    up: B, [out, rank, *ones].
    scale: what their product is multiplied by.
  """

  down: np.ndarray
  up: np.ndarray
  scale: float

  @property
  def shape(self) -> tuple[int, ...]:
    """That of the weight, [out, in, *kernel]."""
    return self.up.shape[:1] + self.down.shape[1:]

  @property
  def changes(self) -> bool:
    """Whether the product is anything but zero, without making it: it may be huge."""
    rank = len(self.down)
    down = self.down.reshape(rank, -1).astype(np.float64)
    # B A is zero where B (A A^T) is.
    up = self.up.reshape(-1, rank).astype(np.float64)
    return bool(self.scale) and bool(np.any(up @ (down @ down.T)))

  def delta(self) -> np.ndarray:
    """Returns what is added, [out, in, *kernel], float32."""
    rank = len(self.down)
    product = self.up.reshape(-1, rank) @ self.down.reshape(rank, -1)
    return np.float32(self.scale) * product.reshape(self.shape)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Adapter:
  """A LoRA file that has been read.

  Attributes:
    name: what errors call it.
    part: the part of a pipeline that it is for, `transformer` or `unet`; None where
      its names do not say.
    updates: by module of that part, under its names; scaled as the user asked.
    text: tensors that change a text encoder, which are not merged.
    record: `file`, `sha256` and `scale` for the record of a conversion; where there are
      any, the hash of its settings and what is left out.
  """

  name: str
  part: str | None
  updates: Mapping[str, Update]
  text: tuple[str, ...]
  record: Mapping[str, Any]


def read(source: str | os.PathLike, scale: float = 1.0) -> Adapter:
  """Reads a LoRA.

  Args:
    source: a safetensors file with names of diffusers or peft, or a folder with
      `adapter_model.safetensors` and `adapter_config.json`, or with
      `pytorch_lora_weights.safetensors`.
    scale: what is added is multiplied by it; 1 for what was trained.

  Raises:
    ArgumentError: it cannot be read or is not a plain LoRA, or the scale is no number
      above 0; it begins with `lora` or `lora_scale`.
  """
  try:
    checks.real("lora_scale", scale, 0, _MOST_SCALE, inside=True)
  except ValueError as error:
    raise ArgumentError(str(error)) from error
  shown = printable(os.fspath(source))
  with _blaming(shown):
    weights = _weights_file(pathlib.Path(source))
    state = safetensors_reader.read_weights(weights)
    names = lora_names.sort(state)
    config = _config_file(weights, names)
    settings = _settings(weights, config, names)
    _check_alphas(names, settings)
    updates = {
      module: _update(module, {kind: state[name] for kind, name in own.items()},
                      settings, scale)
      for module, own in names.modules.items()
    }  # fmt: skip
    _check_changes(updates)
    record = {"file": pathlib.Path(source).name, "sha256": _sha256(weights)}
    if config is not None:
      record["config_sha256"] = _sha256(config)
    if names.text:
      record["left_out"] = "text encoder"
  return Adapter(
    name=shown,
    part=names.part,
    updates=updates,
    text=tuple(names.text),
    record=record | {"scale": float(scale)},
  )


def read_given(source: str | os.PathLike | None, scale: float = 1.0) -> Adapter | None:
  """Reads a LoRA where one is given (`read`).

  Raises:
    ArgumentError: see `read`; also a scale without a LoRA.
  """
  if source is not None:
    return read(source, scale)
  if scale != 1:
    raise ArgumentError(f"lora_scale={scale}: there is no lora that it could scale")
  return None


def merge(
  state: Mapping[str, np.ndarray], adapter: Adapter, part: str
) -> dict[str, np.ndarray]:
  """Returns a network's state dict with a LoRA merged into it.

  Args:
    state: PyTorch's names and axes, of any floating-point type.
    adapter: the LoRA.
    part: the network's name in its pipeline, `transformer` or `unet`.

  Returns:
    All tensors; those that the LoRA changes are float32.

  Raises:
    ArgumentError: the LoRA is for another network: both lists, of modules that the
      network lacks and of those that it has.
  """
  if adapter.part not in (None, part):
    raise ArgumentError(
      f"lora={adapter.name}: it was made for a {adapter.part}, and the pipeline has a"
      f" {part}; give the pipeline that it was trained on"
    )
  targets = {module: _target(module, state) for module in adapter.updates}
  lacking = [module for module, name in targets.items() if name not in state]
  shapes = [
    f"{module}: {update.shape}, expected {state[targets[module]].shape}"
    for module, update in adapter.updates.items()
    if module not in lacking and state[targets[module]].shape != update.shape
  ]
  if lacking or shapes:
    others = [k for k, v in state.items() if v.ndim > 1 and k not in targets.values()]
    raise ArgumentError(
      f"lora={adapter.name}: it does not fit the pipeline's {part}; it names, and the"
      f" {part} lacks: {tensors.shortened(lacking)}; the {part} has, and it does not"
      f" name: {tensors.shortened(name.removesuffix('.weight') for name in others)};"
      f" wrong shape: {tensors.shortened(shapes)}"
    )
  merged = dict(state)
  for module, update in adapter.updates.items():
    name = targets[module]
    merged[name] = tensors.weight(name, merged[name]) + update.delta()
  return merged


def _weights_file(source: pathlib.Path) -> pathlib.Path:
  """Finds the weights in a folder, or takes the file."""
  if not os.path.isdir(source):
    if not os.path.isfile(source):
      raise ValueError("no such file or folder")
    return source
  there = [
    source / name
    for name in (PEFT_WEIGHTS, DIFFUSERS_WEIGHTS)
    if (source / name).is_file()
  ]
  if len(there) != 1:
    names = (path.name for path in source.iterdir() if path.is_file())
    raise ValueError(
      f"a LoRA's folder has {PEFT_WEIGHTS} or {DIFFUSERS_WEIGHTS}, one of them (found:"
      f" {tensors.shortened(names)}); pickled weights are not read"
    )
  return there[0]


def _config_file(weights: pathlib.Path, names: lora_names.Names) -> pathlib.Path | None:
  """Returns peft's configuration, which lies beside the weights that peft saved."""
  config = weights.with_name(PEFT_CONFIG)
  wanted = names.peft or weights.name == PEFT_WEIGHTS
  return config if wanted and config.is_file() else None


def _settings(
  weights: pathlib.Path, config: pathlib.Path | None, names: lora_names.Names
) -> lora_settings.Settings | None:
  """Reads what says alpha; None where nothing does but the tensors."""
  if config is not None:
    return lora_settings.read(pipeline_files.read_json(config), PEFT_CONFIG)
  text = safetensors_reader.read_metadata(weights).get(_HEADER)
  found = {} if text is None else strict_json.loads(text)
  if not isinstance(found, dict):
    raise ValueError(f"{_HEADER} in its header is damaged (no table)")
  if any("." in key for key in found):
    start = f"{names.part}."
    found = {k.removeprefix(start): v for k, v in found.items() if k.startswith(start)}
    if not found:
      raise ValueError(
        f"{_HEADER} in its header says nothing of what its tensors change"
      )
  if found:
    return lora_settings.read(found, _HEADER)
  if names.peft:
    raise ValueError(
      f"without {PEFT_CONFIG} beside it nothing says its alpha; give the folder that"
      " peft's save_pretrained wrote"
    )
  return None


def _update(
  module: str,
  own: Mapping[str, np.ndarray],
  settings: lora_settings.Settings | None,
  scale: float,
) -> Update:
  """Makes the update of one module of its tensors `down`, `up` and perhaps `alpha`."""
  own = {kind: tensors.weight(f"{module} ({kind})", v) for kind, v in own.items()}
  down, up = own["down"], own["up"]
  fits = 2 <= down.ndim <= 4 and up.ndim == down.ndim and up.shape[1] == len(down)
  if not fits or 0 in (*down.shape, *up.shape) or set(up.shape[2:]) - {1}:
    raise ValueError(
      f"A of {printable(module)} has shape {down.shape} and B {up.shape}; they must be"
      " [rank, in, ...] and [out, rank, 1, ...]"
    )
  # diffusers takes alpha for the rank where nothing says otherwise.
  own_scale = 1.0
  if settings is not None:
    own_scale = settings.scale(module, len(down))
  elif "alpha" in own:
    if own["alpha"].size != 1:
      raise ValueError(f"alpha of {printable(module)} is not one number")
    own_scale = own["alpha"].item() / len(down)
  return Update(down, up, scale * own_scale)


def _check_alphas(
  names: lora_names.Names, settings: lora_settings.Settings | None
) -> None:
  """Refuses alphas that are told twice, or of some modules only."""
  told = [module for module, own in names.modules.items() if "alpha" in own]
  if told and settings is not None:
    raise ValueError("alpha is told twice, by settings and by tensors")
  if told and len(told) < len(names.modules):
    others = tensors.shortened(names.modules.keys() - set(told))
    raise ValueError(f"it has no alpha of {others}, and of others it has")


def _check_changes(updates: Mapping[str, Update]) -> None:
  """Refuses a LoRA as it is before training, when all of B is zero."""
  if not any(update.changes for update in updates.values()):
    raise ValueError(
      "it changes nothing: every product B A is zero, as before training"
    )


def _target(module: str, state: Mapping[str, np.ndarray]) -> str:
  """Returns the name of a module's weight in the network."""
  if f"{module}.weight" not in state:
    stem, _, last = module.rpartition(".")
    other = f"{stem}.{_OTHER_NAMES.get(last, last)}.weight"
    if other in state:
      return other
  return f"{module}.weight"


@contextlib.contextmanager
def _blaming(shown: str) -> Iterator[None]:
  """Makes whatever goes wrong while a LoRA is read an error that names the argument."""
  try:
    yield
  # The library in Rust, NumPy and JSON: each raises errors of its own.
  except Exception as error:
    raise ArgumentError(f"lora={shown}: {checkpoints.reason(error)}") from error


def _sha256(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
