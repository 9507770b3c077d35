"""No search: mean D under random directions, budget by budget.

Random stability in its budget form (`attacks.random_stability` is the other): the
budget at which the mean D over random directions reaches tau. It is the first ablation
of the probe, which says what the adversary adds, and no bound on C_adv: some
directions of that size do not reach tau, and better ones are there.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax import parallel
from lsaprobe_jax.search import norms, settings
from lsaprobe_jax.search.base import Ascent, Degradation, SearchResult
from lsaprobe_jax.search.continuation import Curve


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomDirections:
  """A ladder of budgets, and random directions that are tried at each.

  Attributes:
    eta_max: the last budget, in units of the noise level sigma_t.
    span: eta_max over the first budget.
    rungs: number of budgets, in geometric progression.
    draws: number of random directions, the same at every budget.
    norm: `rms`, `l2` or `linf` (see `norms`).
  """

  name: ClassVar[str] = "random_directions"

  eta_max: float = 0.8
  span: float = 16.0
  rungs: int = 16
  draws: int = 4
  norm: str = "rms"

  def __post_init__(self):
    least = {"rungs": 2, "draws": 1}
    settings.check(self, at_least=least, above={"eta_max": 0, "span": 1})

  def __call__(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], tau
  ) -> SearchResult:
    """Finds where the mean D reaches tau, which may have any shape."""
    return self.curve(degradation, key, shape).search_result(tau)

  def worst(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], eta, target
  ) -> Ascent:
    """Returns the mean D at the budget eta: no ascent looks for a worst."""
    del target
    met, directions = self._draw(degradation, key, shape, jnp.reshape(eta, (1,)))
    return Ascent(
      degradation=jnp.mean(met),
      values=jnp.int32(self.draws),
      gradients=jnp.int32(0),
      delta=eta * directions[jnp.argmax(met[:, 0])],
      history=met[:, 0],
    )

  def curve(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...]
  ) -> Curve:
    """Returns the mean D against the budget, up to eta_max."""
    budgets = jnp.asarray(self.eta_max * np.geomspace(1 / self.span, 1, self.rungs))
    met, _ = self._draw(degradation, key, shape, budgets)
    return Curve(
      budgets=budgets,
      degradations=jnp.mean(met, axis=0),
      values=jnp.int32(self.draws * self.rungs),
      gradients=jnp.int32(0),
      history=met.T,
    )

  def _draw(self, degradation, key, shape, budgets) -> tuple[jax.Array, jax.Array]:
    """D along each direction at each of [n] budgets, [draws, n], and the directions."""
    norm = norms.get(self.norm)

    def along(key):
      sample = norm.sample(key, shape)
      direction = sample / norm.size(sample)
      return jax.lax.map(lambda eta: degradation(eta * direction), budgets), direction

    return parallel.map_examples(along, jax.random.split(key, self.draws))
