"""Path error: members are denoised with less error all along the path.

'Where Rectified Flows Leak' (arXiv 2606.07271, ICML 2026) finds that the gap between
the errors of training and test clips, over their sum, is a bell along the path. There
an MLP, fitted where membership is known, reads a clip's errors at eleven times, 0 to T
in tenths. They are in the row (`errors`) for that, but for the one at 0, where nothing
is to be denoised. The score here needs no labels and is our reading: a mean of the
errors with weights that are a bell.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.grid import times_up_to
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.probe import noisy_state


class PathError(struct.PyTreeNode):
  """Weighted mean over the path of `log ||eps - e(x_s, s)||^2`; lower = member.

  The weight of time s is `exp(-((s - t) / (width T))^2 / 2)`, over the sum of all.

  Errors differ by orders of magnitude along the path, so that each enters by its
  logarithm. The paper's gap over sum does the same: it is tanh of half the difference
  of two logarithms. The paper measures the error of the clip that one step gives back.
  That is `(noise_s / signal_s)^2` times this one, which shifts all clips' logarithms
  alike.

  The paper's formula for where the bell is highest is about the velocity of a rectified
  flow. For noise that is predicted nothing like it is known, so that the centre is the
  attack's t, to be chosen on tune tracks.

  Attributes:
    times: n; the grid is `round(T i / n)`, i = 1..n, over the whole path whatever t.
    draws: number of draws of eps at each time, over which the error is averaged before
      its logarithm is taken. No two times share a draw; the first is the clip's own.
    width: standard deviation of the bell, as a share of T.
  """

  times: int = struct.field(pytree_node=False, default=10)
  draws: int = struct.field(pytree_node=False, default=1)
  width: float = struct.field(pytree_node=False, default=0.2)

  repeats: ClassVar[str] = "draws"

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    del num_inference_steps  # Nothing is reversed.
    return self.times * self.draws

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    if not self.width > 0:
      raise ArgumentError(f"width={self.width} of the bell is not above 0")
    x_0, last = model.encode(audio), model.schedule.num_train_timesteps
    times = times_up_to(last, self.times)

    def one(pair):
      s, draw = pair
      x_s, noise = noisy_state(model, key, x_0, s, draw)
      return jnp.sum(jnp.square(noise - model.predict_noise(x_s, s)))

    draws = jnp.arange(self.draws * self.times)
    errors = jax.lax.map(one, (jnp.tile(times, self.draws), draws))
    errors = jnp.mean(jnp.reshape(errors, (self.draws, self.times)), axis=0)
    logs = jnp.log(jnp.maximum(errors, jnp.finfo(errors.dtype).tiny))
    # By softmax, so that a narrow bell between two times still has weights.
    weights = jax.nn.softmax(-jnp.square((times - t) / (self.width * last)) / 2)
    return Outcome(
      score=-jnp.sum(weights * logs),
      nfe_forward=self.times * self.draws,
      nfe_backward=0,
      details={"errors": logs},
    )
