"""PyTorch state dicts of DiffWave onto our parameters, name by name.

A port is: rename, transpose, compare every shape. Nothing may be left over on either
side (`checkpoints.check_fit`).
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util


def _leaf(name: str, value: np.ndarray) -> tuple[str, np.ndarray]:
  """One PyTorch tensor under its Flax name and axis order."""
  layer, _, kind = name.rpartition(".")
  layer = re.sub(r"^residual_layers\.(\d+)", r"residual_layers_\1", layer)
  path = layer.replace(".", "/")
  if kind == "bias":
    return f"{path}/bias", value
  if kind != "weight":
    raise ValueError(f"unexpected tensor {name!r} in a DiffWave state dict")
  if value.ndim == 2:  # Linear [out, in]
    value = value.T
  elif value.ndim == 3:  # Conv1d [out, in, width]
    value = np.transpose(value, (2, 1, 0))
    if value.shape[0] == 1:  # width 1: a Dense layer here
      value = value[0]
  elif value.ndim == 4:  # ConvTranspose2d [in, out, mels, time], ours [time, mels]
    value = np.transpose(value, (3, 2, 1, 0))
  return f"{path}/kernel", value


def diffwave_params(state_dict: Mapping[str, np.ndarray]) -> Any:
  """Parameters of `models.diffwave.DiffWave` from LMNT's state dict.

  Args:
    state_dict: `{"residual_layers.0.dilated_conv.weight": array, ...}`. The prefix
      `module.` of distributed training is dropped, and so is the step embedding's
      table, which older versions of the code stored.

  Raises:
    ValueError: on a tensor that no DiffWave has.
  """
  flat = {}
  for name, value in state_dict.items():
    name = name.removeprefix("module.")
    if name == "diffusion_embedding.embedding":
      continue
    path, array = _leaf(name, np.asarray(value, np.float32))
    flat[path] = np.ascontiguousarray(array)
  return traverse_util.unflatten_dict(flat, sep="/")


def diffwave_model_config(
  settings: Mapping[str, Any], state_dict: Mapping[str, np.ndarray]
) -> dict[str, Any]:
  """The model configuration of an LMNT checkpoint.

  Args:
    settings: the checkpoint's `params` (residual_channels, noise_schedule, ...).
    state_dict: its tensors; they say whether the network is conditional.

  Raises:
    ValueError: a setting is missing.
  """
  wanted = (
    "residual_channels",
    "residual_layers",
    "dilation_cycle_length",
    "noise_schedule",
    "sample_rate",
  )
  conditional = any("conditioner_projection" in name for name in state_dict)
  wanted += ("n_mels",) * conditional
  missing = [name for name in wanted if name not in settings]
  if missing:
    raise ValueError(f"the checkpoint's params lack {missing}")
  widths = [
    value.shape[0]
    for name, value in state_dict.items()
    if name.endswith("projection1.weight")
  ]
  if len(widths) != 1:
    raise ValueError(
      f"{len(widths)} tensors are called projection1.weight, where a DiffWave has one"
    )
  betas = [float(beta) for beta in settings["noise_schedule"]]
  return {
    "family": "diffwave",
    "network": {
      "channels": int(settings["residual_channels"]),
      "layers": int(settings["residual_layers"]),
      "dilation_cycle": int(settings["dilation_cycle_length"]),
      "mels": int(settings["n_mels"]) if conditional else None,
      "embedding_width": int(widths[0]),
    },
    "schedule": {"num_steps": len(betas), "betas": betas},
    "sample_rate": int(settings["sample_rate"]),
    "scale": 1.0,
  }
