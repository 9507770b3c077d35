"""The paper's search: bisection on the budget over projected gradient ascent.

Liu et al., ICASSP 2026 (arXiv 2602.01645), section 3: for a budget eta the inner loop
climbs the degradation D inside the ball of radius eta; the outer loop halves the
bracket around the smallest eta at which D reaches tau.

What it finds is an upper bound on the true cost: a budget at which a perturbation
that reaches tau is in hand. Ascent may have missed a smaller one.

All loops have a fixed length. A finished loop skips its work through `lax.cond`,
which saves the time where examples run one by one (CPU) and costs nothing where they
are vmapped; results are the same in both.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from lsaprobe_jax.search import base, norms, settings
from lsaprobe_jax.search.base import Ascent, Degradation, SearchResult


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bisection:
  """The search and its settings; the defaults are the paper's.

  Attributes:
    eta_max: largest budget, in units of the noise level sigma_t.
    halvings: B, halvings of the bracket after the trial at eta_max.
    ascent_steps: K, gradient steps of the inner loop.
    step_size: beta; a step is `beta * eta / K` times the momentum.
    momentum: of the normalised gradient, `m = momentum * m + g / ||g||`.
    restarts: random starts in the ball.
    norm: `rms`, `l2` or `linf` (see `norms`).
    min_gain: relative gain in D below which a step counts as stalled.
    patience: stalled steps in a row that end an ascent.
    min_gradient: slope of D, by unit of budget, that ends an ascent. The paper does
      not say what its 1e-6 is measured in.
  """

  name: ClassVar[str] = "bisection"

  eta_max: float = 0.8
  halvings: int = 10
  ascent_steps: int = 12
  step_size: float = 0.25
  momentum: float = 0.9
  restarts: int = 5
  norm: str = "rms"
  min_gain: float = 0.01
  patience: int = 3
  min_gradient: float = 1e-6

  def __post_init__(self):
    counts = ("halvings", "ascent_steps", "restarts", "patience")
    settings.check(self, at_least=dict.fromkeys(counts, 1), above={"eta_max": 0})

  def __call__(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], tau
  ) -> SearchResult:
    """Finds the smallest budget at which D reaches tau.

    Args:
      degradation: D as a function of delta~.
      key: it draws the random starts.
      shape: that of delta~.
      tau: the target, a scalar.
    """

    def halve(bracket, trial_key):
      low, high = bracket["low"], bracket["high"]
      eta = (low[0] + high[0]) / 2

      def trial(bracket):
        worst = self.worst(degradation, trial_key, shape, eta, tau)
        end = jnp.stack([eta, worst.degradation])
        crossed = worst.degradation >= tau
        return {
          "low": jnp.where(crossed, low, end),
          "high": jnp.where(crossed, end, high),
          # The first trial is eta_max itself: failing there leaves nothing to halve.
          "over": bracket["over"] | (~crossed & (eta >= self.eta_max)),
          "values": bracket["values"] + worst.values,
          "gradients": bracket["gradients"] + worst.gradients,
        }, (end, worst.history)

      def skip(bracket):
        return bracket, (jnp.full(2, jnp.nan), jnp.full(looked_at, jnp.nan))

      return jax.lax.cond(bracket["over"], skip, trial, bracket)

    looked_at = self.restarts * (self.ascent_steps + 1)
    zero = jnp.zeros((), jnp.int32)
    start = {
      "low": jnp.zeros(2),
      # Twice eta_max, so that the first of the trials is at eta_max.
      "high": jnp.array([2 * self.eta_max, jnp.nan]),
      "over": jnp.zeros((), bool),
      "values": zero,
      "gradients": zero,
    }
    keys = jax.random.split(key, self.halvings + 1)
    bracket, (trace, history) = jax.lax.scan(halve, start, keys)
    return self._result(bracket, trace, history, tau)

  def worst(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], eta, target
  ) -> Ascent:
    """Finds the largest D in the ball of radius eta, over restarts; stops at target."""

    def restart(best: Ascent, key):
      def climb(best):
        found = self._ascend(degradation, key, shape, eta, target)
        return Ascent(
          degradation=jnp.maximum(best.degradation, found.degradation),
          values=best.values + found.values,
          gradients=best.gradients + found.gradients,
          delta=jnp.where(
            found.degradation > best.degradation, found.delta, best.delta
          ),
          history=found.history,
        )

      skip = lambda best: best.replace(history=jnp.full_like(best.history, jnp.nan))
      best = jax.lax.cond(best.degradation >= target, skip, climb, best)
      return best, best.history

    zero = jnp.zeros((), jnp.int32)
    start = Ascent(
      degradation=jnp.array(-jnp.inf),
      values=zero,
      gradients=zero,
      delta=jnp.zeros(shape),
      history=jnp.full(self.ascent_steps + 1, jnp.nan),
    )
    keys = jax.random.split(key, self.restarts)
    best, history = jax.lax.scan(restart, start, keys)
    return best.replace(history=history.reshape(-1))

  def _ascend(self, degradation, key, shape, eta, target) -> Ascent:
    """One ascent: random point of the ball, K momentum steps, projection."""
    norm = norms.get(self.norm)
    step_length = self.step_size * eta / self.ascent_steps

    def climb(state):
      value, gradient = jax.value_and_grad(degradation)(state["delta"])
      gain = (value - state["value"]) / jnp.maximum(state["value"], 1e-12)
      stalled = jnp.where(gain < self.min_gain, state["stalled"] + 1, 0)
      steepest = norm.steepest(gradient)
      momentum = self.momentum * state["momentum"] + steepest
      # By unit of budget: the gradient's own size falls with the clip's length.
      flat = jnp.vdot(gradient, steepest) < self.min_gradient
      return {
        "delta": norm.project(state["delta"] + step_length * momentum, eta),
        "momentum": momentum,
        "value": value,
        "best": jnp.maximum(state["best"], value),
        "best_delta": jnp.where(
          value > state["best"], state["delta"], state["best_delta"]
        ),
        "stalled": stalled,
        "over": (value >= target) | (stalled >= self.patience) | flat,
        "gradients": state["gradients"] + 1,
      }

    def step(state, _):
      ahead = jax.lax.cond(state["over"], lambda s: s, climb, state)
      return ahead, jnp.where(state["over"], jnp.nan, ahead["value"])

    delta = eta * norm.sample(key, shape)
    zero = jnp.zeros((), jnp.int32)
    state: dict[str, Any] = {
      "delta": delta,
      "momentum": jnp.zeros_like(delta),
      "value": jnp.zeros(()),
      "best": jnp.array(-jnp.inf),
      "best_delta": delta,
      "stalled": zero,
      "over": jnp.zeros((), bool),
      "gradients": zero,
    }
    state, met = jax.lax.scan(step, state, length=self.ascent_steps)
    # The last step's destination has not been looked at yet.
    last = jax.lax.cond(
      state["over"], lambda d: jnp.array(-jnp.inf), degradation, state["delta"]
    )
    return Ascent(
      degradation=jnp.maximum(state["best"], last),
      values=jnp.where(state["over"], 0, 1),
      gradients=state["gradients"],
      delta=jnp.where(last > state["best"], state["delta"], state["best_delta"]),
      history=jnp.append(met, jnp.where(state["over"], jnp.nan, last)),
    )

  def _result(self, bracket, trace, history, tau) -> SearchResult:
    (low, low_degradation), (high, high_degradation) = bracket["low"], bracket["high"]
    reached = high <= self.eta_max
    margin = tau - jnp.where(reached, trace[0, 1], low_degradation)
    inside = base.interpolate(tau, low, low_degradation, high, high_degradation)
    budgets, degradations = trace[:, 0], trace[:, 1]
    return SearchResult(
      cost=jnp.where(reached, high, jnp.nan),
      reached=reached,
      rank=jnp.where(reached, inside, base.censored_rank(self.eta_max, margin, tau)),
      margin=margin,
      budgets=budgets,
      degradations=degradations,
      # Failed trials only: their budgets grow.
      descents=base.descents(jnp.where(degradations < tau, degradations, jnp.nan)),
      values=bracket["values"],
      gradients=bracket["gradients"],
      history=history,
    )
