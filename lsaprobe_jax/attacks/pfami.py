"""PFAMI: members lie on peaks of the likelihood (Fu et al. 2024, arXiv 2308.12143).

The loss of a member rises more when the clip is changed a little. For images the
change is a crop. Our reading for audio is a mild gain and a mild shift in time.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.grid import round_grid, times_up_to
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.probe import noisy_state


class PFAMI(struct.PyTreeNode):
  """Mean relative rise of the loss under mild changes; higher = member.

  Draw i = 1..n has time `round(t i / n)`, its own eps, the same for both losses, and
  the change number i: a gain of `1 - gain i / n` and a shift of `round(shift i / n)`
  samples, the front filled with silence.

  Attributes:
    draws: n, the number of draws.
    gain: the largest attenuation, as a share of the amplitude.
    shift: the largest shift, in samples.
  """

  draws: int = struct.field(pytree_node=False, default=20)
  gain: float = struct.field(pytree_node=False, default=0.1)
  shift: int = struct.field(pytree_node=False, default=16)

  repeats: ClassVar[str] = "draws"

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    del num_inference_steps  # Nothing is reversed.
    return 2 * self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""

    def loss(audio, s, i):
      x_s, noise = noisy_state(model, key, model.encode(audio), s, i)
      return jnp.sum(jnp.square(noise - model.predict_noise(x_s, s)))

    def change(audio, i, by):
      later = jnp.where(jnp.arange(audio.shape[-1]) < by, 0.0, jnp.roll(audio, by, -1))
      return (1 - self.gain * i / self.draws) * later

    def one(draw):
      i, s, by = draw
      # eps of the first draw is the clip's own.
      plain = loss(audio, s, i - 1)
      return (loss(change(audio, i, by), s, i - 1) - plain) / plain

    n = self.draws
    draws = (jnp.arange(1, n + 1), times_up_to(t, n), round_grid(self.shift, n)[1:])
    rises = jax.lax.map(one, draws)
    return Outcome(score=jnp.mean(rises), nfe_forward=2 * self.draws, nfe_backward=0)
