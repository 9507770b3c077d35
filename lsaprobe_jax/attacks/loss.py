"""The Loss baseline: members are denoised with less error (Matsumoto et al. 2023)."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import add_noise
from lsaprobe_jax.probe import clip_noise


class Loss(struct.PyTreeNode):
  """Mean over draws of `||eps - e(x_t, t)||^2`; lower = member.

  Attributes:
    draws: noise draws; the first is the clip's own eps.
  """

  draws: int = struct.field(pytree_node=False, default=4)

  repeats: ClassVar[str] = "draws"

  def nfe(self, num_inference_steps: int) -> int:
    """Network evaluations (see `attacks.nfe_matched`)."""
    del num_inference_steps  # Nothing is reversed.
    return self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    x_0 = model.encode(audio)

    def one(draw):
      noise = clip_noise(key, x_0.shape, draw)
      x_t = add_noise(model.schedule, x_0, t, noise)
      return jnp.sum(jnp.square(noise - model.predict_noise(x_t, t)))

    losses = jax.lax.map(one, jnp.arange(self.draws))
    return Outcome(score=-jnp.mean(losses), nfe_forward=self.draws, nfe_backward=0)
