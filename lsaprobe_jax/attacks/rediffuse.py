"""ReDiffuse: a member is the mean of its own reconstructions (Li et al. 2024).

arXiv 2405.20771. Needs no weights in principle, only a way to noise and denoise.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.probe import noisy_state


class ReDiffuse(struct.PyTreeNode):
  """`||x - mean_i R_t(x_t^i)||^2` over n noise draws; lower = member.

  Attributes:
    draws: n; the first draw is the clip's own eps.
    decoded: whether x is the clip encoded and decoded, not the clip itself as in the
      paper. What an autoencoder loses is most of the error on latents, and says nothing
      of the denoiser; the attack then needs the autoencoder besides.
  """

  draws: int = struct.field(pytree_node=False, default=10)
  decoded: bool = struct.field(pytree_node=False, default=False)

  repeats: ClassVar[str] = "draws"
  magnitude: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    return num_inference_steps * self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    x_0 = model.encode(audio)

    def one(draw):
      x_t, _ = noisy_state(model, key, x_0, t, draw)
      return model.reconstruct(x_t, t)

    mean = jnp.mean(jax.lax.map(one, jnp.arange(self.draws)), axis=0)
    clip = model.decode(x_0) if self.decoded else audio
    return Outcome(
      score=-jnp.sum(jnp.square(clip - mean)),
      nfe_forward=model.num_inference_steps * self.draws,
      nfe_backward=0,
    )
