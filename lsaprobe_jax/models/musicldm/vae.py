"""The autoencoder between log-mel and latents (diffusers' AutoencoderKL)."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from lsaprobe_jax.models import pipeline_settings as settings
from lsaprobe_jax.models.musicldm import blocks

_DEFAULTS = {
  "in_channels": 3,
  "out_channels": 3,
  "block_out_channels": (64,),
  "layers_per_block": 1,
  "latent_channels": 4,
  "norm_num_groups": 32,
  "use_quant_conv": True,
  "use_post_quant_conv": True,
  "mid_block_add_attention": True,
  "down_block_types": ("DownEncoderBlock2D",),
  "up_block_types": ("UpDecoderBlock2D",),
  # The latent model's affair (`latent.py`).
  "scaling_factor": 0.18215,
}
_FIXED = {
  "act_fn": ("silu", "swish"),
  "shift_factor": (None,),
  "latents_mean": (None,),
  "latents_std": (None,),
}
_EPSILON = 1e-6


class Encoder(nn.Module):
  """Log-mel -> mean and log-variance of the latent.

  Attributes are those of `VAE`.
  """

  channels: tuple[int, ...]
  layers: int
  latent_channels: int
  groups: int
  attention: bool

  @nn.compact
  def __call__(self, x):
    """[frames, mels, 1] -> [frames / f, mels / f, 2 * latent_channels]."""
    resnet = functools.partial(blocks.ResnetBlock, groups=self.groups, epsilon=_EPSILON)
    x = blocks.conv3(self.channels[0], name="conv_in")(x)
    for i, features in enumerate(self.channels):
      last = i == len(self.channels) - 1
      x, _ = blocks.DownBlock(
        features,
        self.layers,
        resnet,
        padding=None if last else (0, 1),
        name=f"down_blocks_{i}",
      )(x)
    x = _mid_block(resnet, self.groups, self.attention)(x)
    x = nn.silu(blocks.group_norm(self.groups, _EPSILON, "conv_norm_out")(x))
    return blocks.conv3(2 * self.latent_channels, name="conv_out")(x)


class Decoder(nn.Module):
  """Latent -> log-mel. Attributes are those of `VAE`."""

  channels: tuple[int, ...]
  layers: int
  out_channels: int
  groups: int
  attention: bool

  @nn.compact
  def __call__(self, z):
    """[time, mel, latent_channels] -> [f * time, f * mel, out_channels]."""
    resnet = functools.partial(blocks.ResnetBlock, groups=self.groups, epsilon=_EPSILON)
    x = blocks.conv3(self.channels[-1], name="conv_in")(z)
    x = _mid_block(resnet, self.groups, self.attention)(x)
    for i, features in enumerate(reversed(self.channels)):
      x = blocks.UpBlock(
        features,
        self.layers + 1,
        resnet,
        upsample=i < len(self.channels) - 1,
        name=f"up_blocks_{i}",
      )(x)
    x = nn.silu(blocks.group_norm(self.groups, _EPSILON, "conv_norm_out")(x))
    return blocks.conv3(self.out_channels, name="conv_out")(x)


def _mid_block(resnet, groups, attention):
  attend = functools.partial(blocks.Attention, heads=1, bias=True, groups=groups)
  return blocks.MidBlock(resnet, attend if attention else None, name="mid_block")


class VAE(nn.Module):
  """An autoencoder that shrinks both axes by f = 2 ** (len(channels) - 1).

  Attributes:
    channels: of each resolution, the finest first.
    layers: ResNet blocks a resolution (one more in the decoder).
    latent_channels: of the latent.
    groups: of the normalisations.
    in_channels: of the input, 1 for a log-mel spectrogram.
    out_channels: of the output.
    attention: whether the coarsest resolution attends.
    has_quant_conv: whether a matrix follows the encoder.
    has_post_quant_conv: whether a matrix precedes the decoder.
  """

  channels: tuple[int, ...]
  layers: int
  latent_channels: int
  groups: int
  in_channels: int = 1
  out_channels: int = 1
  attention: bool = True
  has_quant_conv: bool = True
  has_post_quant_conv: bool = True

  @property
  def factor(self) -> int:
    """f: log-mel frames (and mels) to a latent's."""
    return 2 ** (len(self.channels) - 1)

  def setup(self):
    """Names the parts as diffusers does."""
    shared = (self.groups, self.attention)
    self.encoder = Encoder(self.channels, self.layers, self.latent_channels, *shared)
    self.decoder = Decoder(self.channels, self.layers, self.out_channels, *shared)
    if self.has_quant_conv:
      self.quant_conv = blocks.conv1(2 * self.latent_channels)
    if self.has_post_quant_conv:
      self.post_quant_conv = blocks.conv1(self.latent_channels)

  def encode(self, x):
    """Returns the mode of the latent.

    Args:
      x: [frames, mels, in_channels], both lengths multiples of `factor`.

    Returns:
      [frames / factor, mels / factor, latent_channels].
    """
    return self.moments(x)[..., : self.latent_channels]

  def moments(self, x):
    """Returns mean and log-variance of the latent, side by side in the channels."""
    if x.ndim != 3 or any(n % self.factor for n in x.shape[:2]):
      raise ValueError(
        f"the VAE takes one example [frames, mels, channels] whose lengths are"
        f" multiples of {self.factor}, got shape {x.shape}"
      )
    h = self.encoder(x)
    return self.quant_conv(h) if self.has_quant_conv else h

  def decode(self, z):
    """[time, mel, latent_channels] -> [factor * time, factor * mel, out_channels]."""
    return self.decoder(self.post_quant_conv(z) if self.has_post_quant_conv else z)

  def __call__(self, x):
    """Decodes the mode: touches all parameters, for `init`."""
    return self.decode(self.encode(x))


def from_config(config: Mapping[str, Any], tensors: int | None = None) -> VAE:
  """Builds the VAE that a `vae/config.json` describes.

  Args:
    config: the file's content.
    tensors: how many the weights hold, which bounds the blocks; None if not known.

  Raises:
    ValueError: on a setting that is not supported; names it.
  """
  read = settings.read(config, "vae/config.json", _DEFAULTS, _FIXED)
  settings.check_blocks(
    "vae/config.json: block_out_channels and layers_per_block",
    2 * len(read["block_out_channels"]) * read["layers_per_block"],
    tensors,
  )
  for key in ("down_block_types", "up_block_types"):
    kinds = set(read[key])
    settings.require(
      kinds == set(_DEFAULTS[key]),
      "vae/config.json",
      key,
      read[key],
      f"{_DEFAULTS[key][0]} throughout",
    )
  return VAE(
    channels=read["block_out_channels"],
    layers=read["layers_per_block"],
    latent_channels=read["latent_channels"],
    groups=read["norm_num_groups"],
    in_channels=read["in_channels"],
    out_channels=read["out_channels"],
    attention=read["mid_block_add_attention"],
    has_quant_conv=read["use_quant_conv"],
    has_post_quant_conv=read["use_post_quant_conv"],
  )
