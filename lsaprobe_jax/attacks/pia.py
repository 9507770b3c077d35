"""PIA and PIAN: the noise a model sees in a clean clip, seen again (Kong et al. 2024).

arXiv 2305.18355. e(x_0, 0) takes the place of drawn noise, at 2 NFE.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.grid import times_around
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import add_noise

# Mean absolute value of a standard normal.
STANDARD_NORMAL = 0.7978845608028654  # sqrt(2 / pi)


class PIA(struct.PyTreeNode):
  """`||e(x_0, 0) - e(x_t, t)||_p`, x_t noised by e(x_0, 0); lower = member.

  Attributes:
    order: p of the norm.
    mean_absolute: what PIAN scales the mean absolute value of e(x_0, 0) to
      (`STANDARD_NORMAL`; the paper's text and its code differ); None for PIA.
    times: n, at most T; the mean is over the n times nearest to t.
  """

  order: float = struct.field(pytree_node=False, default=4.0)
  mean_absolute: float | None = struct.field(pytree_node=False, default=None)
  times: int = struct.field(pytree_node=False, default=1)

  repeats: ClassVar[str] = "times"
  magnitude: ClassVar[bool] = True
  distinct_times: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    del num_inference_steps  # Nothing is reversed.
    return 1 + self.times

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    del key  # No noise is drawn.
    x_0 = model.encode(audio)
    noise = model.predict_noise(x_0, 0)
    if self.mean_absolute is not None:
      noise = noise * self.mean_absolute / jnp.mean(jnp.abs(noise))

    def one(s):
      x_s = add_noise(model.schedule, x_0, s, noise)
      return p_norm(noise - model.predict_noise(x_s, s), self.order)

    times = times_around(t, self.times, model.schedule.num_train_timesteps)
    errors = jax.lax.map(one, times)
    return Outcome(score=-jnp.mean(errors), nfe_forward=1 + self.times, nfe_backward=0)


def p_norm(x, order: float):
  """Returns `(sum |x|^p)^(1/p)` over all of x, scaled so that no power overflows."""
  size = jnp.abs(x)
  most = jnp.maximum(jnp.max(size), jnp.finfo(x.dtype).tiny)
  return most * jnp.sum((size / most) ** order) ** (1 / order)
