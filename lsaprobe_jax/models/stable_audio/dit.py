"""Stable Audio's diffusion transformer (diffusers' StableAudioDiTModel)."""

import flax.linen as nn
import jax.numpy as jnp

from lsaprobe_jax.models import transformer


class FourierTime(nn.Module):
  """Cosines and sines of a time at stored frequencies."""

  features: int

  @nn.compact
  def __call__(self, time):
    """A scalar -> [features]."""
    init = nn.initializers.normal(1.0)
    weight = self.param("weight", init, (self.features // 2,))
    angles = 2 * jnp.pi * time * weight
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)])


class Gate(nn.Module):
  """SwiGLU (Shazeer 2020): one half times the SiLU of the other."""

  features: int

  @nn.compact
  def __call__(self, x):
    """[tokens, C] -> [tokens, features]."""
    y, gate = jnp.split(nn.Dense(2 * self.features, name="proj")(x), 2, axis=-1)
    return y * nn.silu(gate)


class FeedForward(nn.Module):
  """A gated hidden layer, four times as wide."""

  @nn.compact
  def __call__(self, x):
    """[tokens, C] -> [tokens, C]."""
    y = Gate(4 * x.shape[-1], name="net_0")(x)
    return nn.Dense(x.shape[-1], name="net_2")(y)


class Block(nn.Module):
  """Attention to itself and to the condition, and a feed-forward layer.

  Attributes are those of `StableAudioDiT`.
  """

  heads: int
  kv_heads: int
  head_features: int

  @nn.compact
  def __call__(self, x, condition, rotary):
    """[tokens, C], [n, D] -> [tokens, C], and None as scans have it."""
    norm = lambda name: nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)
    attention = lambda kv_heads, name: transformer.Attention(
      x.shape[-1], self.heads, kv_heads, self.head_features, name=name
    )
    x = x + attention(self.heads, "attn1")(norm("norm1")(x), rotary=rotary)
    x = x + attention(self.kv_heads, "attn2")(norm("norm2")(x), condition)
    return x + FeedForward(name="ff")(norm("norm3")(x)), None


class StableAudioDiT(nn.Module):
  """Predicts v in noisy latents.

  Blocks are alike, and run in a loop over weights that are stacked
  (`torch_params.stack`): one is compiled, and a backward pass holds the inside of one.

  Attributes:
    channels: of the latents.
    layers: blocks.
    head_features: of a head.
    heads: of the queries; their features are the width of the network.
    kv_heads: of the keys and values of the attention to the condition.
    condition_features: of the condition's tokens inside of the network.
    time_features: of the time's cosines and sines.
    rematerialise: whether a backward pass computes the inside of blocks again.
  """

  channels: int = 64
  layers: int = 24
  head_features: int = 64
  heads: int = 24
  kv_heads: int = 12
  condition_features: int = 768
  time_features: int = 256
  rematerialise: bool = True

  @nn.compact
  def __call__(self, x, time, condition, overall):
    """Predicts v.

    Args:
      x: latents, [frames, channels].
      time: of the path, a scalar in (0, 1].
      condition: tokens of text and of start and duration, [n, D].
      overall: start and duration as one embedding, [E].

    Returns:
      [frames, channels].
    """
    if x.ndim != 2 or x.shape[1] != self.channels:
      raise ValueError(f"latents [time, {self.channels}] expected, got shape {x.shape}")
    width = self.heads * self.head_features
    condition = _projected(condition, self.condition_features, "cross_attention_proj")
    overall = _projected(overall, width, "global_proj")
    time = FourierTime(self.time_features, name="time_proj")(time).astype(x.dtype)
    overall = overall + _projected(time, width, "timestep_proj", bias=True)
    dense = lambda features, name: nn.Dense(features, use_bias=False, name=name)
    h = x + dense(self.channels, "preprocess_conv")(x)
    h = dense(width, "proj_in")(h)
    # The time and what holds overall are the first token.
    h = jnp.concatenate([overall[None].astype(h.dtype), h])
    rotary = transformer.rotary_positions(h.shape[0], self.head_features // 2)
    h = self._blocks()(h, condition, rotary)[0][1:]
    h = dense(self.channels, "proj_out")(h)
    return h + dense(self.channels, "postprocess_conv")(h)

  def _blocks(self):
    kind = nn.remat(Block, prevent_cse=False) if self.rematerialise else Block
    scanned = nn.scan(
      kind,
      variable_axes={"params": 0},
      split_rngs={"params": True},
      in_axes=(nn.broadcast, nn.broadcast),
      length=self.layers,
    )
    return scanned(
      self.heads, self.kv_heads, self.head_features, name="transformer_blocks"
    )


def _projected(x, features: int, name: str, bias: bool = False):
  """Two layers with a SiLU between, named as PyTorch numbers them in a sequence."""
  x = nn.silu(nn.Dense(features, use_bias=bias, name=f"{name}_0")(x))
  return nn.Dense(features, use_bias=bias, name=f"{name}_2")(x)
