"""Oobleck, the autoencoder between waveforms and latents (Stable Audio, ACE-Step).

Evans et al. 2024 (arXiv 2402.04825): the Descript codec's convolutions (Kumar et al.
2023) without a quantiser. Names and numerics are those of diffusers 0.42
(`AutoencoderOobleck`), with the weight normalisation folded. Arrays are
[time, channels].
"""

import math

import flax.linen as nn
import jax.numpy as jnp

from lsaprobe_jax.models import convolution

# The residual units of a block are dilated so.
_DILATIONS = (1, 3, 9)
# A latent's standard deviation is at least this.
_LEAST_DEVIATION = 1e-4


class Snake(nn.Module):
  """Adds a squared sine, `x + sin(a x)^2 / b` (Ziyin et al. 2020); a, b > 0 by channel.

  Both are stored as logarithms.
  """

  @nn.compact
  def __call__(self, x):
    """[time, C] -> [time, C]."""
    alpha, beta = (
      jnp.exp(self.param(name, nn.initializers.zeros, (x.shape[-1],)))
      for name in ("alpha", "beta")
    )
    return x + jnp.square(jnp.sin(alpha * x)) / (beta + 1e-9)


class ResidualUnit(nn.Module):
  """Two convolutions, the first of them dilated, beside a shortcut."""

  dilation: int

  @nn.compact
  def __call__(self, x):
    """[time, C] -> [time, C]."""
    conv = convolution.DilatedConv(x.shape[-1], self.dilation, width=7, name="conv1")
    y = conv(Snake(name="snake1")(x))
    conv = convolution.DilatedConv(x.shape[-1], 1, width=1, name="conv2")
    return x + conv(Snake(name="snake2")(y))


class EncoderBlock(nn.Module):
  """Residual units, then a convolution that keeps one of `stride` places."""

  features: int
  stride: int

  @nn.compact
  def __call__(self, x):
    """[time, C] -> [time / stride, features]."""
    for i, dilation in enumerate(_DILATIONS, start=1):
      x = ResidualUnit(dilation, name=f"res_unit{i}")(x)
    conv = convolution.StridedConv(
      self.features, 2 * self.stride, self.stride, _padding(self.stride), name="conv1"
    )
    return conv(Snake(name="snake1")(x))


class DecoderBlock(nn.Module):
  """A transposed convolution that stretches the time, then residual units."""

  features: int
  stride: int

  @nn.compact
  def __call__(self, x):
    """[time, C] -> [time * stride, features]."""
    stretch = convolution.TransposedConv(
      self.features,
      2 * self.stride,
      self.stride,
      crop=_padding(self.stride),
      name="conv_t1",
    )
    x = stretch(Snake(name="snake1")(x))
    for i, dilation in enumerate(_DILATIONS, start=1):
      x = ResidualUnit(dilation, name=f"res_unit{i}")(x)
    return x


class Encoder(nn.Module):
  """Waveform -> mean and scale of latents.

  Attributes:
    channels: of the first convolution, and of the output.
    strides: of the blocks, from the waveform on.
    multiples: the features of the blocks, in `channels`.
    rematerialise: whether a backward pass holds the inside of one block at a time.
  """

  channels: int
  strides: tuple[int, ...]
  multiples: tuple[int, ...]
  rematerialise: bool = True

  @nn.compact
  def __call__(self, x):
    """[samples, audio channels] -> [frames, channels]."""
    x = convolution.DilatedConv(self.channels, 1, width=7, name="conv1")(x)
    kind = nn.remat(EncoderBlock) if self.rematerialise else EncoderBlock
    for i, (stride, times) in enumerate(zip(self.strides, self.multiples, strict=True)):
      x = kind(self.channels * times, stride, name=f"block_{i}")(x)
    conv = convolution.DilatedConv(self.channels, 1, width=3, name="conv2")
    return conv(Snake(name="snake1")(x))


