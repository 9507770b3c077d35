"""DiffWave (Kong et al. 2021, arXiv 2009.09761), one example at a time.

The architecture is that of LMNT's implementation (PyPI `diffwave` 0.1.7), so that
its state dict maps onto these parameters one to one (`porting.py`). Arrays are
`[samples, channels]`, PyTorch's are `[batch, channels, samples]`.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax.models import checks, convolution
from lsaprobe_jax.models.diffwave import stack

# LMNT's SpectrogramUpsampler: two transposed convolutions of stride 16 in time.
HOP_SAMPLES = 256

# Limits of the settings; LMNT's values are 64, 30, 10 and 512.
_MOST_CHANNELS = 16_384
_MOST_LAYERS = 256
_MOST_CYCLE = 20
_MOST_MELS = 1024
# A layer's kernels and biases: convolution, projection of the step, output.
_TENSORS_A_LAYER = 6


def embedding_table(max_steps: int) -> np.ndarray:
  """Returns sines and cosines of steps at 64 frequencies, float32 [max_steps, 128].

  Arguments reach 1e4 * max_steps, so frequencies and products are rounded to float32
  first, as the original does, and the sine is taken in float64. The power is too:
  NumPy's in float32 is off by a bit on processors with AVX-512, which moves the sine of
  late steps by up to 0.06.
  """
  exponent = (np.arange(64) * 4.0 / 63.0).astype(np.float32)
  frequency = (10.0 ** exponent.astype(np.float64)).astype(np.float32)
  angle = np.arange(max_steps, dtype=np.float32)[:, None] * frequency
  angle = angle.astype(np.float64)
  return np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32)


class DiffusionEmbedding(nn.Module):
  """Embeds a step: scalar -> [width]; a fractional step is interpolated."""

  max_steps: int
  width: int

  @nn.compact
  def __call__(self, step):
    """Scalar step, integer or real -> [width]."""
    table = jnp.asarray(embedding_table(self.max_steps))
    if jnp.issubdtype(jnp.result_type(step), jnp.integer):
      x = table[step]
    else:
      low = jnp.floor(step).astype(jnp.int32)
      high = jnp.ceil(step).astype(jnp.int32)
      x = table[low] + (table[high] - table[low]) * (step - low)
    x = nn.silu(nn.Dense(self.width, name="projection1")(x))
    return nn.silu(nn.Dense(self.width, name="projection2")(x))


class SpectrogramUpsampler(nn.Module):
  """Stretches a spectrogram by 256 in time: [frames, mels] -> [samples, mels]."""

  @nn.compact
  def __call__(self, spectrogram):
    """[frames, mels] -> [256 * frames, mels]."""
    x = spectrogram[None, :, :, None]
    for name in ("conv1", "conv2"):
      # PyTorch's padding p of a transposed convolution crops p from each end of
      # the full output, which lax states as padding of kernel - 1 - p.
      x = nn.ConvTranspose(
        1,
        kernel_size=(32, 3),
        strides=(16, 1),
        padding=((23, 23), (1, 1)),
        transpose_kernel=True,
        name=name,
      )(x)
      x = nn.leaky_relu(x, 0.4)
    return x[0, :, :, 0]


# A convolution of width 1, with the initialisation LMNT gives its convolutions.
_pointwise = functools.partial(nn.Dense, kernel_init=nn.initializers.he_normal())


class ResidualBlock(nn.Module):
  """A gated dilated convolution: [samples, C] -> (residual, skip)."""

  channels: int
  dilation: int
  dtype: Any = None

  @nn.compact
  def __call__(self, x, step_embedding, condition):
    """[samples, C] -> ([samples, C] for the next block, [samples, C] for the sum)."""
    pointwise = functools.partial(_pointwise, dtype=self.dtype)
    shift = nn.Dense(self.channels, dtype=self.dtype, name="diffusion_projection")
    conv = convolution.DilatedConv(
      2 * self.channels, self.dilation, self.dtype, name="dilated_conv"
    )
    y = conv(x + shift(step_embedding))
    if condition is not None:
      y = y + pointwise(2 * self.channels, name="conditioner_projection")(condition)
    gate, signal = jnp.split(y, 2, axis=-1)
    y = nn.sigmoid(gate) * jnp.tanh(signal)
    y = pointwise(2 * self.channels, name="output_projection")(y)
    residual, skip = jnp.split(y, 2, axis=-1)
    return (x + residual) / math.sqrt(2.0), skip


def check_settings(
  settings: Mapping[str, Any], name: str, tensors: int | None = None
) -> None:
  """Refuses settings that make no DiffWave, before anything is built.

  Args:
    settings: fields of `DiffWave`.
    name: of the settings, for messages.
    tensors: how many the weights hold; None where there are none yet.

  Raises:
    ValueError: names the setting.
  """
  limits = {
    "channels": _MOST_CHANNELS,
    "layers": _MOST_LAYERS,
    "dilation_cycle": _MOST_CYCLE,
    "mels": _MOST_MELS,
    "embedding_width": _MOST_CHANNELS,
  }
  checks.table(name, settings, (), tuple(limits))
  for key, value in settings.items():
    if key == "mels" and value is None:
      continue
    checks.whole(f"{name}.{key}", value, 1, limits[key])
  layers = settings.get("layers", DiffWave.layers)
  if tensors is not None and layers * _TENSORS_A_LAYER > tensors:
    raise ValueError(
      f"{name}.layers = {layers} does not fit the weights: they hold {tensors:,}"
      f" tensors, and a layer has {_TENSORS_A_LAYER}"
    )


class DiffWave(nn.Module):
  """Predicts the noise in one noisy waveform.

  Attributes:
    channels: C, residual channels (LMNT: 64).
    layers: residual blocks (LMNT: 30).
    dilation_cycle: block i has dilation `2 ** (i % dilation_cycle)` (LMNT: 10).
    max_steps: T, steps of the training schedule (LMNT: 50).
    mels: mel bands of the conditioning spectrogram, or None for unconditional.
    embedding_width: width of the step embedding (LMNT: 512).
    dtype: of the residual blocks; None for that of input and parameters. The sum of
      their skips, and all around them, keep the input's.
  """

  channels: int = 64
  layers: int = 30
  dilation_cycle: int = 10
  max_steps: int = 50
  mels: int | None = None
  embedding_width: int = 512
  dtype: Any = None

  @nn.compact
  def __call__(self, x, step, spectrogram=None):
    """Predicts the noise.

    Args:
      x: noisy waveform, float32 [samples].
      step: scalar network index 0..T - 1 (state t has index t - 1); integer, or
        real to interpolate between two.
      spectrogram: for a conditional network, float32 [samples / 256, mels].

    Returns:
      The predicted noise, float32 [samples].
    """
    self._check(x, spectrogram)
    embedding = DiffusionEmbedding(
      self.max_steps, self.embedding_width, name="diffusion_embedding"
    )(step)
    condition = None
    if self.mels is not None:
      condition = SpectrogramUpsampler(name="spectrogram_upsampler")(spectrogram)
    h = nn.relu(_pointwise(self.channels, name="input_projection")(x[:, None]))
    total = self._sum_of_skips(h, embedding, condition)
    h = _pointwise(self.channels, name="skip_projection")(
      total / math.sqrt(self.layers)
    )
    # Zero at the start: an untrained network predicts no noise at all.
    h = nn.Dense(1, kernel_init=nn.initializers.zeros, name="output_projection")(
      nn.relu(h)
    )
    return h[:, 0]

  def _sum_of_skips(self, h, embedding, condition):
    dilations = [2 ** (i % self.dilation_cycle) for i in range(self.layers)]
    plain = condition is None and self.dtype is None and not self.is_initializing()
    if plain and convolution.on_cpu():
      params = self.variables["params"]
      return stack.residual_blocks(params, h, embedding, dilations)
    total = jnp.zeros_like(h)
    h = h if self.dtype is None else h.astype(self.dtype)
    for i, dilation in enumerate(dilations):
      block = ResidualBlock(
        self.channels, dilation, self.dtype, name=f"residual_layers_{i}"
      )
      h, skip = block(h, embedding, condition)
      total = total + skip
    return total

  def _check(self, x: jax.Array, spectrogram: jax.Array | None):
    if x.ndim != 1:
      raise ValueError(f"DiffWave takes one waveform [samples], got shape {x.shape}")
    if (self.mels is None) != (spectrogram is None):
      wants = "no spectrogram" if self.mels is None else f"{self.mels} mel bands"
      raise ValueError(f"this DiffWave takes {wants}")
    expected = None if self.mels is None else (x.shape[0] / HOP_SAMPLES, self.mels)
    if expected is not None and spectrogram.shape != expected:
      raise ValueError(
        f"spectrogram of shape {spectrogram.shape} does not fit {x.shape[0]} samples:"
        f" expected {expected}"
      )
