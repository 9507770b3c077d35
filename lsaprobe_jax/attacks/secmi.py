"""SecMI: members return more exactly from one step further (Duan et al., ICML 2023).

arXiv 2302.01316, the statistic SecMI_stat. There t = 100 of T = 1000, reached in ten
deterministic steps of 10.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.attacks.grid import round_grid, times_up_to
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import predicted, step


class SecMI(struct.PyTreeNode):
  """`||psi(phi(x_t)) - x_t||^2`, phi a step up and psi back down; lower = member.

  x_t itself comes from x_0 by deterministic DDIM noising. The last step up is as long
  as those before it, `round(t / steps)`, or what is left to T.

  Attributes:
    steps: number of steps of noising from 0 to t.
    times: n; the mean is over the times `round(t i / n)`, i = 1..n, so over t alone
      where n is 1.
  """

  steps: int = struct.field(pytree_node=False, default=10)
  times: int = struct.field(pytree_node=False, default=1)

  repeats: ClassVar[str] = "times"
  magnitude: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    del num_inference_steps  # Nothing is reversed.
    return (self.steps + 2) * self.times

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    del key  # No noise is drawn.
    schedule, x_0 = model.schedule, model.encode(audio)

    def move(x, times):
      now, after = times
      return step(schedule, x, _said(model, x, now), now, after), None

    def one(s):
      grid = round_grid(s, self.steps)
      above = jnp.minimum(s + jnp.maximum(grid[1], 1), schedule.num_train_timesteps)
      x_s, _ = jax.lax.scan(move, x_0, (grid[:-1], grid[1:]))
      up, _ = move(x_s, (s, above))
      back, _ = move(up, (above, s))
      return jnp.sum(jnp.square(back - x_s))

    errors = jax.lax.map(one, times_up_to(t, self.times))
    return Outcome(
      score=-jnp.mean(errors),
      nfe_forward=(self.steps + 2) * self.times,
      nfe_backward=0,
    )


def _said(model, x, now):
  """What the network says of a state, as a prediction at that time.

  Of a clean state it is asked at time 1, and the noise that it implies there counts.
  """
  out, schedule = predicted(model, x, now), model.schedule
  if schedule.prediction == "epsilon":
    return out
  noise = diffusion.implied_noise(schedule, x, jnp.maximum(now, 1), out)
  clean = (now == 0) & (schedule.noise[0] == 0)
  return jnp.where(clean, diffusion.target(schedule, x, 0, noise), out)
