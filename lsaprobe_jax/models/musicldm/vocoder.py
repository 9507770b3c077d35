"""The vocoder from log-mel to waveform (transformers' SpeechT5HifiGan).

HiFi-GAN (Kong et al. 2020, arXiv 2010.05646), generator only.
"""

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from lsaprobe_jax.models import checks, convolution
from lsaprobe_jax.models import pipeline_settings as settings

_NAME = "vocoder/config.json"
_DEFAULTS = {
  "model_in_dim": 80,
  "sampling_rate": 16000,
  "upsample_initial_channel": 512,
  "upsample_rates": (4, 4, 4, 4),
  "upsample_kernel_sizes": (8, 8, 8, 8),
  "resblock_kernel_sizes": (3, 7, 11),
  "resblock_dilation_sizes": ((1, 3, 5),) * 3,
  "leaky_relu_slope": 0.1,
  "normalize_before": True,
}


# A convolution takes a slice a tap, a transposed one a product a `width / rate`.
_MOST_TAPS = 256
_MOST_HOP = 65_536


class ResidualBlock(nn.Module):
  """Pairs of convolutions beside shortcuts, the first of each dilated.

  Attributes:
    width: of the kernels, odd.
    dilations: one a pair.
    slope: of the leaky ReLUs.
  """

  width: int
  dilations: tuple[int, ...]
  slope: float

  @nn.compact
  def __call__(self, x):
    """[samples, C] -> [samples, C]."""
    channels = x.shape[-1]
    for i, dilation in enumerate(self.dilations):
      y = x
      for name, step in ((f"convs1_{i}", dilation), (f"convs2_{i}", 1)):
        conv = convolution.DilatedConv(channels, step, width=self.width, name=name)
        y = conv(nn.leaky_relu(y, self.slope))
      x = x + y
    return x


class Vocoder(nn.Module):
  """Log-mel -> waveform.

  Attributes:
    mels: bands of the log-mel spectrogram.
    channels: before the first doubling; each stage halves them.
    rates: how much each stage stretches the time.
    kernels: widths of the transposed convolutions, by stage.
    block_kernels: widths of the residual blocks that a stage averages over.
    block_dilations: their dilations.
    slope: of the leaky ReLUs but the last.
    normalise: the input is first normalised by a stored mean and scale.
  """

  mels: int
  channels: int
  rates: tuple[int, ...]
  kernels: tuple[int, ...]
  block_kernels: tuple[int, ...]
  block_dilations: tuple[tuple[int, ...], ...]
  slope: float
  normalise: bool

  @property
  def hop(self) -> int:
    """Samples a frame."""
    return math.prod(self.rates)

  @nn.compact
  def __call__(self, x):
    """[frames, mels] -> waveform in (-1, 1), [samples].

    At least `hop` samples a frame: a stage whose kernel and rate are one odd, one
    even gives one sample more than its rate says (MusicLDM: 32 samples at the end).
    """
    if x.ndim != 2 or x.shape[-1] != self.mels:
      raise ValueError(
        f"the vocoder takes one log-mel spectrogram [frames, {self.mels}], got shape"
        f" {x.shape}"
      )
    if self.normalise:
      mean = self.param("mean", nn.initializers.zeros, (self.mels,))
      x = (x - mean) / self.param("scale", nn.initializers.ones, (self.mels,))
    x = convolution.DilatedConv(self.channels, 1, width=7, name="conv_pre")(x)
    for i, (rate, width) in enumerate(zip(self.rates, self.kernels, strict=True)):
      stretch = convolution.TransposedConv(
        self.channels // 2 ** (i + 1), width, rate, name=f"upsampler_{i}"
      )
      x = stretch(nn.leaky_relu(x, self.slope))
      x = self._average(x, i)
    # PyTorch's default slope here, whatever the others'.
    x = nn.leaky_relu(x, 0.01)
    x = convolution.DilatedConv(1, 1, width=7, name="conv_post")(x)
    return jnp.tanh(x[:, 0])

  def _average(self, x, stage):
    count = len(self.block_kernels)
    kinds = zip(self.block_kernels, self.block_dilations, strict=True)
    outputs = [
      ResidualBlock(
        width, dilations, self.slope, name=f"resblocks_{stage * count + j}"
      )(x)
      for j, (width, dilations) in enumerate(kinds)
    ]
    return sum(outputs) / count


def from_config(config: Mapping[str, Any], tensors: int | None = None) -> Vocoder:
  """Builds the vocoder that a `vocoder/config.json` describes.

  Args:
    config: the file's content.
    tensors: how many the weights hold, which bounds the blocks; None if not known.

  Raises:
    ValueError: on a setting that is not supported; names it.
  """
  read = settings.read(config, _NAME, _DEFAULTS, {})
  kernels = read["resblock_kernel_sizes"]
  settings.require(
    all(width % 2 for width in kernels), _NAME, "resblock_kernel_sizes", kernels, "odd"
  )
  for key, other in (
    ("upsample_kernel_sizes", "upsample_rates"),
    ("resblock_dilation_sizes", "resblock_kernel_sizes"),
  ):
    settings.require(
      len(read[key]) == len(read[other]), _NAME, key, read[key], f"as long as {other}"
    )
  checks.whole(f"{_NAME}: sampling_rate", read["sampling_rate"], *checks.RATES)
  for key in ("upsample_kernel_sizes", "resblock_kernel_sizes"):
    for width in read[key]:
      checks.whole(f"{_NAME}: {key}", width, 1, _MOST_TAPS)
  rates, stages = read["upsample_rates"], len(read["upsample_rates"])
  settings.require(
    math.prod(rates) <= _MOST_HOP
    and all(
      rate <= width
      for rate, width in zip(rates, read["upsample_kernel_sizes"], strict=True)
    ),
    _NAME,
    "upsample_rates",
    rates,
    f"at most upsample_kernel_sizes, with a product of at most {_MOST_HOP:,}",
  )
  channels = read["upsample_initial_channel"]
  settings.require(
    channels >= 2**stages, _NAME, "upsample_initial_channel", channels,
    f"{2**stages} or more, which its {stages} stages halve",
  )  # fmt: skip
  settings.check_blocks(
    f"{_NAME}: upsample_rates and resblock_dilation_sizes",
    stages * sum(map(len, read["resblock_dilation_sizes"])),
    tensors,
  )
  return Vocoder(
    mels=read["model_in_dim"],
    channels=read["upsample_initial_channel"],
    rates=read["upsample_rates"],
    kernels=read["upsample_kernel_sizes"],
    block_kernels=kernels,
    block_dilations=read["resblock_dilation_sizes"],
    slope=read["leaky_relu_slope"],
    normalise=read["normalize_before"],
  )
