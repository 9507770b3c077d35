"""LSA-Probe as an attack: C_adv of a clip, higher = member."""

from typing import Any

from flax import struct

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.outcome import Outcome, reverse_passes


class LSAProbe(struct.PyTreeNode):
  """The smallest budget that degrades the reconstruction by tau.

  Attributes:
    distance: a distance (`distances.get`).
    tau: perceptual target, scalar; from development non-members.
    search: a search, e.g. `search.bisection.Bisection`.
  """

  distance: Any
  tau: Any
  search: Any = struct.field(pytree_node=False)

  def __call__(self, generator, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    found = probe.probe(generator, self.distance, self.search, key, audio, t, self.tau)
    # The clean reconstruction is one more reverse without gradient.
    forward, backward = reverse_passes(
      generator.num_steps, found.values + 1, found.gradients
    )
    return Outcome(
      score=found.rank,
      cost=found.cost,
      reached=found.reached,
      forward_passes=forward,
      backward_passes=backward,
      details={"margin": found.margin, "descents": found.descents, "tau": self.tau},
    )


class WorstDamage(struct.PyTreeNode):
  """The largest D the search's ascent finds within a budget; lower = member.

  On development clips at `eta_ref` this calibrates tau.
  """

  distance: Any
  eta: Any
  search: Any = struct.field(pytree_node=False)

  def __call__(self, generator, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    found = probe.worst_damage(
      generator, self.distance, self.search, key, audio, t, self.eta
    )
    forward, backward = reverse_passes(
      generator.num_steps, found.values + 1, found.gradients
    )
    return Outcome(
      score=-found.damage, forward_passes=forward, backward_passes=backward
    )
