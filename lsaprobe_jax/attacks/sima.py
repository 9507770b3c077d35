"""SimA: the noise a model sees in a clean clip (arXiv 2509.25003), at 1 NFE."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.grid import times_around
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.attacks.pia import p_norm


class SimA(struct.PyTreeNode):
  """`||e(x_0, t)||_p` of the clean clip, no noise added; lower = member.

  Attributes:
    order: p of the norm.
    times: n, at most T; the mean is over the n times nearest to t.
  """

  order: float = struct.field(pytree_node=False, default=4.0)
  times: int = struct.field(pytree_node=False, default=1)

  repeats: ClassVar[str] = "times"
  magnitude: ClassVar[bool] = True
  distinct_times: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    del num_inference_steps  # Nothing is reversed.
    return self.times

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    del key  # No noise is drawn.
    x_0 = model.encode(audio)

    def one(s):
      return p_norm(model.predict_noise(x_0, s), self.order)

    times = times_around(t, self.times, model.schedule.num_train_timesteps)
    norms = jax.lax.map(one, times)
    return Outcome(score=-jnp.mean(norms), nfe_forward=self.times, nfe_backward=0)
