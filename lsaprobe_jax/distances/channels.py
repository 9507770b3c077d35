"""Distances of audio in several channels."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


class PerChannel(struct.PyTreeNode):
  """The mean of a distance over channels.

  A distance that judges a whole impression (`downmixes`, CDPAM's) compares the mean of
  the channels instead. Audio of one channel is compared with every channel of other.

  Attributes:
    distance: of one channel [samples].
  """

  distance: Any

  @property
  def name(self) -> str:
    """The name of the distance."""
    return self.distance.name

  def embed(self, audio: jax.Array) -> Any:
    """Embeds [samples] or [channels, samples], channel by channel."""
    audio = jnp.atleast_2d(audio)
    if getattr(self.distance, "downmixes", False):
      audio = jnp.mean(audio, axis=0, keepdims=True)
    return jax.vmap(self.distance.embed)(audio)

  def compare(self, reference: Any, estimate: Any) -> jax.Array:
    """Returns the mean distance of two embeddings over their channels."""
    count = lambda tree: jax.tree.leaves(tree)[0].shape[0]
    most = max(count(reference), count(estimate))
    spread = lambda tree: jax.tree.map(
      lambda leaf: jnp.broadcast_to(leaf, (most, *leaf.shape[1:])), tree
    )
    compare = jax.vmap(self.distance.compare)
    return jnp.mean(compare(spread(reference), spread(estimate)))

  def __call__(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Returns `compare(embed(reference), embed(estimate))`."""
    return self.compare(self.embed(reference), self.embed(estimate))


def for_model(distance: Any, model: Any) -> Any:
  """Returns the distance as it compares what a model decodes to.

  It is itself for a model of one channel, or one that does not say how many it has.
  """
  if getattr(model, "channels", 1) == 1 or isinstance(distance, PerChannel):
    return distance
  return PerChannel(distance=distance)
