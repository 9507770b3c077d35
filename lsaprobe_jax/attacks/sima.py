"""SimA: the noise a model sees in a clean clip (arXiv 2509.25003). One evaluation."""

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
    times: n, the mean is over the n times nearest to t; at most T.
  """

  order: float = struct.field(pytree_node=False, default=4.0)
  times: int = struct.field(pytree_node=False, default=1)

  repeats: ClassVar[str] = "times"
  distinct_times: ClassVar[bool] = True

  def evaluations(self, num_steps: int) -> int:
    """Network evaluations (see `attacks.matched`)."""
    del num_steps  # Nothing is reversed.
    return self.times

  def __call__(self, generator, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    del key  # No noise is drawn.
    x_0 = generator.encode(audio)

    def one(s):
      return p_norm(generator.predict_noise(x_0, s), self.order)

    times = times_around(t, self.times, generator.schedule.num_steps)
    norms = jax.lax.map(one, times)
    return Outcome(score=-jnp.mean(norms), forward_passes=self.times, backward_passes=0)
