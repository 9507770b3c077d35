"""PyTorch state dicts of DiffWave onto our parameters, name by name.

A port is: rename, transpose, compare every shape. Nothing may be left over on either
side (`checkpoints.check_fit`).
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from lsaprobe_jax.models import checks
from lsaprobe_jax.models.files import foreign, tensors, torch_reader
from lsaprobe_jax.text import printable

# A tensor's name has three or four parts.
_LONGEST_NAME = 512


def _leaf(name: str, value: np.ndarray) -> tuple[str, np.ndarray]:
  """Returns one PyTorch tensor under its Flax name and axis order."""
  layer, _, kind = name.rpartition(".")
  layer = re.sub(r"^residual_layers\.(\d+)", r"residual_layers_\1", layer)
  path = layer.replace(".", "/")
  if kind == "bias":
    return f"{path}/bias", value
  if kind != "weight":
    shown = printable(name[:_LONGEST_NAME])
    raise ValueError(f"unexpected tensor {shown!r} in a DiffWave state dict")
  if value.ndim == 2:  # Linear [out, in]
    value = value.T
  elif value.ndim == 3:  # Conv1d [out, in, width]
    value = np.transpose(value, (2, 1, 0))
    if value.shape[0] == 1:  # width 1: a Dense layer here
      value = value[0]
  elif value.ndim == 4:  # ConvTranspose2d [in, out, mels, time], ours [time, mels]
    value = np.transpose(value, (3, 2, 1, 0))
  return f"{path}/kernel", value


def read_checkpoint(
  path: pathlib.Path,
) -> tuple[dict[str, np.ndarray], dict[str, Any], int | None]:
  """Reads a `.pt` file of LMNT's code.

  Returns:
    (its state dict, the model configuration, the steps it was trained for if stored).

  Raises:
    ValueError: it is no such file; says what it is, where that is known.
  """
  checkpoint = torch_reader.read_state_dict(path)
  for key in ("model", "params"):
    if not isinstance(checkpoint.get(key), dict):
      raise ValueError(
        foreign.describe_tree(checkpoint)
        or f"no {key!r} in it, but {tensors.shortened(checkpoint)}: not a checkpoint of"
        " LMNT's DiffWave"
      )
  model = diffwave_model_config(checkpoint["params"], checkpoint["model"])
  steps = plain(checkpoint.get("step"))
  return checkpoint["model"], model, steps if type(steps) is int else None


def diffwave_params(state_dict: Mapping[str, np.ndarray]) -> Any:
  """Returns parameters of `network.DiffWave` from LMNT's state dict.

  Args:
    state_dict: `{"residual_layers.0.dilated_conv.weight": array, ...}`. The prefix
      `module.` of distributed training is dropped, and so is the step embedding's
      table, which older versions of the code stored.

  Raises:
    ValueError: on a tensor that no DiffWave has, or that may not be a weight
      (`tensors.weight`).
  """
  flat = {}
  for name, value in state_dict.items():
    if not isinstance(name, str) or not isinstance(value, np.ndarray):
      shown = printable(str(name)[:_LONGEST_NAME])
      raise ValueError(f"{shown!r} among its tensors is a {type(value).__name__}")
    if len(name) > _LONGEST_NAME:
      raise ValueError(f"a tensor's name has {len(name):,} letters")
    name = name.removeprefix("module.")
    if name == "diffusion_embedding.embedding":
      continue
    path, array = _leaf(name, tensors.weight(name, value))
    if path in flat:
      raise ValueError(f"two tensors are both {printable(path)}")
    flat[path] = np.ascontiguousarray(array)
  return traverse_util.unflatten_dict(flat, sep="/")


def diffwave_model_config(
  settings: Mapping[str, Any], state_dict: Mapping[str, np.ndarray]
) -> dict[str, Any]:
  """Returns the model configuration of an LMNT checkpoint.

  Args:
    settings: the checkpoint's `params` (residual_channels, noise_schedule, ...).
    state_dict: its tensors; they say whether the network is conditional.

  Raises:
    ValueError: a setting is missing, or the noise schedule is none.
  """
  wanted = (
    "residual_channels",
    "residual_layers",
    "dilation_cycle_length",
    "noise_schedule",
    "sample_rate",
  )
  conditional = any("conditioner_projection" in str(name) for name in state_dict)
  wanted += ("n_mels",) * conditional
  missing = [name for name in wanted if name not in settings]
  if missing:
    raise ValueError(f"the checkpoint's params lack {missing}")
  widths = [
    value.shape[0]
    for name, value in state_dict.items()
    if str(name).endswith("projection1.weight")
    and isinstance(value, np.ndarray)
    and value.ndim
  ]
  if len(widths) != 1:
    raise ValueError(
      f"{len(widths)} tensors are called projection1.weight, where a DiffWave has one"
    )
  betas = settings["noise_schedule"]
  betas = betas.tolist() if isinstance(betas, np.ndarray) else betas
  betas = [float(beta) for beta in checks.betas("noise_schedule", plain(betas))]
  size = lambda name: plain(settings[name])
  return {
    "family": "diffwave",
    "network": {
      "channels": size("residual_channels"),
      "layers": size("residual_layers"),
      "dilation_cycle": size("dilation_cycle_length"),
      "mels": size("n_mels") if conditional else None,
      "embedding_width": int(widths[0]),
    },
    "schedule": {"num_train_timesteps": len(betas), "betas": betas},
    "sample_rate": size("sample_rate"),
    "scale": 1.0,
  }


def plain(value: Any) -> Any:
  """Returns a setting as a plain number, where a tensor or a whole float is one."""
  if isinstance(value, list | tuple):
    return [plain(part) for part in value]
  if isinstance(value, np.ndarray | np.generic) and value.size == 1:
    value = value.item()
  if isinstance(value, float) and value.is_integer():
    value = int(value)
  return value
