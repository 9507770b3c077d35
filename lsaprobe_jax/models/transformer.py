"""What diffusion transformers are built of: grouped attention with rotary positions.

Names and numerics are those of diffusers 0.42. Arrays are [tokens, channels].
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def rotary_positions(
  tokens: int, width: int, theta: float = 10_000.0
) -> tuple[np.ndarray, np.ndarray]:
  """Returns cosines and sines [tokens, width / 2] by which pairs of features turn.

  Su et al. 2021 (arXiv 2104.09864); feature i turns with feature i + width / 2.

  Args:
    tokens: how many positions, from 0 on.
    width: even, how many of a head's features turn, the first ones.
    theta: the longest wavelength over two pi, about.
  """
  frequencies = theta ** -(np.arange(0, width, 2, dtype=np.float64) / width)
  angles = np.outer(np.arange(tokens), frequencies)
  return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def turn(x: jax.Array, rotary: tuple[jax.Array, jax.Array]) -> jax.Array:
  """Turns the first features of [tokens, heads, width] by `rotary_positions`."""
  cosine, sine = (jnp.asarray(table)[:, None, :] for table in rotary)
  half = cosine.shape[-1]
  wide = x.astype(jnp.promote_types(x.dtype, cosine.dtype))
  one, other, rest = jnp.split(wide, (half, 2 * half), axis=-1)
  turned = (one * cosine - other * sine, other * cosine + one * sine, rest)
  return jnp.concatenate(turned, axis=-1).astype(x.dtype)


class Attention(nn.Module):
  """Attention to oneself or to others; several heads share keys and values.

  Attributes:
    features: of the output.
    heads: of the queries.
    kv_heads: of keys and values, which divides them.
    head_features: of each head.
    epsilon: of the root-mean-square norm of queries and keys; None for none.
    bias: whether queries, keys, values and output have one.
  """

  features: int
  heads: int
  kv_heads: int
  head_features: int
  epsilon: float | None = None
  bias: bool = False

  @nn.compact
  def __call__(self, x, others=None, rotary=None, mask=None):
    """Attends.

    Args:
      x: [tokens, C].
      others: [n, D] that keys and values are read from; None for x.
      rotary: positions of x by which queries and keys turn; None for none.
      mask: [tokens, n] of bool, who attends to whom; None for all.

    Returns:
      [tokens, features].
    """
    others = x if others is None else others

    def project(name, tokens, heads):
      dense = nn.Dense(heads * self.head_features, use_bias=self.bias, name=name)
      return dense(tokens).reshape(tokens.shape[0], heads, self.head_features)

    query = project("to_q", x, self.heads)
    key, value = (project(name, others, self.kv_heads) for name in ("to_k", "to_v"))
    if self.epsilon is not None:
      query = nn.RMSNorm(epsilon=self.epsilon, name="norm_q")(query)
      key = nn.RMSNorm(epsilon=self.epsilon, name="norm_k")(key)
    if rotary is not None:
      query, key = turn(query, rotary), turn(key, rotary)
    mask = None if mask is None else mask[None]
    y = jax.nn.dot_product_attention(query, key, value, mask=mask)
    dense = nn.Dense(self.features, use_bias=self.bias, name="to_out_0")
    return dense(y.reshape(x.shape[0], -1))
