"""Relative degradation, ours: the worst direction against a random one.

How much any push of a size spoils a clip is a matter of content. What the search adds
is that the worst push spoils more than that.
"""

from typing import Any

import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.outcome import Outcome, passes_of


class RelativeDegradation(struct.PyTreeNode):
  """`log worst D - log mean D` over random directions of the same size; lower = member.

  The score is 0 where no direction degrades anything. Its NFE are its search's to say.

  Attributes:
    distance: a distance (`distances.get`).
    eta: root mean square of delta~, in units of sigma_t.
    search: a search (`search.get`) whose norm is `rms`, as the random directions'.
    draws: number of random directions.
  """

  distance: Any
  eta: Any
  search: Any = struct.field(pytree_node=False)
  draws: int = struct.field(pytree_node=False, default=4)

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    clip = (key, audio, t)
    found = probe.max_degradation(model, self.distance, self.search, *clip, self.eta)
    random = probe.random_degradation(model, self.distance, *clip, self.eta, self.draws)
    # Each of the two reconstructs the clean side.
    forward, backward = passes_of(model, found.values + self.draws + 2, found.gradients)
    return Outcome(
      score=_log(random) - _log(found.degradation),
      nfe_forward=forward,
      nfe_backward=backward,
      details={"worst": found.degradation, "random": random},
    )


def _log(degradation):
  return jnp.log(jnp.maximum(degradation, jnp.finfo(degradation.dtype).tiny))
