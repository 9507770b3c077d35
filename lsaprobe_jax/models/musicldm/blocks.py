"""What VAE and UNet are built of: ResNet blocks, attention, resampling.

Names and numerics are those of diffusers 0.42 (`ResnetBlock2D`, `Transformer2DModel`,
`Attention`, `Downsample2D`, `Upsample2D`). Arrays are `[time, mel, channels]`.
"""

import functools
import math

import flax.linen as nn
import jax.numpy as jnp

from lsaprobe_jax.models import convolution
from lsaprobe_jax.models.musicldm import normalisation

# PyTorch's padding=1 is one zero on each side.
conv3 = functools.partial(convolution.Conv2D, kernel_size=(3, 3), padding=1)
conv1 = functools.partial(convolution.Conv2D, kernel_size=(1, 1))


def group_norm(groups: int, epsilon: float, name: str) -> normalisation.GroupNorm:
  """Group normalisation, as the blocks call it."""
  return normalisation.GroupNorm(groups=groups, epsilon=epsilon, name=name)


class ResnetBlock(nn.Module):
  """Two normalised convolutions beside a shortcut; the time enters between them.

  Attributes:
    features: output channels.
    groups: of the normalisations.
    epsilon: of the normalisations: 1e-5 in the UNet, 1e-6 in the VAE.
    scale_shift: the time scales and shifts after the second normalisation, instead of
      being added before it.
  """

  features: int
  groups: int
  epsilon: float
  scale_shift: bool = False

  @nn.compact
  def __call__(self, x, time=None):
    """[time, mel, C] and an embedding [E] or None -> [time, mel, features]."""
    h = nn.silu(group_norm(self.groups, self.epsilon, "norm1")(x))
    h = conv3(self.features, name="conv1")(h)
    scale = shift = None
    if time is not None:
      width = 2 * self.features if self.scale_shift else self.features
      time = nn.Dense(width, name="time_emb_proj")(nn.silu(time))
      if self.scale_shift:
        scale, shift = jnp.split(time, 2)
      else:
        h = h + time
    h = group_norm(self.groups, self.epsilon, "norm2")(h)
    if scale is not None:
      h = h * (1 + scale) + shift
    h = conv3(self.features, name="conv2")(nn.silu(h))
    if x.shape[-1] != self.features:
      x = conv1(self.features, name="conv_shortcut")(x)
    return x + h


