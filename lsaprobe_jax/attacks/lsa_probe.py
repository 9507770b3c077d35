"""LSA-Probe as an attack: C_adv of a clip, higher = member."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.outcome import Outcome, reverse_passes
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.search.continuation import Curve


class LSAProbe(struct.PyTreeNode):
  """The smallest budget that degrades the reconstruction by tau.

  Attributes:
    distance: a distance (`distances.get`).
    tau: the perceptual target, a scalar, which development non-members set.
    search: a search (`search.get`).
  """

  distance: Any
  tau: Any
  search: Any = struct.field(pytree_node=False)

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    found = probe.probe(model, self.distance, self.search, key, audio, t, self.tau)
    # The clean reconstruction is one more reverse without gradient.
    forward, backward = reverse_passes(
      model.num_inference_steps, found.values + 1, found.gradients
    )
    return Outcome(
      score=found.rank,
      cost=found.cost,
      reached=found.reached,
      nfe_forward=forward,
      nfe_backward=backward,
      details={
        "margin": found.margin,
        "descents": found.descents,
        "tau": self.tau,
        "budgets": found.budgets,
        "degradations": found.degradations,
      },
    )


class MaxDegradation(struct.PyTreeNode):
  """The largest D the search's ascent finds within a budget; lower = member.

  On development clips at `eta_ref` this calibrates tau.

  Attributes:
    distance: a distance (`distances.get`).
    eta: the budget, a scalar.
    search: a search (`search.get`).
  """

  distance: Any
  eta: Any
  search: Any = struct.field(pytree_node=False)

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    found = probe.max_degradation(
      model, self.distance, self.search, key, audio, t, self.eta
    )
    forward, backward = reverse_passes(
      model.num_inference_steps, found.values + 1, found.gradients
    )
    return Outcome(score=-found.degradation, nfe_forward=forward, nfe_backward=backward)


class DegradationCurve(struct.PyTreeNode):
  """D against eta, without a target; lower at eta_max = member.

  Costs for any tau, and tau itself, are read off it (`read_costs`).

  Attributes:
    distance: a distance (`distances.get`).
    search: a search that gives curves (`search.gives_curves`).
  """

  distance: Any
  search: Any = struct.field(pytree_node=False)

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    curve = probe.degradation_curve(model, self.distance, self.search, key, audio, t)
    forward, backward = reverse_passes(
      model.num_inference_steps, curve.values + 1, curve.gradients
    )
    return Outcome(
      score=-curve.worst[-1],
      nfe_forward=forward,
      nfe_backward=backward,
      details={"budgets": curve.budgets, "degradations": curve.degradations},
    )


def read_degradations(budgets, degradations, eta) -> np.ndarray:
  """Reads the worst D within the budget eta of n clips, [n], off curves [n, rungs].

  Raises:
    ArgumentError: eta is not above 0, or a curve cannot be read (`read_costs`).
  """
  _check_positive("eta", eta)
  budgets, degradations = _checked_curves(budgets, degradations)
  return np.asarray(
    _vmap_curves(lambda curve: curve.degradation_at(eta), budgets, degradations)
  )


def read_costs(budgets, degradations, tau, eta_max=np.inf) -> list[dict[str, Any]]:
  """Reads what a row of the probe says, for n clips, off their curves.

  Args:
    budgets: [n, rungs], as `DegradationCurve` returns them.
    degradations: [n, rungs], likewise.
    tau: the target, a scalar.
    eta_max: the largest budget allowed, a scalar.

  Returns:
    One dict a clip, with `score`, `cost`, `reached`, `margin`, `descents` and `tau`.

  Raises:
    ArgumentError: tau is not a finite number above 0, eta_max is not above 0, D is not
      finite somewhere on a curve, or its budgets do not grow. A search that was never
      answered must not read as one whose target was not reached.
  """
  _check_positive("tau", tau)
  if eta_max != np.inf:
    _check_positive("eta_max", eta_max)
  budgets, degradations = _checked_curves(budgets, degradations)

  def read(curve):
    found = curve.search_result(tau, eta_max)
    return {
      "score": found.rank,
      "cost": found.cost,
      "reached": found.reached,
      "margin": found.margin,
      "descents": found.descents,
    }

  columns = jax.device_get(_vmap_curves(read, budgets, degradations))
  return [
    {name: column[i].item() for name, column in columns.items()} | {"tau": float(tau)}
    for i in range(len(budgets))
  ]


def _check_positive(name: str, value) -> None:
  # In float32, in which it is compared: 1e300 is infinite there, and 1e-60 is 0.
  with np.errstate(over="ignore", under="ignore"):
    single = np.float32(value)
  if not 0 < single < np.inf:
    raise ArgumentError(f"{name}={value} is not a finite number above 0")


def _checked_curves(budgets, degradations) -> tuple[np.ndarray, np.ndarray]:
  """Returns curves [n, rungs] as float32; refuses one that cannot be read."""
  budgets, degradations = (np.asarray(x, np.float32) for x in (budgets, degradations))
  if budgets.shape != degradations.shape or budgets.ndim != 2:
    raise ArgumentError(
      f"budgets of shape {budgets.shape} and degradations of shape {degradations.shape}"
      " are not both [n, rungs]"
    )
  if bad := int(np.sum(~np.isfinite(degradations))):
    raise ArgumentError(
      f"degradations: D is not finite at {bad} of {degradations.size} budgets"
    )
  if not np.all(np.isfinite(budgets)) or np.any(budgets[:, :1] <= 0):
    raise ArgumentError("budgets are not finite numbers above 0")
  if np.any(np.diff(budgets, axis=1) <= 0):
    raise ArgumentError("budgets do not grow along a curve")
  return budgets, degradations


def _vmap_curves(read, budgets, degradations):
  none = jnp.int32(0)
  return jax.vmap(lambda b, d: read(Curve(b, d, none, none, d[:, None])))(
    jnp.asarray(budgets, jnp.float32), jnp.asarray(degradations, jnp.float32)
  )
