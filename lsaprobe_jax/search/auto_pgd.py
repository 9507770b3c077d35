"""A strong reference: the paper's bisection with Auto-PGD as its inner loop.

Croce and Hein, ICML 2020 (arXiv 2003.01690), algorithm 1: projected gradient ascent
whose step starts at twice the budget and halves, from the best point so far, at
checkpoints where it has not made enough progress. Slow; other searches are held to it.
Here the step may halve at two checkpoints in a row where no new best was found between
them; there, a step that was halved at the last one is left alone on that account.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax.search import norms
from lsaprobe_jax.search.base import Ascent
from lsaprobe_jax.search.bisection import Bisection

# The share of the last step in the new one, and that of steps which must gain
# (section 3).
_CARRY, _GAINING = 0.75, 0.75


def checkpoints(steps: int) -> np.ndarray:
  """Returns the steps after which the step length is reviewed (equation 3), rising."""
  percent = [0, 22]
  while percent[-1] < 100:
    percent.append(percent[-1] + max(percent[-1] - percent[-2] - 3, 6))
  at = -(-np.array(percent[1:]) * steps // 100)  # rounded up
  return np.unique(at[at <= steps])


def _reviews(steps: int) -> tuple[np.ndarray, np.ndarray]:
  """By step: whether the step length is reviewed after it, and steps since the last."""
  at = checkpoints(steps)
  window = np.zeros(steps)
  window[at - 1] = np.diff(at, prepend=0)
  return np.isin(np.arange(1, steps + 1), at), window


class _State(struct.PyTreeNode):
  delta: jax.Array
  last: jax.Array  # the point before
  value: jax.Array  # D there
  best: jax.Array
  best_delta: jax.Array
  best_gradient: jax.Array
  step: jax.Array
  gains: jax.Array  # steps since the last review that raised D
  reviewed_best: jax.Array
  reviewed_step: jax.Array
  gradients: jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoPGD(Bisection):
  """Bisection over Auto-PGD.

  The settings of the paper's ascent (`step_size`, `momentum`, `min_gain`, `patience`,
  `min_gradient`) play no part: Auto-PGD sets its own steps.
  """

  name: ClassVar[str] = "auto_pgd"

  halvings: int = 6
  ascent_steps: int = 50
  restarts: int = 1

  def _ascend(self, degradation, key, shape, eta, target) -> Ascent:
    """One ascent from a random point of the sphere of radius eta."""

    def step(state, at):
      over = state.best >= target
      climb = lambda state: self._climb(degradation, eta, state, *at)
      ahead = jax.lax.cond(over, lambda state: state, climb, state)
      return ahead, jnp.where(over, jnp.nan, ahead.value)

    start = self._start(key, shape, eta)
    each = tuple(map(jnp.asarray, _reviews(self.ascent_steps)))
    state, met = jax.lax.scan(step, start, each)
    over = state.best >= target
    low = jnp.array(-jnp.inf)
    last = jax.lax.cond(over, lambda d: low, degradation, state.delta)
    return Ascent(
      degradation=jnp.maximum(state.best, last),
      values=jnp.where(over, 0, 1),
      gradients=state.gradients,
      delta=jnp.where(last > state.best, state.delta, state.best_delta),
      history=jnp.append(met, jnp.where(over, jnp.nan, last)),
    )

  def _start(self, key, shape, eta) -> _State:
    norm = norms.get(self.norm)
    delta = eta * norm.steepest(norm.sample(key, shape))
    low, step = jnp.array(-jnp.inf), jnp.asarray(2.0 * eta, delta.dtype)
    none = jnp.zeros((), jnp.int32)
    return _State(
      delta=delta,
      last=delta,
      value=low,
      best=low,
      best_delta=delta,
      best_gradient=jnp.zeros_like(delta),
      step=step,
      gains=none,
      reviewed_best=low,
      reviewed_step=step,
      gradients=none,
    )

  def _climb(self, degradation, eta, state: _State, review, window) -> _State:
    """One step, and the review of the step length that is due after it."""
    norm = norms.get(self.norm)
    value, gradient = jax.value_and_grad(degradation)(state.delta)
    better = value > state.best
    keep = lambda new, old: jnp.where(better, new, old)
    best, best_delta = keep(value, state.best), keep(state.delta, state.best_delta)
    gains = state.gains + (value > state.value)
    # Too few gains, or a whole window without a new best at this step length.
    stuck = (best <= state.reviewed_best) & (state.step == state.reviewed_step)
    halve = review & ((gains < _GAINING * window) | stuck)
    step = jnp.where(halve, state.step / 2, state.step)
    up = lambda delta, slope: norm.project(delta + step * norm.steepest(slope), eta)
    plain = up(state.delta, gradient)
    blended = norm.project(
      state.delta
      + _CARRY * (plain - state.delta)
      + (1 - _CARRY) * (state.delta - state.last),
      eta,
    )
    return _State(
      delta=jnp.where(halve, up(best_delta, state.best_gradient), blended),
      last=jnp.where(halve, best_delta, state.delta),
      value=value,
      best=best,
      best_delta=best_delta,
      best_gradient=keep(gradient, state.best_gradient),
      step=step,
      gains=jnp.where(review, 0, gains),
      reviewed_best=jnp.where(review, best, state.reviewed_best),
      reviewed_step=jnp.where(review, step, state.reviewed_step),
      gradients=state.gradients + 1,
    )
