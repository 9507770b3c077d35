"""Group and layer normalisation of one example, with their derivative by hand.

XLA's CPU backend is slow at sums over leading axes, of which Flax's group normalisation
and its derivative take several; sums are products with ones here, and the derivative is
written with as few. Statistics are float32, whatever the arrays are. The variance is
that of deviations: E[x^2] - E[x]^2 cancels where the mean is large.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def standardise(x: jax.Array, mean: Callable, epsilon: float) -> jax.Array:
  """Returns (x - m) / sqrt(v + epsilon), float32, with mean m and variance v.

  Args:
    x: of any shape.
    mean: takes float32 means of an array, of a shape that broadcasts to the array's. It
      is linear, and repeats each mean in all of its places.
    epsilon: what is added to the variance.
  """
  return _standardise(x, mean, epsilon)[0]


def _standardise(x, mean, epsilon):
  deviation = x.astype(jnp.float32)
  deviation = deviation - mean(deviation)
  scale = jax.lax.rsqrt(mean(jnp.square(deviation)) + epsilon)
  out = deviation * scale
  return out, (out, scale, jnp.zeros((), x.dtype))


def _pull_back(mean, epsilon, kept, gradient):
  """Takes out of the gradient what the mean and the variance undo."""
  del epsilon
  out, scale, like = kept
  inner = gradient - mean(gradient) - out * mean(gradient * out)
  return ((inner * scale).astype(like.dtype),)


standardise.defvjp(_standardise, _pull_back)


class _Affine(nn.Module):
  """Multiplies by `scale` and adds `bias`, one of each a channel."""

  def _finish(self, out, dtype):
    channels = out.shape[-1]
    scale = self.param("scale", nn.initializers.ones, (channels,))
    bias = self.param("bias", nn.initializers.zeros, (channels,))
    return (out * scale + bias).astype(jnp.promote_types(dtype, scale.dtype))


class GroupNorm(_Affine):
  """Normalises groups of neighbouring channels over all positions.

  Attributes:
    groups: how many; they divide the channels.
    epsilon: what is added to the variance.
  """

  groups: int
  epsilon: float

  @nn.compact
  def __call__(self, x):
    """[*positions, C] -> the same shape."""
    if x.shape[-1] % self.groups:
      raise ValueError(
        f"{self.groups} groups do not divide {x.shape[-1]} channels; change"
        " norm_num_groups"
      )
    mean = functools.partial(_group_means, self.groups)
    return self._finish(standardise(x, mean, self.epsilon), x.dtype)


class LayerNorm(_Affine):
  """Normalises the channels of each position.

  Attributes:
    epsilon: what is added to the variance.
  """

  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x):
    """[*positions, C] -> the same shape."""
    mean = functools.partial(jnp.mean, axis=-1, keepdims=True)
    return self._finish(standardise(x, mean, self.epsilon), x.dtype)


def _group_means(groups: int, x: jax.Array) -> jax.Array:
  """Means of each group over all positions, repeated in its channels: [C]."""
  channels = x.shape[-1]
  positions = x.size // channels
  total = jnp.ones(positions, x.dtype) @ x.reshape(positions, channels)
  means = total.reshape(groups, -1).sum(-1) * (groups / x.size)
  return jnp.repeat(means, channels // groups)
