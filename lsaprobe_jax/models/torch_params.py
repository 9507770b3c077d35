"""State dicts of PyTorch's modules onto parameters of ours, name by name.

A module of a network that we port keeps the names of the original, so that one set of
rules serves all of them: numbers in a name are joined to what they count, kernels are
turned to Flax's order of axes, and weight normalisation is folded.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from lsaprobe_jax.models.files import tensors
from lsaprobe_jax.text import printable

# Attention in VAEs saved before diffusers 0.15.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_NORMS = re.compile(r"norm\w*$")
# Transposed convolutions, [in, out, width]: HiFi-GAN's, Oobleck's and ACE-Step's.
_TRANSPOSED = re.compile(r"(^|/)(upsampler_\d+|conv_t\d+|proj_out_conv)$")
# Convolutions of width 1 that are linear layers here: a transformer's.
_POINTWISE = re.compile(r"(pre|post)process_conv$")
# Oobleck's snakes have [1, C, 1], and ACE-Step's blocks have [1, n, C].
_SNAKE, _TABLE = ("alpha", "beta"), "scale_shift_table"
# Stable Audio embeds numbers by these.
_FREQUENCIES = "weights"


def fold_weight_norm(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns weights for the pairs (g, v) that weight normalisation stores.

  `w = g v / ||v||`, the norm over all axes but the first. Both spellings are known:
  `weight_g`, `weight_v`, and `parametrizations.weight.original0`, `original1`.

  Raises:
    ValueError: one of a pair is missing, or they do not fit.
  """
  folded = dict(state)
  for magnitude, direction in (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
  ):
    for name in [name for name in state if name.endswith(f".{magnitude}")]:
      stem = name.removesuffix(magnitude)
      if f"{stem}{direction}" not in folded:
        shown = f"{printable(name)} lacks {printable(stem)}{direction}"
        raise ValueError(f"weight normalisation: {shown}")
      if f"{stem}weight" in folded:
        raise ValueError(f"two tensors are both {printable(stem)}weight")
      g = np.asarray(folded.pop(name), np.float64)
      v = np.asarray(folded.pop(f"{stem}{direction}"), np.float64)
      if v.ndim == 0 or g.shape != v.shape[:1] + (1,) * (v.ndim - 1):
        raise ValueError(
          f"weight normalisation: {printable(name)} has shape {g.shape}, which is not"
          f" that of one number for each of {v.shape}"
        )
      with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        norm = np.sqrt(np.sum(v**2, axis=tuple(range(1, v.ndim)), keepdims=True))
        folded[f"{stem}weight"] = g * v / norm
  return folded


def _leaf(name: str, value: np.ndarray) -> tuple[str, np.ndarray]:
  """Returns one PyTorch tensor under its Flax name and axis order."""
  layer, _, kind = name.rpartition(".")
  if kind in _SNAKE:
    value = value.reshape(-1)
  if kind == _TABLE:
    value = value.reshape(value.shape[1:])
  if not layer:  # a buffer of the module itself: the vocoder's mean and scale
    return kind, value
  path = re.sub(r"\.(\d+)", r"_\1", layer).replace(".", "/")
  if kind == "bias":
    return f"{path}/bias", value
  if kind in (*_SNAKE, _TABLE, _FREQUENCIES):
    return f"{path}/{kind}", value
  if kind != "weight":
    raise ValueError(f"unexpected tensor {printable(name)!r}")
  if _NORMS.search(path):
    return f"{path}/scale", value
  if value.ndim == 1:  # frequencies
    return f"{path}/weight", value
  if _POINTWISE.search(path):
    return f"{path}/kernel", value.reshape(value.shape[:2]).T
  if _TRANSPOSED.search(path):
    return f"{path}/kernel", np.transpose(value, (2, 1, 0))
  # Linear [out, in], Conv1d [out, in, width], Conv2d [out, in, time, mel]
  return f"{path}/kernel", np.transpose(value, (*range(2, value.ndim), 1, 0))


def module_params(state: Mapping[str, np.ndarray]) -> Any:
  """Returns parameters of one of our modules from a state dict of the original.

  Args:
    state: `{"down_blocks.0.resnets.0.conv1.weight": array, ...}`.

  Raises:
    ValueError: on a tensor of a kind that none of the modules has, or that may not be
      a weight (`tensors.weight`).
  """
  flat = {}
  # Folding divides by a norm: what is folded is checked, not only what was stored.
  for name, value in fold_weight_norm(state).items():
    value = tensors.weight(name, value)
    for old, new in _OLD_NAMES.items():
      name = re.sub(rf"(attentions\.\d+)\.{old}\.", rf"\1.{new}.", name)
    if re.search(r"\.to_(q|k|v|out\.0)\.weight$", name):
      # Older ones still are convolutions of width 1.
      value = value.reshape(value.shape[:2])
    path, array = _leaf(name, value)
    if path in flat:
      raise ValueError(f"two tensors are both {printable(path)}")
    flat[path] = np.ascontiguousarray(array)
  return traverse_util.unflatten_dict(flat, sep="/")


def stack(params: Mapping[str, Any], name: str) -> dict[str, Any]:
  """Returns parameters with those of equal layers stacked, as a loop over them has it.

  Args:
    params: with `{name}_0`, `{name}_1` and so on (`module_params`).
    name: of the layers, and of their stack.

  Raises:
    ValueError: a layer is missing, or layers differ.
  """
  numbered = re.compile(rf"{name}_\d+")
  rest = {key: value for key, value in params.items() if not numbered.fullmatch(key)}
  count = max(len(params) - len(rest), 1)
  missing = [f"{name}_{i}" for i in range(count) if f"{name}_{i}" not in params]
  if missing:
    raise ValueError(f"there is no {missing[0]}")
  layers = [params[f"{name}_{i}"] for i in range(count)]
  try:
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *layers)
  except ValueError as error:
    raise ValueError(f"{name}: layers differ ({error})") from error
  return rest | {name: stacked}
