"""ACE-Step's diffusion transformer (diffusers' AceStepTransformer1DModel)."""

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax.models import convolution, transformer

# Cosines and sines of the time, which runs to 1,000.
_TIME_FEATURES = 256
_TIME_SCALE = 1000.0
_LONGEST_PERIOD = 10_000.0


class TimeEmbedding(nn.Module):
  """An embedding of a time, and six of it by which blocks scale and shift."""

  features: int

  @nn.compact
  def __call__(self, time):
    """A scalar in 0..1 -> [features], [6, features]."""
    half = _TIME_FEATURES // 2
    frequencies = np.exp(-math.log(_LONGEST_PERIOD) * np.arange(half) / half)
    angles = _TIME_SCALE * time * frequencies.astype(np.float32)
    x = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)])
    x = nn.silu(nn.Dense(self.features, name="linear_1")(x))
    x = nn.Dense(self.features, name="linear_2")(x)
    six = nn.Dense(6 * self.features, name="time_proj")(nn.silu(x))
    return x, six.reshape(6, self.features)


class FeedForward(nn.Module):
  """A hidden layer gated by a SiLU (SwiGLU; Shazeer 2020)."""

  hidden: int

  @nn.compact
  def __call__(self, x):
    """[tokens, C] -> [tokens, C]."""
    dense = lambda features, name: nn.Dense(features, use_bias=False, name=name)
    y = nn.silu(dense(self.hidden, "gate_proj")(x)) * dense(self.hidden, "up_proj")(x)
    return dense(x.shape[-1], "down_proj")(y)


class Block(nn.Module):
  """Attention to itself and to the condition, and a feed-forward layer.

  Attributes are those of `AceStepDiT`.
  """

  heads: int
  kv_heads: int
  head_features: int
  hidden: int
  epsilon: float
  bias: bool

  @nn.compact
  def __call__(self, x, near, condition, six, rotary, mask):
    """Runs the block.

    Args:
      x: [tokens, C].
      near: bool, whether tokens attend to those alone that the mask says.
      condition: [n, C].
      six: scales and shifts by the time, [6, C].
      rotary: positions of the tokens.
      mask: [tokens, tokens] of bool.

    Returns:
      [tokens, C], and None as scans have it.
    """
    features = x.shape[-1]
    norm = lambda name: nn.RMSNorm(epsilon=self.epsilon, name=name)
    attention = lambda name: transformer.Attention(
      features, self.heads, self.kv_heads, self.head_features, self.epsilon, self.bias,
      name=name,
    )  # fmt: skip
    table = self.param("scale_shift_table", nn.initializers.normal(0.02), (6, features))
    shift, scale, gate, late_shift, late_scale, late_gate = table + six
    y = norm("self_attn_norm")(x) * (1 + scale) + shift
    y = attention("self_attn")(y, rotary=rotary, mask=mask | ~near)
    x = x + gate * y
    x = x + attention("cross_attn")(norm("cross_attn_norm")(x), condition)
    y = norm("mlp_norm")(x) * (1 + late_scale) + late_shift
    return x + late_gate * FeedForward(self.hidden, name="mlp")(y), None


class AceStepDiT(nn.Module):
  """Predicts the velocity of noisy latents, from the clip to the noise.

  Blocks run in a loop over weights that are stacked (`torch_params.stack`): one is
  compiled, and a backward pass holds the inside of one.

  Attributes:
    features: width of the network.
    hidden: of the feed-forward layers.
    heads: of the queries.
    kv_heads: of keys and values.
    head_features: of a head.
    channels: of the latents.
    context_channels: of what stands beside them: the source and which of it is made.
    patch: frames that are one token.
    theta: see `transformer.rotary_positions`.
    epsilon: of the root-mean-square norms.
    bias: whether the attention's projections have one.
    window: how many tokens away a near one may be.
    near: of each block, whether tokens attend to near ones alone.
    rematerialise: whether a backward pass computes the inside of blocks again.
  """

  features: int = 2048
  hidden: int = 6144
  heads: int = 16
  kv_heads: int = 8
  head_features: int = 128
  channels: int = 64
  context_channels: int = 128
  patch: int = 2
  theta: float = 1_000_000.0
  epsilon: float = 1e-6
  bias: bool = False
  window: int = 128
  near: tuple[bool, ...] = (True, False) * 12
  rematerialise: bool = True

  @nn.compact
  def __call__(self, x, time, condition, context):
    """Predicts the velocity `eps - x_0`.

    Args:
      x: latents, [frames, channels].
      time: of the path, a scalar in 0..1.
      condition: tokens of text, lyrics and timbre, [n, D].
      context: the source's latents and mask, [frames, context_channels].

    Returns:
      [frames, channels].
    """
    if x.ndim != 2 or x.shape[1] != self.channels:
      raise ValueError(f"latents [time, {self.channels}] expected, got shape {x.shape}")
    # The second embedding is of how far a step of mean flows goes, which is nowhere.
    embeddings = (
      TimeEmbedding(self.features, name="time_embed")(time),
      TimeEmbedding(self.features, name="time_embed_r")(jnp.zeros_like(time)),
    )
    overall, six = (
      (one + other).astype(x.dtype) for one, other in zip(*embeddings, strict=True)
    )
    condition = nn.Dense(self.features, name="condition_embedder")(condition)
    h = jnp.concatenate([context.astype(x.dtype), x], axis=-1)
    h = jnp.pad(h, ((0, -x.shape[0] % self.patch), (0, 0)))
    h = convolution.StridedConv(
      self.features, self.patch, self.patch, 0, name="proj_in_conv"
    )(h)
    tokens = h.shape[0]
    rotary = transformer.rotary_positions(tokens, self.head_features, self.theta)
    apart = np.abs(np.subtract.outer(np.arange(tokens), np.arange(tokens)))
    near = jnp.asarray(self.near)
    h, _ = self._blocks()(h, near, condition, six, rotary, apart <= self.window)
    table = self.param(
      "scale_shift_table", nn.initializers.normal(0.02), (2, self.features)
    )
    shift, scale = table + overall
    h = nn.RMSNorm(epsilon=self.epsilon, name="norm_out")(h) * (1 + scale) + shift
    h = convolution.TransposedConv(
      self.channels, self.patch, self.patch, name="proj_out_conv"
    )(h)
    return h[: x.shape[0]]

  def _blocks(self):
    kind = nn.remat(Block, prevent_cse=False) if self.rematerialise else Block
    scanned = nn.scan(
      kind,
      variable_axes={"params": 0},
      split_rngs={"params": True},
      in_axes=(0, *(nn.broadcast,) * 4),
      length=len(self.near),
    )
    return scanned(
      self.heads, self.kv_heads, self.head_features, self.hidden, self.epsilon,
      self.bias, name="layers",
    )  # fmt: skip
