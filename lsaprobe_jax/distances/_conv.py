"""One-dimensional convolution with long kernels, shaped for the backend.

Two exact forms of the same layer. Accelerators take XLA's own convolution. On
the CPU that operator falls to a naive loop inside `lax.scan` (3 to 6 times slower
for 15 taps), so there the layer becomes a batch of plain matrix products in a
short frequency domain, which also needs a fifth of the multiplications.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import backends

# Positions to a tile of `TiledConv`. A longer tile needs fewer products but more
# memory for the weights; 32 was the fastest for 64 to 512 channels and 15 taps.
_TILE = 32


class DirectConv(struct.PyTreeNode):
  """A convolution as XLA's operator.

  Attributes:
    taps: weights, `[width, channels_in, channels_out]`.
    bias: `[channels_out]`.
    stride: keep every `stride`-th output.
  """

  taps: jax.Array
  bias: jax.Array
  stride: int = struct.field(pytree_node=False, default=1)

  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps `[time, channels_in]` to `[ceil(time / stride), channels_out]`."""
    width = self.taps.shape[0]
    y = jax.lax.conv_general_dilated(
      x[None],
      self.taps,
      window_strides=(self.stride,),
      padding=[(width // 2, width - 1 - width // 2)],
      dimension_numbers=("NWC", "WIO", "NWC"),
    )
    return y[0] + self.bias


class TiledConv(struct.PyTreeNode):
  """A convolution as matrix products over overlapping tiles.

  Overlap-save: a tile of `_TILE` positions is transformed, multiplied bin by bin
  with the transformed weights, and the outputs that did not wrap are kept. The
  transform is the DFT at half-integer bins, where all bins of a real signal are
  complex, and a complex product takes three real ones (Gauss); both foldings make
  it a Winograd-like bilinear algorithm, `collect((spread x) * spectrum)`, but with
  the DFT's stability: its error is that of a direct float32 sum.

  Attributes:
    spectrum: weights, `[bins, stride * channels_in, channels_out]`.
    bias: `[channels_out]`.
    width: taps of the kernel.
    stride: keep every `stride`-th output. Neighbouring positions become channels,
      so that dropped outputs cost nothing.
  """

  spectrum: jax.Array
  bias: jax.Array
  width: int = struct.field(pytree_node=False)
  stride: int = struct.field(pytree_node=False, default=1)

  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps `[time, channels_in]` to `[ceil(time / stride), channels_out]`."""
    spread, _, collect = (m.astype(x.dtype) for m in _bilinear(self._rows))
    hop, kept = collect.shape[0], -(-x.shape[0] // self.stride)
    count = -(-kept // hop)
    left = self.width // 2
    right = (count + 1) * hop * self.stride - left - x.shape[0]
    x = jnp.pad(x, ((left, right), (0, 0)))
    x = x.reshape(count + 1, hop, -1).swapaxes(0, 1)
    tiles = jnp.concatenate([x[:, :-1], x[: _TILE - hop, 1:]])
    tiles = jnp.einsum("fn,ntc->ftc", spread, tiles)
    tiles = jnp.einsum("ftc,fcd->ftd", tiles, self.spectrum)
    y = jnp.einsum("nf,ftd->tnd", collect, tiles)
    return y.reshape(count * hop, -1)[:kept] + self.bias

  @property
  def _rows(self) -> int:
    """Taps once `stride` neighbouring positions have become channels."""
    return -(-self.width // self.stride)


def conv1d(taps, bias, *, stride: int = 1, backend: str | None = None):
  """Builds the form of a 'same' convolution that is fast on the backend.

  The output at n is `bias + sum_k taps[k] x[stride * n + k - width // 2]`, with x
  zero outside: PyTorch's `Conv1d(padding=width // 2)` for odd widths.

  Args:
    taps: weights, `[width, channels_in, channels_out]`, float.
    bias: `[channels_out]`, float.
    stride: keep every `stride`-th output.
    backend: "cpu", "gpu" or "tpu"; the default one where None.

  Returns:
    A callable pytree, `[time, channels_in]` to `[ceil(time / stride), channels_out]`.

  Raises:
    ValueError: if the kernel is too wide for a tile.
  """
  # float32, or float64 where JAX has it enabled.
  taps = np.asarray(taps, jax.dtypes.canonicalize_dtype(np.float64))
  bias = jnp.asarray(bias)
  if (backend or backends.backend()) != "cpu":
    return DirectConv(jnp.asarray(taps), bias, stride)
  width, channels_in, channels_out = taps.shape
  rows = -(-width // stride)
  if rows - 1 > _TILE // 2:
    raise ValueError(f"a kernel of {width} taps is too wide for tiles of {_TILE}")
  taps = np.pad(taps, ((0, rows * stride - width), (0, 0), (0, 0)))
  _, transform, _ = _bilinear(rows)
  spectrum = transform.astype(taps.dtype) @ taps.reshape(rows, -1)
  spectrum = spectrum.reshape(-1, stride * channels_in, channels_out)
  return TiledConv(jnp.asarray(spectrum), bias, width, stride)


@functools.cache
def _bilinear(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Matrices of the bilinear algorithm for a kernel of `rows` taps.

  Returns:
    spread `[bins, _TILE]`, for the tiles; transform `[bins, rows]`, for the taps;
    collect `[_TILE - rows + 1, bins]`, from products to outputs.
  """
  half = _TILE // 2
  angle = 2 * np.pi / _TILE * np.outer(np.arange(half) + 0.5, np.arange(_TILE))
  cos, sin = np.cos(angle), np.sin(angle)
  # Tile: Xr = cos x, Xi = -sin x. Taps, conjugated as this is a correlation:
  # Wr = cos w, Wi = sin w. With k1 = Wr (Xr + Xi), k2 = (Wi - Wr) Xr and
  # k3 = (Wr + Wi) Xi the product is (k1 - k3) + i (k1 + k2).
  spread = np.concatenate([cos - sin, cos, -sin])
  transform = np.concatenate([cos, sin - cos, cos + sin])[:, :rows]
  collect = np.concatenate([cos - sin, -sin, -cos])[:, : _TILE - rows + 1].T / half
  return spread, transform, collect
