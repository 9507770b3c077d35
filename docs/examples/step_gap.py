"""The first guess of x_0 against the whole reverse process: an example of an attack."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import predicted, step
from lsaprobe_jax.distances.channels import for_model
from lsaprobe_jax.probe import noisy_state


class StepGap(struct.PyTreeNode):
  """Mean of `D(one step from x_t to 0, R_t(x_t))` over draws; lower = member.

  0 for every clip where the reverse process is one step.

  Attributes:
    distance: a distance (`distances.get`).
    draws: number of draws of eps; the first is the clip's own.
  """

  distance: Any
  draws: int = struct.field(pytree_node=False, default=4)

  repeats: ClassVar[str] = "draws"

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    return (num_inference_steps + 1) * self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    x_0 = model.encode(audio)
    schedule, distance = model.schedule, for_model(self.distance, model)

    def one(draw):
      x_t, _ = noisy_state(model, key, x_0, t, draw)
      guess = step(schedule, x_t, predicted(model, x_t, t), t, 0)
      return distance(model.decode(guess), model.reconstruct(x_t, t))

    gaps = jax.lax.map(one, jnp.arange(self.draws))
    return Outcome(
      score=-jnp.mean(gaps),
      nfe_forward=self.nfe(model.num_inference_steps),
      nfe_backward=0,
    )