class Attention(nn.Module):
  """Self-attention between all positions.

  Attributes:
    heads: number of heads.
    bias: of the projections to queries, keys and values.
    groups: of a normalisation before, to which the input is a shortcut (the VAE's);
      None for neither.
  """

  heads: int
  bias: bool
  groups: int | None = None

  @nn.compact
  def __call__(self, x):
    """[*positions, C] -> [*positions, C]."""
    channels = x.shape[-1]
    y = x if self.groups is None else group_norm(self.groups, 1e-6, "group_norm")(x)
    y = y.reshape(-1, channels)

    def project(name):
      z = nn.Dense(channels, use_bias=self.bias, name=name)(y)
      return z.reshape(-1, self.heads, channels // self.heads)

    query, key, value = (project(name) for name in ("to_q", "to_k", "to_v"))
    logits = jnp.einsum("qhd,khd->hqk", query, key)
    weights = nn.softmax(logits / math.sqrt(channels // self.heads))
    y = jnp.einsum("hqk,khd->qhd", weights, value).reshape(x.shape)
    y = nn.Dense(channels, name="to_out_0")(y)
    return y if self.groups is None else x + y


class Gate(nn.Module):
  """GEGLU: one half times the exact (not tanh) GELU of the other."""

  features: int

  @nn.compact
  def __call__(self, x):
    """[tokens, C] -> [tokens, features]."""
    y, gate = jnp.split(nn.Dense(2 * self.features, name="proj")(x), 2, axis=-1)
    return y * nn.gelu(gate, approximate=False)


class FeedForward(nn.Module):
  """A gated hidden layer, four times as wide."""

  @nn.compact
  def __call__(self, x):
    """[tokens, C] -> [tokens, C]."""
    y = Gate(4 * x.shape[-1], name="net_0")(x)
    return nn.Dense(x.shape[-1], name="net_2")(y)


class TransformerBlock(nn.Module):
  """Two attentions and a feed-forward layer.

  The second attention is diffusers' cross-attention, which attends to the tokens
  themselves where there is no text, as in MusicLDM and AudioLDM.
  """

  heads: int

  @nn.compact
  def __call__(self, x):
    """[tokens, C] -> [tokens, C]."""
    for i in (1, 2):
      y = normalisation.LayerNorm(name=f"norm{i}")(x)
      x = x + Attention(heads=self.heads, bias=False, name=f"attn{i}")(y)
    return x + FeedForward(name="ff")(normalisation.LayerNorm(name="norm3")(x))


class Transformer(nn.Module):
  """Transformer blocks over all positions, beside a shortcut.

  Attributes:
    heads: number of heads.
    groups: of the normalisation before.
    layers: transformer blocks.
    linear: projections in and out are matrices, not convolutions of width 1 (which is
      a difference of the stored shapes only).
  """

  heads: int
  groups: int
  layers: int = 1
  linear: bool = False

  @nn.compact
  def __call__(self, x):
    """[time, mel, C] -> [time, mel, C]."""
    channels = x.shape[-1]
    project = nn.Dense if self.linear else conv1
    y = group_norm(self.groups, 1e-6, "norm")(x)
    y = project(channels, name="proj_in")(y).reshape(-1, channels)
    for i in range(self.layers):
      y = TransformerBlock(heads=self.heads, name=f"transformer_blocks_{i}")(y)
    return x + project(channels, name="proj_out")(y.reshape(x.shape))


class Downsample(nn.Module):
  """Halves both axes by a convolution.

  Attributes:
    padding: zeros on each side of both axes: (1, 1) in the UNet, (0, 1) in the VAE.
  """

  padding: tuple[int, int]

  @nn.compact
  def __call__(self, x):
    """[time, mel, C] -> [ceil(time / 2), ceil(mel / 2), C] (floor in the VAE)."""
    padding = (self.padding, self.padding)
    return convolution.Conv2D(
      x.shape[-1], (3, 3), strides=2, padding=padding, name="conv"
    )(x)


class Upsample(nn.Module):
  """Doubles both axes by repetition, crops to `size`, convolves."""

  @nn.compact
  def __call__(self, x, size=None):
    """[time, mel, C] -> [2 time, 2 mel, C], or [*size, C]."""
    # For the odd sizes that the UNet asks for, PyTorch's nearest-neighbour
    # interpolation to a size is repetition with the last one left out.
    x = jnp.repeat(jnp.repeat(x, 2, axis=0), 2, axis=1)
    if size is not None:
      x = x[: size[0], : size[1]]
    return conv3(x.shape[-1], name="conv")(x)


class DownBlock(nn.Module):
  """ResNet blocks, each with attention where there are heads, then a halving.

  Attributes:
    features: channels.
    layers: ResNet blocks.
    resnet: builds one, `(features, name=...)`.
    transformer: builds an attention layer, `(name=...)`; None for none.
    padding: of the halving (`Downsample`), or None for no halving.
  """

  features: int
  layers: int
  resnet: functools.partial
  transformer: functools.partial | None = None
  padding: tuple[int, int] | None = None

  @nn.compact
  def __call__(self, x, time=None):
    """Returns x and what a UNet's other side takes, the layers' outputs."""
    outputs = []
    for i in range(self.layers):
      x = self.resnet(self.features, name=f"resnets_{i}")(x, time)
      if self.transformer is not None:
        x = self.transformer(name=f"attentions_{i}")(x)
      outputs.append(x)
    if self.padding is not None:
      x = Downsample(self.padding, name="downsamplers_0")(x)
      outputs.append(x)
    return x, outputs


class UpBlock(nn.Module):
  """ResNet blocks, each with attention where there are heads, then a doubling.

  Attributes:
    features: channels.
    layers: ResNet blocks.
    resnet: builds one, `(features, name=...)`.
    transformer: builds an attention layer, `(name=...)`; None for none.
    upsample: whether there is a doubling.
  """

  features: int
  layers: int
  resnet: functools.partial
  transformer: functools.partial | None = None
  upsample: bool = False

  @nn.compact
  def __call__(self, x, skips=None, time=None, size=None):
    """[time, mel, C] -> [*, *, features].

    Args:
      x: [time, mel, C].
      skips: outputs of the other side, one a layer, the first used first; or None.
      time: embedding [E] or None.
      size: (time, mel) after the doubling where it is not the double.
    """
    for i in range(self.layers):
      if skips is not None:
        x = jnp.concatenate([x, skips[i]], axis=-1)
      x = self.resnet(self.features, name=f"resnets_{i}")(x, time)
      if self.transformer is not None:
        x = self.transformer(name=f"attentions_{i}")(x)
    if self.upsample:
      x = Upsample(name="upsamplers_0")(x, size)
    return x


class MidBlock(nn.Module):
  """A ResNet block, attention, a ResNet block: [time, mel, C] -> the same shape.

  Attributes:
    resnet: builds a ResNet block, `(features, name=...)`.
    attention: builds an attention layer, `(name=...)`; None for none.
  """

  resnet: functools.partial
  attention: functools.partial | None

  @nn.compact
  def __call__(self, x, time=None):
    """[time, mel, C] and an embedding [E] or None -> [time, mel, C]."""
    features = x.shape[-1]
    x = self.resnet(features, name="resnets_0")(x, time)
    if self.attention is not None:
      x = self.attention(name="attentions_0")(x)
    return self.resnet(features, name="resnets_1")(x, time)
