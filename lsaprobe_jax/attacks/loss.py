"""The Loss baseline: members are denoised with less error (Matsumoto et al. 2023)."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.probe import noisy_state


class Loss(struct.PyTreeNode):
  """Mean over draws of `||eps - e(x_t, t)||^2`; lower = member.

  Attributes:
    draws: number of draws of eps; the first is the clip's own.
  """

  draws: int = struct.field(pytree_node=False, default=4)

  repeats: ClassVar[str] = "draws"
  magnitude: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    del num_inference_steps  # Nothing is reversed.
    return self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    x_0 = model.encode(audio)

    def one(draw):
      x_t, noise = noisy_state(model, key, x_0, t, draw)
      return jnp.sum(jnp.square(noise - model.predict_noise(x_t, t)))

    losses = jax.lax.map(one, jnp.arange(self.draws))
    return Outcome(score=-jnp.mean(losses), nfe_forward=self.draws, nfe_backward=0)
