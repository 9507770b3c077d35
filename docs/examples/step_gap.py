"""The first guess of x_0 against the whole reverse process: an example of an attack."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import add_noise, ddim_step
from lsaprobe_jax.probe import clip_noise


class StepGap(struct.PyTreeNode):
  """Mean of `D(one step from x_t to 0, R_t(x_t))` over draws; lower = member.

  0 for every clip where the reverse process is one step.

  Attributes:
    distance: a distance (`distances.get`).
    draws: of eps; the first is the clip's own.
  """

  distance: Any
  draws: int = struct.field(pytree_node=False, default=4)

  repeats: ClassVar[str] = "draws"

  def nfe(self, num_inference_steps: int) -> int:
    """Network evaluations (see `attacks.nfe_matched`)."""
    return (num_inference_steps + 1) * self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    x_0 = model.encode(audio)
    schedule = model.schedule

    def one(draw):
      x_t = add_noise(schedule, x_0, t, clip_noise(key, x_0.shape, draw))
      guess = ddim_step(schedule, x_t, model.predict_noise(x_t, t), t, 0)
      return self.distance(model.decode(guess), model.reconstruct(x_t, t))

    gaps = jax.lax.map(one, jnp.arange(self.draws))
    return Outcome(
      score=-jnp.mean(gaps),
      nfe_forward=self.nfe(model.num_inference_steps),
      nfe_backward=0,
    )