class Decoder(nn.Module):
  """Latents -> waveform.

  Attributes:
    channels: of the last block.
    audio_channels: 1 or 2.
    strides: of the blocks, from the waveform on, as the encoder's.
    multiples: the features before the blocks, in `channels`, in the encoder's order.
    rematerialise: whether a backward pass holds the inside of one block at a time.
  """

  channels: int
  audio_channels: int
  strides: tuple[int, ...]
  multiples: tuple[int, ...]
  rematerialise: bool = True

  @nn.compact
  def __call__(self, x):
    """[frames, latent channels] -> [samples, audio channels]."""
    widths = [self.channels * times for times in (1, *self.multiples)]
    x = convolution.DilatedConv(widths[-1], 1, width=7, name="conv1")(x)
    kind = nn.remat(DecoderBlock) if self.rematerialise else DecoderBlock
    for i, stride in enumerate(reversed(self.strides)):
      x = kind(widths[-2 - i], stride, name=f"block_{i}")(x)
    conv = convolution.DilatedConv(
      self.audio_channels, 1, width=7, use_bias=False, name="conv2"
    )
    return conv(Snake(name="snake1")(x))


class Oobleck(nn.Module):
  """The autoencoder.

  Attributes:
    encoder_channels: of the encoder's first convolution; half as many are the latents'.
    decoder_channels: of the decoder's last block.
    audio_channels: 1 or 2.
    strides: by which each block shortens the time.
    multiples: how much wider each block is than the first convolution.
    rematerialise: whether a backward pass holds the inside of one block at a time.
  """

  encoder_channels: int = 128
  decoder_channels: int = 128
  audio_channels: int = 2
  strides: tuple[int, ...] = (2, 4, 4, 8, 8)
  multiples: tuple[int, ...] = (1, 2, 4, 8, 16)
  rematerialise: bool = True

  @property
  def hop(self) -> int:
    """Samples a latent frame."""
    return math.prod(self.strides)

  @property
  def latent_channels(self) -> int:
    """Channels of a latent frame."""
    return self.encoder_channels // 2

  def setup(self):
    """Makes both halves."""
    shape = (self.strides, self.multiples, self.rematerialise)
    self.encoder = Encoder(self.encoder_channels, *shape)
    self.decoder = Decoder(self.decoder_channels, self.audio_channels, *shape)

  def __call__(self, audio):
    """[samples, audio channels] -> the same, encoded and decoded."""
    return self.decode(self.encode(audio))

  def encode(self, audio):
    """[frames * hop, audio channels] -> the mode of the latents, [frames, C]."""
    self._check(audio, self.audio_channels, "audio")
    if audio.shape[0] % self.hop:
      raise ValueError(
        f"audio of {audio.shape[0]:,} samples is no whole number of latent frames of"
        f" {self.hop:,}"
      )
    return self.encoder(audio)[:, : self.latent_channels]

  def moments(self, audio):
    """[frames * hop, audio channels] -> mean and deviation, [frames, C] each."""
    self._check(audio, self.audio_channels, "audio")
    mean, scale = jnp.split(self.encoder(audio), 2, axis=-1)
    return mean, nn.softplus(scale) + _LEAST_DEVIATION

  def decode(self, latent):
    """[frames, C] -> [frames * hop, audio channels]."""
    self._check(latent, self.latent_channels, "latents")
    return self.decoder(latent)

  def _check(self, x, channels, what):
    if x.ndim != 2 or x.shape[1] != channels:
      raise ValueError(f"{what} [time, {channels}] expected, got shape {x.shape}")


def scaled(params, factor: float):
  """Returns parameters under which the modes of latents are `factor` times as large.

  What is decoded of them stays as it is. The deviation around a mode, which is read in
  training alone, is not scaled: a training that goes on from these parameters begins
  with another loss.
  """
  encoder, decoder = dict(params["encoder"]), dict(params["decoder"])
  last, first = encoder["conv2"], decoder["conv1"]
  factors = jnp.where(jnp.arange(last["bias"].size) < last["bias"].size // 2, factor, 1)
  encoder["conv2"] = {name: value * factors for name, value in last.items()}
  decoder["conv1"] = first | {"kernel": first["kernel"] / factor}
  return params | {"encoder": encoder, "decoder": decoder}


def _padding(stride: int) -> int:
  """Zeros before and after what a block's convolution reads, or cuts off."""
  return -(-stride // 2)
