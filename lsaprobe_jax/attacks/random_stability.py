"""Random stability, ours: the probe without its search, which is the first ablation."""

from typing import Any, ClassVar

from flax import struct

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.outcome import Outcome


class RandomStability(struct.PyTreeNode):
  """Mean D under random directions of one size; lower = member.

  Attributes:
    distance: a distance (`distances.get`).
    eta: root mean square of delta~, in units of sigma_t.
    draws: number of directions.
  """

  distance: Any
  eta: Any
  draws: int = struct.field(pytree_node=False, default=4)

  repeats: ClassVar[str] = "draws"
  magnitude: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    return num_inference_steps * (self.draws + 1)

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    degradation = probe.random_degradation(
      model, self.distance, key, audio, t, self.eta, self.draws
    )
    return Outcome(
      score=-degradation,
      nfe_forward=model.num_inference_steps * (self.draws + 1),
      nfe_backward=0,
    )
