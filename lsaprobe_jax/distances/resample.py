"""Resampling by a rational ratio, inside the graph and differentiable."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax.distances import _frames
from lsaprobe_jax.errors import ArgumentError

# Zero crossings of the sinc on each side, and the Kaiser window's shape: 90 dB of
# attenuation from the lower Nyquist frequency on, and flat up to 91% of it.
_CROSSINGS = 64
_BETA = 9.0
# Blocks of at least this many input samples, so that the overlap stays affordable.
_BLOCK = 128
_LARGEST = 1 << 23


class Resampler(struct.PyTreeNode):
  """Band-limited resampling as one matrix over overlapping blocks.

  Every `down` input samples give `up` output samples by the same matrix, a polyphase
  filter written out; its transpose, the gradient, is again a matrix product.

  Attributes:
    matrix: `[width, up]`, from a frame of input to a block of output.
    up: output samples a block.
    down: input samples a block.
  """

  matrix: jax.Array
  up: int = struct.field(pytree_node=False)
  down: int = struct.field(pytree_node=False)

  @classmethod
  def create(cls, source_rate: int, target_rate: int) -> "Resampler":
    """Designs the filter.

    Args:
      source_rate: rate of the input in Hz, an integer.
      target_rate: rate of the output in Hz, an integer.

    Raises:
      ArgumentError: a rate is not a positive integer, or their ratio is not made of
        numbers that are small enough.
    """
    if min(source_rate, target_rate) <= 0 or any(
      rate != int(rate) for rate in (source_rate, target_rate)
    ):
      raise ArgumentError(
        f"source_rate={source_rate}: cannot resample from it to {target_rate} Hz"
      )
    matrix, up, down = _design(int(source_rate), int(target_rate))
    return cls(jnp.asarray(matrix), up, down)

  def __call__(self, audio: jax.Array) -> jax.Array:
    """Maps `[samples]` to `[ceil(samples * target_rate / source_rate)]`.

    The signal counts as zero beyond its ends, and output sample 0 falls on input
    sample 0.
    """
    width = self.matrix.shape[0]
    margin = (width - self.down) // 2
    length = -(-audio.shape[-1] * self.up // self.down)
    count = -(-length // self.up)
    frames = _frames.frame(jnp.pad(audio, (margin, 0)), width, self.down, count)
    return (frames @ self.matrix).reshape(-1)[:length]


@functools.cache
def _design(source_rate: int, target_rate: int) -> tuple[np.ndarray, int, int]:
  """The polyphase matrix `[width, up]` (float32) and the block lengths."""
  divisor = math.gcd(source_rate, target_rate)
  up, down = target_rate // divisor, source_rate // divisor
  blocks = -(-_BLOCK // down)
  up, down = up * blocks, down * blocks
  stretch = max(1.0, down / up)  # the filter widens when the rate falls
  reach = math.ceil(_CROSSINGS * stretch)
  if (down + 2 * reach) * up > _LARGEST:
    raise ArgumentError(
      f"source_rate={source_rate} is too uneven to resample to {target_rate} Hz; choose"
      " rates with a large common divisor"
    )
  # Width of the transition band by Kaiser's estimate, as a share of the lower Nyquist
  # frequency; the sinc's cutoff is in its middle.
  attenuation = _BETA / 0.1102 + 8.7
  transition = (attenuation - 7.95) / 2.285 / (2 * _CROSSINGS * np.pi)
  cutoff = (1 - transition / 2) / stretch
  inputs = np.arange(-reach, down + reach)[:, None]
  outputs = np.arange(up)[None] * down / up
  offset = outputs - inputs
  inside = np.clip(1 - (offset / (_CROSSINGS * stretch)) ** 2, 0, None)
  window = np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA) * (inside > 0)
  matrix = cutoff * np.sinc(cutoff * offset) * window
  # Each output sample's filter passes a constant unchanged.
  return (matrix / matrix.sum(axis=0)).astype(np.float32), up, down


def resample(audio: jax.Array, source_rate: int, target_rate: int) -> jax.Array:
  """Resamples one signal; keep a `Resampler` where the filter should be an argument.

  Args:
    audio: `[samples]`.
    source_rate: rate of the input in Hz, an integer.
    target_rate: rate of the output in Hz, an integer.

  Returns:
    `[ceil(samples * target_rate / source_rate)]`.

  Raises:
    ArgumentError: for the reasons of `Resampler.create`.
  """
  if source_rate == target_rate:
    return audio
  return Resampler.create(source_rate, target_rate)(audio)
