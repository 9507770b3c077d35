"""Fine-tunes by matrices of low rank beside the weights (LoRA; Hu et al. 2021).

A layer's kernel `W` becomes `W + A B`, with A [in, r] and B [r, out]; A and B alone are
trained. B is zero at first, so that the fine-tune begins at the model it goes on from.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct, traverse_util

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.training.losses import Denoising

# By the name of a layer's kernel, its A and B.
Adapters = Mapping[str, Mapping[str, jax.Array]]


def draw(params: Any, key: jax.Array, rank: int, layers: str) -> Adapters:
  """Draws adapters for the dense layers and 1D convolutions that a pattern names.

  Args:
    params: the denoiser's parameters.
    key: of the draw of A, which is normal with variance one over its inputs.
    rank: r.
    layers: a regular expression that is looked for in names, `block_0/attn1/to_q`.

  Returns:
    A [in, r] and B [r, out] of each; blocks that are stacked have an axis of layers
    before these.

  Raises:
    SettingError: there is no such layer, or it is no regular expression.
  """
  try:
    wanted = re.compile(layers)
  except re.error as error:
    raise SettingError(
      f"lora_layers={layers}: no regular expression ({error})"
    ) from error
  random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
  adapters = {}
  flat = traverse_util.flatten_dict(params, sep="/")
  for name, kernel in flat.items():
    layer, _, kind = name.rpartition("/")
    # The first of three axes is of stacked blocks, or a convolution's width, each of
    # whose places then has matrices of its own.
    if kind != "kernel" or kernel.ndim not in (2, 3) or not wanted.search(layer):
      continue
    *before, inputs, outputs = kernel.shape
    a = random.standard_normal((*before, inputs, rank), np.float32) / np.sqrt(inputs)
    b = np.zeros((*before, rank, outputs), np.float32)
    adapters[name] = {"a": jnp.asarray(a, jnp.float32), "b": jnp.asarray(b)}
  if not adapters:
    known = sorted(
      name.rpartition("/")[0]
      for name, leaf in flat.items()
      if name.endswith("/kernel") and leaf.ndim in (2, 3)
    )
    raise SettingError(f"lora_layers={layers}: in none of {', '.join(known)[:300]}")
  return adapters


def merge(params: Any, adapters: Adapters) -> Any:
  """Returns parameters with `A B` added to the kernels that have adapters."""
  flat = dict(traverse_util.flatten_dict(params, sep="/"))
  for name, own in adapters.items():
    flat[name] = flat[name] + own["a"] @ own["b"]
  return traverse_util.unflatten_dict(flat, sep="/")


class LowRank(struct.PyTreeNode):
  """A denoiser's loss as one of adapters; see `losses.Denoising`.

  Attributes:
    params: the adapters.
    denoising: the loss of the whole denoiser, which keeps its weights.
  """

  params: Any
  denoising: Denoising

  @property
  def together(self) -> bool:
    """Whether a batch is worth computing at once on a CPU."""
    return self.denoising.together

  def examples(self, audio: np.ndarray) -> np.ndarray:
    """[n, samples] -> what `loss` takes of each."""
    return self.denoising.examples(audio)

  def loss(self, params: Any, example: jax.Array, key: jax.Array) -> jax.Array:
    """The loss of one example."""
    merged = merge(self.denoising.params, params)
    return self.denoising.loss(merged, example, key)

  def eval_loss(self, params: Any, example: jax.Array, key: jax.Array) -> jax.Array:
    """Losses at fixed times, under the one noise that the key gives."""
    merged = merge(self.denoising.params, params)
    return self.denoising.eval_loss(merged, example, key)
