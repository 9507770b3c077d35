"""Trajectory: members are reconstructed more closely along the way.

The LSA-Probe paper names a Trajectory baseline and does not define it. Our reading is
the mean distance from the clip to its reconstruction, over a grid of times and draws
of noise, with the probe's own reverse process and distance.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.grid import times_up_to
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.distances import channels
from lsaprobe_jax.probe import noisy_state


class Trajectory(struct.PyTreeNode):
  """Mean over times and draws of `D(x_0, R_t(x_t))`; lower = member.

  Attributes:
    distance: a distance (`distances.get`).
    times: n; the grid is `round(t i / n)`, i = 1..n.
    draws: number of draws of eps at each of these times; the first is the clip's own.
  """

  distance: Any
  times: int = struct.field(pytree_node=False, default=4)
  draws: int = struct.field(pytree_node=False, default=1)

  repeats: ClassVar[str] = "draws"
  magnitude: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    return num_inference_steps * self.times * self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    x_0 = model.encode(audio)
    distance = channels.for_model(self.distance, model)
    clean = distance.embed(audio)

    def one(pair):
      s, draw = pair
      x_s, _ = noisy_state(model, key, x_0, s, draw)
      found = distance.embed(model.reconstruct(x_s, s))
      return distance.compare(clean, found)

    times = jnp.tile(times_up_to(t, self.times), self.draws)
    draws = jnp.repeat(jnp.arange(self.draws), self.times)
    degradations = jax.lax.map(one, (times, draws))
    return Outcome(
      score=-jnp.mean(degradations),
      nfe_forward=model.num_inference_steps * self.times * self.draws,
      nfe_backward=0,
    )
