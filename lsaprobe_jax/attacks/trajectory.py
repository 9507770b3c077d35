"""Trajectory: members are reconstructed more closely along the way. Our reading.

The LSA-Probe paper names a Trajectory baseline and does not define it. Ours: the mean
over a grid of times of the distance from the clip to its reconstruction, with the
probe's own reverse process and distance.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import add_noise


class Trajectory(struct.PyTreeNode):
  """Mean over times of `D(x_0, R_t(x_t))`; lower = member.

  Attributes:
    distance: a distance (`distances.get`).
    times: n, the grid is `round(t i / n)`, i = 1..n.
  """

  distance: Any
  times: int = struct.field(pytree_node=False, default=4)

  def __call__(self, generator, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    x_0 = generator.encode(audio)
    noise = probe.clip_noise(key, x_0.shape)
    clean = self.distance.embed(audio)

    def one(i):
      s = jnp.maximum((2 * t * i + self.times) // (2 * self.times), 1)
      x_s = add_noise(generator.schedule, x_0, s, noise)
      found = self.distance.embed(generator.reconstruct(x_s, s))
      return self.distance.compare(clean, found)

    damages = jax.lax.map(one, jnp.arange(1, self.times + 1))
    return Outcome(
      score=-jnp.mean(damages),
      forward_passes=generator.num_steps * self.times,
      backward_passes=0,
    )
