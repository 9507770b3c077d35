"""Mean squared error after pre-emphasis: an example of a distance."""

from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from flax import struct


class PreEmphasis(struct.PyTreeNode):
  """Mean squared difference of `x[n] - c x[n - 1]`, which weighs high frequencies.

  Attributes:
    coefficient: c, 0 for the plain waveform distance.
  """

  name: ClassVar[str] = "pre_emphasis"

  coefficient: float = struct.field(pytree_node=False, default=0.97)

  @classmethod
  def create(cls, *, sample_rate: int, coefficient: float = 0.97) -> Self:
    """Returns the distance; it is the same at every rate."""
    del sample_rate
    return cls(coefficient=coefficient)

  def embed(self, audio: jax.Array) -> jax.Array:
    """The filtered samples, `[samples]`; silence is taken to come before."""
    before = jnp.concatenate([jnp.zeros(1), audio[:-1]])
    return audio - self.coefficient * before

  def compare(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Mean squared difference, a scalar."""
    return jnp.mean(jnp.square(estimate - reference))

  def __call__(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Distance between two signals `[samples]`, a scalar."""
    return self.compare(self.embed(reference), self.embed(estimate))
