"""Minimum norm in one loop: FMN, with the roles of loss and target ours.

Pintor et al., NeurIPS 2021 (arXiv 2102.12827), algorithm 1: a gradient step, then the
radius shrinks where tau is reached and grows where it is not; both changes decay as a
cosine. Until tau has been reached once, the radius is where a straight line from the
present D would reach it. Any point that reaches tau is a certified bound of its size.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.search import base, norms, settings
from lsaprobe_jax.search.base import Ascent, Degradation, SearchResult


class _State(struct.PyTreeNode):
  delta: jax.Array
  radius: jax.Array
  cost: jax.Array  # smallest size that reached tau, infinite before


def _decay(progress):
  """From 1 to a hundredth along half a cosine."""
  return 0.01 + 0.99 * (1 + jnp.cos(jnp.pi * progress)) / 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinimumNorm:
  """The search and its settings.

  Attributes:
    eta_max: largest budget, in units of the noise level sigma_t.
    steps: gradients.
    step_size: first step over the present radius; it decays to a hundredth.
    shrink: first change of the radius; it decays to a hundredth.
    start: size of the random start over eta_max. Not 0: D has no slope there.
    norm: `rms`, `l2` or `linf` (see `norms`).
  """

  name: ClassVar[str] = "minimum_norm"

  eta_max: float = 0.8
  steps: int = 35
  step_size: float = 2.0
  shrink: float = 0.1
  start: float = 0.25
  norm: str = "rms"

  def __post_init__(self):
    positive = ("eta_max", "steps", "step_size", "shrink", "start")
    settings.check(self, at_least={}, above=dict.fromkeys(positive, 0))

  def __call__(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], tau
  ) -> SearchResult:
    """Finds the smallest size at which D reaches tau, a scalar."""
    norm = norms.get(self.norm)

    def step(state, progress):
      value, gradient = jax.value_and_grad(degradation)(state.delta)
      size = norm.size(state.delta)
      hit = value >= tau
      cost = jnp.where(hit, jnp.minimum(state.cost, size), state.cost)
      decay = _decay(progress)
      rate = self.shrink * decay
      # How fast D can grow with the size: the slope in the steepest direction.
      slope = jnp.maximum(jnp.vdot(gradient, norm.steepest(gradient)), 1e-12)
      line = size + (tau - value) / slope
      grown = jnp.where(jnp.isinf(cost), line, state.radius * (1 + rate))
      shrunk = jnp.minimum(state.radius * (1 - rate), cost)
      radius = jnp.clip(jnp.where(hit, shrunk, grown), 1e-6, self.eta_max)
      ahead = state.delta + self.step_size * decay * radius * norm.steepest(gradient)
      return _State(
        delta=norm.project(ahead, radius),
        radius=radius,
        cost=cost,
      ), jnp.stack([size, value])

    radius = self.start * self.eta_max
    delta = radius * norm.steepest(norm.sample(key, shape))
    state = _State(delta=delta, radius=jnp.array(radius), cost=jnp.array(jnp.inf))
    state, trace = jax.lax.scan(step, state, jnp.linspace(0, 1, self.steps))
    value, size = degradation(state.delta), norm.size(state.delta)
    trace = jnp.concatenate([trace, jnp.stack([size, value])[None]])
    return self._result(trace, tau)

  def worst(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], eta, target
  ) -> Ascent:
    """Finds the largest D in the ball of radius eta: the same steps, one radius."""
    del target  # It has a fixed length.
    norm = norms.get(self.norm)

    def step(state, progress):
      delta, best, best_delta = state
      value, gradient = jax.value_and_grad(degradation)(delta)
      best_delta = jnp.where(value > best, delta, best_delta)
      length = self.step_size * _decay(progress) * eta
      ahead = norm.project(delta + length * norm.steepest(gradient), eta)
      return (ahead, jnp.maximum(best, value), best_delta), value

    delta = eta * norm.steepest(norm.sample(key, shape))
    state = (delta, jnp.array(-jnp.inf), delta)
    (delta, best, best_delta), met = jax.lax.scan(
      step, state, jnp.linspace(0, 1, self.steps)
    )
    last = degradation(delta)
    return Ascent(
      degradation=jnp.maximum(best, last),
      values=jnp.int32(1),
      gradients=jnp.int32(self.steps),
      delta=jnp.where(last > best, delta, best_delta),
      history=jnp.append(met, last),
    )

  def _result(self, trace, tau) -> SearchResult:
    sizes, degradations = trace[:, 0], trace[:, 1]
    # A hair of room: a point on the ball of eta_max is allowed.
    hit = (degradations >= tau) & (sizes <= self.eta_max * (1 + 1e-5))
    reached = jnp.any(hit)
    cost = jnp.min(jnp.where(hit, sizes, jnp.inf))
    margin = tau - jnp.max(degradations)
    order = jnp.argsort(sizes)
    return SearchResult(
      cost=jnp.where(reached, cost, jnp.nan),
      reached=reached,
      rank=jnp.where(reached, cost, base.censored_rank(self.eta_max, margin, tau)),
      margin=margin,
      budgets=sizes,
      degradations=degradations,
      descents=base.descents(degradations[order]),
      values=jnp.int32(1),
      gradients=jnp.int32(self.steps),
      history=degradations[:, None],
    )
