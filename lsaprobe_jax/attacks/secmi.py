"""SecMI: members return more exactly from one step further (Duan et al., ICML 2023).

arXiv 2302.01316, the statistic SecMI_stat. There t = 100 of T = 1000, reached in ten
deterministic steps of 10.
"""

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import ddim_step


class SecMI(struct.PyTreeNode):
  """`||psi(phi(x_t)) - x_t||^2`, phi a step up and psi back down; lower = member.

  x_t itself comes from x_0 by deterministic DDIM noising. The last step up is as long
  as those before it, `round(t / steps)`, or what is left to T.

  Attributes:
    steps: of noising from 0 to t.
  """

  steps: int = struct.field(pytree_node=False, default=10)

  def __call__(self, generator, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    del key  # No noise is drawn.
    schedule = generator.schedule

    def move(x, times):
      now, after = times
      e = generator.predict_noise(x, now)
      return ddim_step(schedule, x, e, now, after), None

    grid = (2 * t * jnp.arange(self.steps + 1) + self.steps) // (2 * self.steps)
    step = jnp.maximum((2 * t + self.steps) // (2 * self.steps), 1)
    above = jnp.minimum(t + step, schedule.num_steps)
    x_t, _ = jax.lax.scan(move, generator.encode(audio), (grid[:-1], grid[1:]))
    up, _ = move(x_t, (t, above))
    back, _ = move(up, (above, t))
    return Outcome(
      score=-jnp.sum(jnp.square(back - x_t)),
      forward_passes=self.steps + 2,
      backward_passes=0,
    )
