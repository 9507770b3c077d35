"""LSA-Probe as an attack: C_adv of a clip, higher = member."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.outcome import Outcome, passes_of
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.search.continuation import Curve


class LSAProbe(struct.PyTreeNode):
  """The smallest budget that degrades the reconstruction by tau.

  Attributes:
    distance: a distance (`distances.get`).
    tau: the perceptual target, a scalar, which development non-members set.
    search: a search (`search.get`).
    anchor: what D compares with (`probe.ANCHORS`): the clean reconstruction, or the
      clip.
  """

  distance: Any
  tau: Any
  search: Any = struct.field(pytree_node=False)
  anchor: str = struct.field(pytree_node=False, default="reconstruction")

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    found = probe.probe(
      model, self.distance, self.search, key, audio, t, self.tau, self.anchor
    )
    # The clean reconstruction is one more reverse without gradient.
    forward, backward = passes_of(model, found.values + 1, found.gradients)
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
    anchor: what D compares with (`probe.ANCHORS`).
  """

  distance: Any
  eta: Any
  search: Any = struct.field(pytree_node=False)
  anchor: str = struct.field(pytree_node=False, default="reconstruction")

  magnitude: ClassVar[bool] = True

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    found = probe.max_degradation(
      model, self.distance, self.search, key, audio, t, self.eta, self.anchor
    )
    forward, backward = passes_of(model, found.values + 1, found.gradients)
    return Outcome(score=-found.degradation, nfe_forward=forward, nfe_backward=backward)


class DegradationCurve(struct.PyTreeNode):
  """D against eta, without a target; lower at eta_max = member.

  Costs for any tau, and tau itself, are read off it (`read_costs`).

  Attributes:
    distance: a distance (`distances.get`).
    search: a search that gives curves (`search.gives_curves`).
    anchor: what D compares with (`probe.ANCHORS`).
  """

  distance: Any
  search: Any = struct.field(pytree_node=False)
  anchor: str = struct.field(pytree_node=False, default="reconstruction")

  twin_details: ClassVar[tuple[str, ...]] = ("degradations", "rest")

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    curve = probe.degradation_curve(
      model, self.distance, self.search, key, audio, t, self.anchor
    )
    forward, backward = passes_of(model, curve.values + 1, curve.gradients)
    return Outcome(
      score=-curve.worst[-1],
      nfe_forward=forward,
      nfe_backward=backward,
      details={
        "budgets": curve.budgets,
        "degradations": curve.degradations,
        "rest": jnp.asarray(curve.rest),
      },
    )


def read_degradations(budgets, degradations, eta, rest=None) -> np.ndarray:
  """Reads the worst D within the budget eta of n clips, [n], off curves [n, rungs].

  `rest` is [n], D at no perturbation; None for 0.

  Raises:
    ArgumentError: eta is not above 0, or a curve cannot be read (`read_costs`).
  """
  _check_positive("eta", eta)
  curves = _checked_curves(budgets, degradations, rest)
  return np.asarray(_vmap_curves(lambda curve: curve.degradation_at(eta), *curves))


def read_costs(
  budgets, degradations, tau, eta_max=np.inf, rest=None
) -> list[dict[str, Any]]:
  """Reads what a row of the probe says, for n clips, off their curves.

  Args:
    budgets: [n, rungs], as `DegradationCurve` returns them.
    degradations: [n, rungs], likewise.
    tau: the target, a scalar.
    eta_max: the largest budget allowed, a scalar.
    rest: [n], D at no perturbation; None for 0, as it is unless anchored at the clip.

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
  curves = _checked_curves(budgets, degradations, rest)

  def read(curve):
    found = curve.search_result(tau, eta_max)
    return {
      "score": found.rank,
      "cost": found.cost,
      "reached": found.reached,
      "margin": found.margin,
      "descents": found.descents,
    }

  columns = jax.device_get(_vmap_curves(read, *curves))
  return [
    {name: column[i].item() for name, column in columns.items()} | {"tau": float(tau)}
    for i in range(len(curves[0]))
  ]


def _check_positive(name: str, value) -> None:
  # In float32, in which it is compared: 1e300 is infinite there, and 1e-60 is 0.
  with np.errstate(over="ignore", under="ignore"):
    single = np.float32(value)
  if not 0 < single < np.inf:
    raise ArgumentError(f"{name}={value} is not a finite number above 0")


def _checked_curves(budgets, degradations, rest) -> tuple[np.ndarray, ...]:
  """Returns curves [n, rungs] and D at rest [n] as float32; refuses what is none."""
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
  rest = np.zeros(len(budgets)) if rest is None else rest
  rest = np.asarray(rest, np.float32)
  if rest.shape != (len(budgets),) or not np.all(np.isfinite(rest)):
    raise ArgumentError(f"rest: D at no perturbation of shape {rest.shape}, or no D")
  return budgets, degradations, rest


def _vmap_curves(read, budgets, degradations, rest):
  none = jnp.int32(0)
  one = lambda b, d, r: read(Curve(b, d, none, none, d[:, None], r))
  return jax.vmap(one)(*map(jnp.asarray, (budgets, degradations, rest)))
