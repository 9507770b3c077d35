"""The denoiser: diffusers' UNet2DConditionModel as MusicLDM and AudioLDM set it up.

A CLAP embedding is projected and put behind the embedding of the time; there is no
text to attend to, so what diffusers calls cross-attention is a second self-attention.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax.models import checks
from lsaprobe_jax.models import pipeline_settings as settings
from lsaprobe_jax.models.musicldm import blocks

_NAME = "unet/config.json"
_DEFAULTS = {
  "in_channels": 4,
  "out_channels": 4,
  "block_out_channels": (320, 640, 1280, 1280),
  "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
  "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
  "layers_per_block": 2,
  "norm_num_groups": 32,
  "norm_eps": 1e-5,
  # One number, or one a resolution: `_per_level` checks them.
  "attention_head_dim": None,
  "cross_attention_dim": None,
  "transformer_layers_per_block": 1,
  "use_linear_projection": False,
  "flip_sin_to_cos": True,
  "freq_shift": 0,
  "time_embedding_dim": None,
  "resnet_time_scale_shift": "default",
  "class_embed_type": None,
  "class_embeddings_concat": False,
  "projection_class_embeddings_input_dim": None,
}
_HEADS, _ATTENDED = 8, 1280
_FIXED = {
  "act_fn": ("silu", "swish"),
  "class_embed_type": (None, "simple_projection"),
  "resnet_time_scale_shift": ("default", "scale_shift"),
  "mid_block_type": ("UNetMidBlock2DCrossAttn",),
  "time_embedding_type": ("positional",),
  "attention_type": ("default",),
  "downsample_padding": (1,),
  "conv_in_kernel": (3,),
  "conv_out_kernel": (3,),
  "resnet_out_scale_factor": (1, 1.0),
  "mid_block_scale_factor": (1, 1.0),
  "only_cross_attention": (False,),
  "upcast_attention": (False, True),  # the same in float32
  # Read by layers that none of the values above switches on.
  "addition_embed_type_num_heads": (64,),
}


class TimeEmbedding(nn.Module):
  """Sines and cosines of a step, through two layers: scalar -> [width].

  Attributes:
    width: of the embedding.
    channels: how many sines and cosines, together.
    cosine_first: the cosines come before the sines (`flip_sin_to_cos`).
    shift: `freq_shift`: the frequencies fall from 1 to 1e-4 in `channels / 2 - shift`
      steps.
  """

  width: int
  channels: int
  cosine_first: bool
  shift: float

  @nn.compact
  def __call__(self, step, dtype):
    """Scalar step -> [width], in `dtype`."""
    half = self.channels // 2
    # In float32, as the original, whatever the rest is in.
    exponent = np.arange(half, dtype=np.float32) * np.float32(-math.log(10000))
    frequency = np.exp(exponent / np.float32(half - self.shift))
    angle = jnp.asarray(step, jnp.float32) * frequency
    waves = [jnp.sin(angle), jnp.cos(angle)]
    x = jnp.concatenate(waves[::-1] if self.cosine_first else waves).astype(dtype)
    x = nn.silu(nn.Dense(self.width, name="linear_1")(x))
    return nn.Dense(self.width, name="linear_2")(x)


class UNet(nn.Module):
  """Predicts the noise (or v) in one noisy latent.

  Attributes:
    channels: of each resolution, the finest first.
    down_attention: whether each resolution attends on the way down, the finest first.
    up_attention: the same on the way up, the coarsest first.
    heads: of each resolution's attention, the finest first.
    layers: ResNet blocks a resolution (one more on the way up).
    groups: of the normalisations.
    epsilon: of the ResNet blocks' normalisations.
    in_channels: of the latent.
    out_channels: of the prediction.
    transformer_layers: blocks of an attention layer.
    linear_projection: see `blocks.Transformer`.
    cosine_first: see `TimeEmbedding`.
    frequency_shift: see `TimeEmbedding`.
    time_width: of the embedding of the time.
    scale_shift: see `blocks.ResnetBlock`.
    condition_width: of the CLAP embedding, None for an unconditional network.
    concatenate: the projected CLAP embedding comes behind that of the time, instead of
      being added to it.
  """

  channels: tuple[int, ...]
  down_attention: tuple[bool, ...]
  up_attention: tuple[bool, ...]
  heads: tuple[int, ...]
  layers: int
  groups: int
  epsilon: float
  in_channels: int
  out_channels: int
  transformer_layers: int
  linear_projection: bool
  cosine_first: bool
  frequency_shift: float
  time_width: int
  scale_shift: bool
  condition_width: int | None
  concatenate: bool

  @nn.compact
  def __call__(self, x, step, condition=None):
    """Predicts the noise, or v.

    Args:
      x: noisy latent, [time, mel, in_channels].
      step: scalar network index 0..T - 1 (state t has index t - 1).
      condition: CLAP embedding [condition_width], where the network takes one.

    Returns:
      The prediction, [time, mel, out_channels].
    """
    self._check(x, condition)
    time = self._embed(step, condition, x.dtype)
    resnet, transformers = self._layers()
    x = blocks.conv3(self.channels[0], name="conv_in")(x)
    skips = [x]
    last = len(self.channels) - 1
    for i, features in enumerate(self.channels):
      x, outputs = blocks.DownBlock(
        features,
        self.layers,
        resnet,
        transformers[i] if self.down_attention[i] else None,
        padding=(1, 1) if i < last else None,
        name=f"down_blocks_{i}",
      )(x, time)
      skips += outputs
    x = blocks.MidBlock(resnet, transformers[-1], name="mid_block")(x, time)
    for i in range(len(self.channels)):
      level = last - i
      taken, skips = skips[-self.layers - 1 :][::-1], skips[: -self.layers - 1]
      x = blocks.UpBlock(
        self.channels[level],
        self.layers + 1,
        resnet,
        transformers[level] if self.up_attention[i] else None,
        upsample=i < last,
        name=f"up_blocks_{i}",
      )(x, taken, time, skips[-1].shape[:2] if i < last else None)
    x = nn.silu(blocks.group_norm(self.groups, self.epsilon, "conv_norm_out")(x))
    return blocks.conv3(self.out_channels, name="conv_out")(x)

  def _embed(self, step, condition, dtype):
    time = TimeEmbedding(
      self.time_width,
      self.channels[0],
      self.cosine_first,
      self.frequency_shift,
      name="time_embedding",
    )(step, dtype)
    if condition is None:
      return time
    projected = nn.Dense(self.time_width, name="class_embedding")(condition)
    return jnp.concatenate([time, projected]) if self.concatenate else time + projected

  def _layers(self):
    resnet = functools.partial(
      blocks.ResnetBlock,
      groups=self.groups,
      epsilon=self.epsilon,
      scale_shift=self.scale_shift,
    )
    transformers = [
      functools.partial(
        blocks.Transformer,
        heads,
        self.groups,
        self.transformer_layers,
        self.linear_projection,
      )
      for heads in self.heads
    ]
    return resnet, transformers

  def _check(self, x, condition):
    if x.ndim != 3 or x.shape[-1] != self.in_channels:
      raise ValueError(
        f"the UNet takes one latent [time, mel, {self.in_channels}], got shape"
        f" {x.shape}"
      )
    width = None if condition is None else condition.shape
    expected = None if self.condition_width is None else (self.condition_width,)
    if width != expected:
      raise ValueError(
        f"the UNet takes a condition of shape {expected}, got shape {width}"
      )


def _kinds(read, key, plain, attending):
  for kind in read[key]:
    settings.require(
      kind in (plain, attending), _NAME, key, kind, f"{plain} or {attending}"
    )
  return tuple(kind == attending for kind in read[key])


def _per_level(read) -> tuple[Sequence[int], Sequence[int]]:
  """Heads and the width that is attended to, by level; lists are as long as levels."""
  levels = len(read["block_out_channels"])
  found = {}
  for key, default in (
    ("attention_head_dim", _HEADS),
    ("cross_attention_dim", _ATTENDED),
  ):
    given = default if read[key] is None else read[key]
    found[key] = given if isinstance(given, tuple) else (given,) * levels
    for value in found[key]:
      checks.whole(f"{_NAME}: {key}", value, 1, checks.LARGEST)
  lists = found | {key: read[key] for key in ("down_block_types", "up_block_types")}
  for key, value in lists.items():
    settings.require(
      len(value) == levels, _NAME, key, value, "as long as block_out_channels"
    )
  return found["attention_head_dim"], found["cross_attention_dim"]


def _check_attention(read, heads, across, down, up) -> None:
  """Refuses attention to text, and heads that do not divide the channels."""
  channels = read["block_out_channels"]
  attending = [a or b for a, b in zip(down, up[::-1], strict=True)]
  attending[-1] = True  # in the middle
  for width, count, other, attends in zip(
    channels, heads, across, attending, strict=True
  ):
    settings.require(
      other == width or not attends,
      _NAME,
      "cross_attention_dim",
      read["cross_attention_dim"],
      f"{list(channels)} (attention is to the latent itself, not to text)",
    )
    settings.require(
      not attends or (count > 0 and width % count == 0),
      _NAME,
      "attention_head_dim",
      read["attention_head_dim"],
      f"a number of heads that divides the channels {list(channels)}",
    )


def from_config(config: Mapping[str, Any], tensors: int | None = None) -> UNet:
  """Builds the UNet that a `unet/config.json` describes.

  diffusers' `attention_head_dim` is the *number* of heads of a UNet: the name is an
  old mistake that its code keeps for the sake of old files.

  Args:
    config: the file's content.
    tensors: how many the weights hold, which bounds the blocks; None if not known.

  Raises:
    ValueError: on a setting that is not supported; names it.
  """
  read = settings.read(config, _NAME, _DEFAULTS, _FIXED)
  channels = read["block_out_channels"]
  half = channels[0] // 2
  settings.require(half > 0, _NAME, "block_out_channels", channels, "2 or more")
  checks.whole(f"{_NAME}: freq_shift", read["freq_shift"], 0, half - 1)
  checks.real(f"{_NAME}: norm_eps", read["norm_eps"], 0, 1)
  settings.check_blocks(
    f"{_NAME}: block_out_channels, layers_per_block and transformer_layers_per_block",
    2 * len(channels) * read["layers_per_block"] * read["transformer_layers_per_block"],
    tensors,
  )
  heads, across = _per_level(read)
  down = _kinds(read, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D")
  up = _kinds(read, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D")
  _check_attention(read, heads, across, down, up)
  conditional = read["class_embed_type"] is not None
  for key, needed in (
    ("time_embedding_dim", False),
    ("projection_class_embeddings_input_dim", conditional),
  ):
    if needed or read[key] is not None:
      checks.whole(f"{_NAME}: {key}", read[key], 1, checks.LARGEST)
  return UNet(
    channels=channels,
    down_attention=down,
    up_attention=up,
    heads=heads,
    layers=read["layers_per_block"],
    groups=read["norm_num_groups"],
    epsilon=read["norm_eps"],
    in_channels=read["in_channels"],
    out_channels=read["out_channels"],
    transformer_layers=read["transformer_layers_per_block"],
    linear_projection=read["use_linear_projection"],
    cosine_first=read["flip_sin_to_cos"],
    frequency_shift=read["freq_shift"],
    time_width=read["time_embedding_dim"] or 4 * channels[0],
    scale_shift=read["resnet_time_scale_shift"] == "scale_shift",
    condition_width=(
      read["projection_class_embeddings_input_dim"] if conditional else None
    ),
    concatenate=bool(read["class_embeddings_concat"]),
  )
