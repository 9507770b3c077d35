"""Second order, ours: the probe without a search, from the Jacobian at delta~ = 0.

Near 0 the embedded reconstruction moves by `J delta~`. Where a distance is the mean
square of that (waveform, log-mel), `D = (gain eta)^2` in the worst direction of size
eta, hence `C_adv = sqrt(tau) / gain` there. MR-STFT and CDPAM are no squares; the gain
of their embedding stands for them, and where an embedding bends within eta (logarithms
of nearly empty bins in MR-STFT) it is that of the finite step, not the derivative.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.outcome import Outcome, passes_of, reverse_passes
from lsaprobe_jax.search.norms import RMS

# The draw of the clip's key that the start comes from. It is apart from those of eps,
# which are small numbers, and from the searches' 2**31 - 1.
_START = 2**31 - 2


class SecondOrder(struct.PyTreeNode):
  """The gain `max rms(J u) / rms(u)` by power iteration; lower = member.

  J is the Jacobian of `delta~ -> embed(R_t(x_t + sigma_t delta~))` at 0, all leaves
  of the embedding in one vector. `J' J u` is the gradient of half the squared
  difference of embeddings at `eta u`, over eta: a finite difference, for which one
  pass back is enough. The estimate is a lower bound up to the error of
  that difference, and on a linear model it grows with every step.

  The error is small where the embedding is straight within eta. MR-STFT's is not:
  logarithms of nearly empty bins are steep at 0 and bend at once, so its gain depends
  on eta. On a small network it was 12 at 0.01, 27 at 1e-3 and 55 at 1e-5; the exact
  one at 0 is 55, nearly all of it one bin's.

  Attributes:
    distance: a distance (`distances.get`); only its `embed` is used.
    eta: root mean square of the finite difference, in units of sigma_t.
    steps: number of gradients.
  """

  distance: Any
  eta: Any = 0.01
  steps: int = struct.field(pytree_node=False, default=8)

  repeats: ClassVar[str] = "steps"
  magnitude: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    return sum(reverse_passes(num_inference_steps, 1, self.steps))

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    # The difference of embeddings in the place of D.
    degradation, shape = probe.make_degradation(
      model, _HalfSquare(self.distance), key, audio, t
    )

    def step(direction, _):
      gradient = jax.grad(degradation)(self.eta * direction)
      ahead = RMS.steepest(gradient)
      # Where nothing can be felt the direction stays, rather than vanish.
      direction = jnp.where(RMS.size(ahead) > 0, ahead, direction)
      return direction, RMS.size(gradient) / self.eta

    start = jax.random.normal(jax.random.fold_in(key, _START), shape)
    _, stretch = jax.lax.scan(step, RMS.steepest(start), length=self.steps)
    # The mean square of a direction is its squared length over its size.
    gain = jnp.sqrt(stretch[-1] * start.size)
    forward, backward = passes_of(model, 1, self.steps)
    return Outcome(
      score=-gain,
      nfe_forward=forward,
      nfe_backward=backward,
      details={"gain": gain},
    )


class _HalfSquare(struct.PyTreeNode):
  """Half the mean square of the difference of two embeddings."""

  distance: Any

  @property
  def downmixes(self):
    return getattr(self.distance, "downmixes", False)

  def embed(self, audio):
    return self.distance.embed(audio)

  def compare(self, reference, estimate):
    import optax  # Slow to import.

    squares = jax.tree.map(lambda x, y: jnp.sum(jnp.square(y - x)), reference, estimate)
    return sum(jax.tree.leaves(squares)) / (2 * optax.tree.size(reference))
