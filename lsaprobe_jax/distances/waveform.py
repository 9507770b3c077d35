"""Mean squared error of waveforms: the baseline that knows nothing of hearing."""

from typing import ClassVar, Self

import jax
import jax.numpy as jnp
from flax import struct


class Waveform(struct.PyTreeNode):
  """Mean squared difference of the samples, in units of full scale squared."""

  name: ClassVar[str] = "waveform"

  @classmethod
  def create(cls, *, sample_rate: int) -> Self:
    """Returns the distance; it is the same at every rate."""
    del sample_rate
    return cls()

  def embed(self, audio: jax.Array) -> jax.Array:
    """Returns the samples themselves, [samples]."""
    return audio

  def compare(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Returns the mean squared difference, a scalar."""
    return jnp.mean(jnp.square(estimate - reference))

  def __call__(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Returns the distance between two signals [samples], a scalar."""
    return self.compare(self.embed(reference), self.embed(estimate))
