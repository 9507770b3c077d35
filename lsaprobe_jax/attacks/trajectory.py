"""Trajectory: members are reconstructed more closely along the way. Our reading.

The LSA-Probe paper names a Trajectory baseline and does not define it. Ours: the mean
over a grid of times, and draws of noise, of the distance from the clip to its
reconstruction, with the probe's own reverse process and distance.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.grid import times_up_to
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import add_noise


class Trajectory(struct.PyTreeNode):
  """Mean over times and draws of `D(x_0, R_t(x_t))`; lower = member.

  Attributes:
    distance: a distance (`distances.get`).
    times: n, the grid is `round(t i / n)`, i = 1..n.
    draws: of eps at each of these times; the first is the clip's own.
  """

  distance: Any
  times: int = struct.field(pytree_node=False, default=4)
  draws: int = struct.field(pytree_node=False, default=1)

  repeats: ClassVar[str] = "draws"

  def nfe(self, num_inference_steps: int) -> int:
    """Network evaluations (see `attacks.nfe_matched`)."""
    return num_inference_steps * self.times * self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    x_0 = model.encode(audio)
    clean = self.distance.embed(audio)

    def one(pair):
      s, draw = pair
      noise = probe.clip_noise(key, x_0.shape, draw)
      x_s = add_noise(model.schedule, x_0, s, noise)
      found = self.distance.embed(model.reconstruct(x_s, s))
      return self.distance.compare(clean, found)

    times = jnp.tile(times_up_to(t, self.times), self.draws)
    draws = jnp.repeat(jnp.arange(self.draws), self.times)
    degradations = jax.lax.map(one, (times, draws))
    return Outcome(
      score=-jnp.mean(degradations),
      nfe_forward=model.num_inference_steps * self.times * self.draws,
      nfe_backward=0,
    )
