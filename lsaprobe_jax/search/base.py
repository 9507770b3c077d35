"""What every search takes and returns."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct

# delta~ (any shape) -> D, a scalar.
Degradation = Callable[[jax.Array], jax.Array]


class Ascent(struct.PyTreeNode):
  """Where an ascent of D stands, or has ended.

  Attributes:
    degradation: largest D met so far.
    values: how often D was taken without gradient.
    gradients: how often D was taken with gradient.
    delta: a perturbation within the budget, where the ascent met its largest D (the
      continuation: where the best of its climbs ended).
    history: [steps] D at each point looked at, restart after restart; NaN where an
      ascent was over.
  """

  degradation: jax.Array
  values: jax.Array
  gradients: jax.Array
  delta: jax.Array
  history: jax.Array


class SearchResult(struct.PyTreeNode):
  """What a search returns for one example.

  All are scalars, or of tau's shape, but the budgets tried and what was found there.

  Attributes:
    cost: C_adv, the smallest budget at which tau was reached; NaN if none was.
    reached: whether tau was reached within eta_max (False: censored).
    rank: orders examples by stability, higher = more stable. Inside the final
      bracket it interpolates between D at its two ends; censored examples lie above
      eta_max, by the margin left. For ranking only: it is no bound.
    margin: tau - D(eta_max), positive if censored.
    budgets: [n] budgets tried, in order; NaN where the search was over.
    degradations: [n] D found at each.
    descents: budgets whose D lies below that of a smaller one, as far as the search
      saw: D as found by ascent need not grow with the budget.
    values: how often D was taken without gradient.
    gradients: how often D was taken with gradient.
    history: [n, steps] D at each point looked at for a budget; NaN where none was.
      Scoring does not read it, and what is not read is compiled away.
  """

  cost: jax.Array
  reached: jax.Array
  rank: jax.Array
  margin: jax.Array
  budgets: jax.Array
  degradations: jax.Array
  descents: jax.Array
  values: jax.Array
  gradients: jax.Array
  history: jax.Array


@runtime_checkable
class Search(Protocol):
  """A search for the smallest perturbation that degrades one example by tau.

  A search is a frozen dataclass of its settings: it is compared and hashed as a static
  part of compiled programs. It has no batch axis, compiles nothing itself, and draws
  what it draws from the key. The arguments `degradation`, D as a function of delta~,
  and `shape`, that of delta~, come from `probe.make_degradation`.

  One that knows D against the budget whole may also have `curve(degradation, key,
  shape)`, which returns a `Curve`; costs for any tau are then read off it.
  """

  def __call__(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], tau
  ) -> SearchResult:
    """Finds the smallest budget at which D reaches tau, a scalar.

    What it finds is an upper bound on the true cost: a budget at which a perturbation
    that reaches tau is in hand.
    """
    ...

  def worst(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], eta, target
  ) -> Ascent:
    """Finds the largest D within the budget eta; it may stop at `target`."""
    ...


def censored_rank(eta_max, margin, tau) -> jax.Array:
  """Returns the rank of an example that tau was not reached on.

  It lies above eta_max by the margin that was left, over tau.
  """
  return eta_max * (1 + jnp.maximum(margin, 0) / tau)


def rest_rank(rest, tau) -> jax.Array:
  """Returns the rank of an example that is beyond tau at no perturbation.

  It lies below all budgets, by how far D at rest is beyond tau, over tau.
  """
  return 1 - rest / tau


def at_rest(found: SearchResult, rest, tau) -> SearchResult:
  """Takes D at no perturbation into account, of which a search knows nothing.

  Where it reaches tau, the cost is 0.
  """
  beyond = rest >= tau
  return found.replace(
    cost=jnp.where(beyond, 0.0, found.cost),
    reached=found.reached | beyond,
    rank=jnp.where(beyond, rest_rank(rest, tau), found.rank),
    margin=jnp.where(beyond, jnp.minimum(found.margin, tau - rest), found.margin),
  )


def interpolate(tau, low, low_degradation, high, high_degradation) -> jax.Array:
  """Returns where D would cross tau on a straight line from `low` to `high`."""
  fraction = (tau - low_degradation) / (high_degradation - low_degradation)
  return low + (high - low) * jnp.clip(fraction, 0.0, 1.0)


def descents(degradations: jax.Array) -> jax.Array:
  """Counts how many of [n] degradations lie below an earlier one.

  They are in the order of growing budgets; one that is NaN does not count.
  """
  seen = jax.lax.cummax(jnp.where(jnp.isnan(degradations), -jnp.inf, degradations))
  before = jnp.concatenate([jnp.full(1, -jnp.inf), seen[:-1]])
  return jnp.sum(degradations < before).astype(jnp.int32)
