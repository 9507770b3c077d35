"""LSA-Probe as an attack: C_adv of a clip, higher = member."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.outcome import Outcome, reverse_passes
from lsaprobe_jax.search.continuation import Curve


class LSAProbe(struct.PyTreeNode):
  """The smallest budget that degrades the reconstruction by tau.

  Attributes:
    distance: a distance (`distances.get`).
    tau: perceptual target, scalar; from development non-members.
    search: a search (`search.get`).
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
      details={
        "margin": found.margin,
        "descents": found.descents,
        "tau": self.tau,
        "budgets": found.budgets,
        "damages": found.damages,
      },
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


class DamageCurve(struct.PyTreeNode):
  """D against eta, without a target; lower at eta_max = member.

  Costs for any tau, and tau itself, are read off it (`read_costs`).
  """

  distance: Any
  search: Any = struct.field(pytree_node=False)

  def __call__(self, generator, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    curve = probe.damage_curve(generator, self.distance, self.search, key, audio, t)
    forward, backward = reverse_passes(
      generator.num_steps, curve.values + 1, curve.gradients
    )
    return Outcome(
      score=-curve.worst[-1],
      forward_passes=forward,
      backward_passes=backward,
      details={"budgets": curve.budgets, "damages": curve.damages},
    )


def read_damages(budgets, damages, eta) -> np.ndarray:
  """Worst D within the budget eta of n clips, [n], from curves [n, rungs]."""
  return np.asarray(_vmap_curves(lambda curve: curve.damage_at(eta), budgets, damages))


def read_costs(budgets, damages, tau, eta_max=np.inf) -> list[dict[str, Any]]:
  """What a row of the probe says, for n clips, from curves [n, rungs].

  Args:
    budgets: [n, rungs] of `DamageCurve`.
    damages: [n, rungs] of `DamageCurve`.
    tau: scalar target.
    eta_max: scalar, the largest budget allowed.

  Returns:
    One dict a clip: `score`, `cost`, `reached`, `margin`, `descents`, `tau`.
  """

  def read(curve):
    found = curve.search_result(tau, eta_max)
    return {
      "score": found.rank,
      "cost": found.cost,
      "reached": found.reached,
      "margin": found.margin,
      "descents": found.descents,
    }

  columns = jax.device_get(_vmap_curves(read, budgets, damages))
  return [
    {name: column[i].item() for name, column in columns.items()} | {"tau": float(tau)}
    for i in range(len(budgets))
  ]


def _vmap_curves(read, budgets, damages):
  none = jnp.int32(0)
  return jax.vmap(lambda b, d: read(Curve(b, d, none, none, d[:, None])))(
    jnp.asarray(budgets, jnp.float32), jnp.asarray(damages, jnp.float32)
  )
