"""Where a clip starts and how long its track is, as Stable Audio is told.

diffusers' `StableAudioProjectionModel`, but for its projection of text.
"""

import flax.linen as nn
import jax.numpy as jnp

_FEATURES = 256


class Fourier(nn.Module):
  """A number, and its sines and cosines at stored frequencies."""

  @nn.compact
  def __call__(self, x):
    """A scalar -> [1 + 256]."""
    weights = self.param("weights", nn.initializers.normal(1.0), (_FEATURES // 2,))
    angles = 2 * jnp.pi * x * weights
    return jnp.concatenate([jnp.atleast_1d(x), jnp.sin(angles), jnp.cos(angles)])


class Number(nn.Module):
  """Embeds a number of seconds, which is clipped to a range.

  Attributes:
    features: of the embedding.
    lowest: seconds that count as 0.
    highest: seconds that count as 1.
  """

  features: int
  lowest: float
  highest: float

  @nn.compact
  def __call__(self, seconds):
    """A scalar -> [features]."""
    share = jnp.clip(seconds, self.lowest, self.highest) - self.lowest
    share = share / (self.highest - self.lowest)
    embedded = Fourier(name="time_positional_embedding_0")(share)
    return nn.Dense(self.features, name="time_positional_embedding_1")(embedded)


class Durations(nn.Module):
  """Embeds a clip's start and the end of what it is part of, both in seconds."""

  features: int
  lowest: float
  highest: float

  @nn.compact
  def __call__(self, start, end):
    """Two scalars -> [2, features]."""
    limits = (self.features, self.lowest, self.highest)
    return jnp.stack(
      [
        Number(*limits, name="start_number_conditioner")(start),
        Number(*limits, name="end_number_conditioner")(end),
      ]
    )
