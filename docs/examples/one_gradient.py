"""A ladder of budgets along one gradient: an example of a search."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax.search import Ascent, Curve, SearchResult, norms


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneGradient:
  """Walks out in the direction that is steepest near the centre, and looks at D there.

  It takes one gradient and `rungs` values of D. What it finds is an upper bound, as
  that of any search, and a loose one where D bends.

  Attributes:
    eta_max: the largest budget, in units of the noise level sigma_t.
    start: where the gradient is taken, over eta_max; D has none at 0.
    rungs: number of budgets, evenly spaced.
    norm: `rms`, `l2` or `linf`.
  """

  eta_max: float = 0.8
  start: float = 0.1
  rungs: int = 16
  norm: str = "rms"

  def __call__(self, degradation, key, shape, tau) -> SearchResult:
    """Finds the smallest of the budgets at which D reaches tau."""
    return self.curve(degradation, key, shape).search_result(tau)

  def worst(self, degradation, key, shape, eta, target) -> Ascent:
    """Finds D at the budget eta."""
    del target  # There is nothing to stop.
    delta = eta * self._direction(degradation, key, shape)
    value = degradation(delta)
    return Ascent(
      degradation=value,
      values=jnp.int32(1),
      gradients=jnp.int32(1),
      delta=delta,
      history=value[None],
    )

  def curve(self, degradation, key, shape) -> Curve:
    """Returns D against the budget, off which costs for any tau are read."""
    direction = self._direction(degradation, key, shape)
    budgets = jnp.asarray(self.eta_max * np.arange(1, self.rungs + 1) / self.rungs)
    met = jax.lax.map(lambda eta: degradation(eta * direction), budgets)
    return Curve(
      budgets=budgets,
      degradations=met,
      values=jnp.int32(self.rungs),
      gradients=jnp.int32(1),
      history=met[:, None],
    )

  def _direction(self, degradation, key, shape):
    norm = norms.get(self.norm)
    near = self.start * self.eta_max * norm.steepest(norm.sample(key, shape))
    return norm.steepest(jax.grad(degradation)(near))
