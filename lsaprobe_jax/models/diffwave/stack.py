"""DiffWave's residual blocks for a CPU: one loop over layers, its derivative by hand.

XLA compiles the blocks one by one as `network.ResidualBlock` writes them, and on a CPU
loses time between them: it computes the running sums of residuals and skips again for
every layer that reads them, and gates once for each of their readers. A loop over
layers keeps them apart, and compiles one body for all dilations. Arrays are
[channels, samples] here, so that what is done for each sample runs along memory.

For the embedded network a gradient takes three quarters of the time and compiles in
half of it (benchmarks/README.md says how to measure). Accelerators have convolutions
that are faster than slices at a place found at run time; they run the blocks.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp


def residual_blocks(
  params: Mapping[str, Any], h: jax.Array, embedding: jax.Array, dilations: list[int]
) -> jax.Array:
  """Runs all blocks of a network without condition; sums their skips.

  Args:
    params: of the network; the blocks are `residual_layers_0` and so on.
    h: [samples, C].
    embedding: of the step, [width].
    dilations: of the blocks.

  Returns:
    The sum of skips, [samples, C].
  """
  blocks = [params[f"residual_layers_{i}"] for i in range(len(dilations))]
  conv, shifts, out, out_bias = _stacked(blocks, embedding)
  # Transposed once and not in every pass back; derivatives go by the others.
  back = jax.lax.stop_gradient(
    (jnp.swapaxes(conv[..., :-1], 1, 2), jnp.swapaxes(out, 1, 2))
  )
  layer = functools.partial(_layer, max(dilations))

  def step(state, weights):
    h, total = state
    shift, dilation, *own = weights
    residual, skip = jnp.split(layer(h + shift[:, None], dilation, *own), 2)
    return ((h + residual) / math.sqrt(2.0), total + skip), None

  h = h.T.astype(conv.dtype)
  inputs = (shifts, jnp.asarray(dilations), conv, out, out_bias, *back)
  return jax.lax.scan(step, (h, jnp.zeros_like(h)), inputs)[0][1].T


def _stacked(blocks, embedding) -> tuple[jax.Array, ...]:
  """Weights with a leading axis of layers, of features by inputs.

  Returns:
    Convolutions with their bias [layers, 2 C, 3 C + 1], shifts by the step's embedding
    [layers, C], output projections [layers, 2 C, C] and their biases [layers, 2 C, 1].
  """
  stack = lambda layer, kind: jnp.stack([block[layer][kind] for block in blocks])
  kernel = stack("dilated_conv", "kernel")
  layers, taps, channels, features = kernel.shape
  kernel = jnp.swapaxes(kernel.reshape(layers, taps * channels, features), 1, 2)
  conv = jnp.concatenate([kernel, stack("dilated_conv", "bias")[..., None]], -1)
  shifts = jnp.einsum("e,lec->lc", embedding, stack("diffusion_projection", "kernel"))
  return (
    conv,
    shifts + stack("diffusion_projection", "bias"),
    jnp.swapaxes(stack("output_projection", "kernel"), 1, 2),
    stack("output_projection", "bias")[..., None],
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _layer(reach, y, dilation, conv, out, out_bias, conv_back, out_back):
  """The gated convolution and its projection: [C, samples] -> [2 C, samples].

  Args:
    reach: the largest dilation of all layers.
    y: the block's input with the step's shift, [C, samples].
    dilation: of this layer, a scalar.
    conv, out, out_bias: its weights (`_stacked`).
    conv_back, out_back: [3 C, 2 C] and [C, 2 C], the same transposed, for passes back.
  """
  del conv_back, out_back
  return out @ _gated(conv @ _taps(reach, y, dilation)) + out_bias


def _taps(reach, y, dilation) -> jax.Array:
  """What a convolution of width 3 reads, and a row of ones: [3 C + 1, samples]."""
  channels, samples = y.shape
  wide = jnp.zeros((channels, samples + 2 * reach), y.dtype)
  wide = jax.lax.dynamic_update_slice(wide, y, (0, reach))
  at = lambda start: jax.lax.dynamic_slice_in_dim(wide, start, samples, axis=1)
  ones = jnp.ones((1, samples), y.dtype)
  return jnp.concatenate([at(reach - dilation), y, at(reach + dilation), ones])


def _taps_back(reach, dilation, taps) -> jax.Array:
  """The transpose of `_taps` but for the ones: [3 C, samples] -> [C, samples]."""
  before, here, after = jnp.split(taps, 3)
  samples = taps.shape[1]
  at = lambda x, start: jax.lax.dynamic_slice_in_dim(x, start, samples, axis=1)
  before = at(jnp.pad(before, ((0, 0), (0, reach))), dilation)
  after = at(jnp.pad(after, ((0, 0), (reach, 0))), reach - dilation)
  return before + here + after


def _tanhs(u) -> tuple[jax.Array, jax.Array]:
  # A sigmoid is a hyperbolic tangent, which XLA has a faster program for.
  gate, signal = jnp.split(u, 2)
  return jnp.tanh(0.5 * gate), jnp.tanh(signal)


def _gated(u) -> jax.Array:
  gate, signal = _tanhs(u)
  return (0.5 * gate + 0.5) * signal


def _forward(reach, y, dilation, conv, out, out_bias, conv_back, out_back):
  perturbed = conv.perturbed or out.perturbed or out_bias.perturbed
  values = [x.value for x in (y, dilation, conv, out, out_bias, conv_back, out_back)]
  y, dilation, conv, out, out_bias, conv_back, out_back = values
  u = conv @ _taps(reach, y, dilation)
  # The input is kept where weights are differentiated by, as in training.
  kept = (u, dilation, conv_back, out_back, y if perturbed else None)
  return out @ _gated(u) + out_bias, kept


def _backward(reach, kept, ahead):
  u, dilation, conv_back, out_back, y = kept
  if isinstance(ahead, jax.custom_derivatives.SymbolicZero):
    ahead = jnp.zeros(ahead.shape, ahead.dtype)
  gate, signal = _tanhs(u)
  gated = out_back @ ahead
  # Two products instead of one of both halves side by side, which cost more to join.
  by_gate = gated * signal * (0.25 * (1 - gate * gate))
  by_signal = gated * (0.5 * gate + 0.5) * (1 - signal * signal)
  gate_back, signal_back = jnp.split(conv_back, 2, axis=1)
  taps = gate_back @ by_gate + signal_back @ by_signal
  weights = (None, None, None)
  if y is not None:
    by_u = jnp.concatenate([by_gate, by_signal])
    weights = (
      by_u @ _taps(reach, y, dilation).T,
      ahead @ _gated(u).T,
      jnp.sum(ahead, axis=1, keepdims=True),
    )
  return _taps_back(reach, dilation, taps), None, *weights, None, None


_layer.defvjp(_forward, _backward, symbolic_zeros=True)
