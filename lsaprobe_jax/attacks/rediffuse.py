"""ReDiffuse: a member is the mean of its own reconstructions (Li et al. 2024).

arXiv 2405.20771. Needs no weights in principle, only a way to noise and denoise.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import add_noise
from lsaprobe_jax.probe import clip_noise


class ReDiffuse(struct.PyTreeNode):
  """`||x - mean_i R_t(x_t^i)||^2` over n noise draws; lower = member.

  Attributes:
    draws: n; the first is the clip's own eps.
  """

  draws: int = struct.field(pytree_node=False, default=10)

  repeats: ClassVar[str] = "draws"

  def nfe(self, num_inference_steps: int) -> int:
    """Network evaluations (see `attacks.nfe_matched`)."""
    return num_inference_steps * self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    x_0 = model.encode(audio)

    def one(draw):
      noise = clip_noise(key, x_0.shape, draw)
      return model.reconstruct(add_noise(model.schedule, x_0, t, noise), t)

    mean = jnp.mean(jax.lax.map(one, jnp.arange(self.draws)), axis=0)
    return Outcome(
      score=-jnp.sum(jnp.square(audio - mean)),
      nfe_forward=model.num_inference_steps * self.draws,
      nfe_backward=0,
    )
