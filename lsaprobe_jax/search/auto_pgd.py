"""A strong reference: the paper's bisection with Auto-PGD as its inner loop.

Croce and Hein, ICML 2020 (arXiv 2003.01690), algorithm 1: projected gradient ascent
whose step starts at twice the budget and halves, from the best point so far, at
checkpoints where it has not made enough progress. Slow; other searches are held to it.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax.search import norms
from lsaprobe_jax.search.bisection import Bisection
from lsaprobe_jax.search.results import Ascent

# Of the last step in the new one, and the share of steps that must gain (section 3).
_CARRY, _GAINING = 0.75, 0.75


def checkpoints(steps: int) -> np.ndarray:
  """Steps after which the step length is reviewed (equation 3)."""
  percent = [0, 22]
  while percent[-1] < 100:
    percent.append(percent[-1] + max(percent[-1] - percent[-2] - 3, 6))
  at = -(-np.array(percent[1:]) * steps // 100)  # rounded up
  return np.unique(at[at <= steps])


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoPGD(Bisection):
  """Bisection over Auto-PGD; `step_size`, `momentum` and patience play no part."""

  halvings: int = 6
  ascent_steps: int = 50
  restarts: int = 1

  def _ascend(self, damage, key, shape, eta, target) -> Ascent:
    """One ascent from a random point of the sphere of radius eta."""
    norm = norms.get(self.norm)
    at = checkpoints(self.ascent_steps)
    review = np.isin(np.arange(1, self.ascent_steps + 1), at)
    window = np.zeros(self.ascent_steps)
    window[at - 1] = np.diff(at, prepend=0)

    def climb(state, review, window):
      delta, step = state["delta"], state["step"]
      value, gradient = jax.value_and_grad(damage)(delta)
      better = value > state["best"]
      keep = lambda new, old: jnp.where(better, new, old)
      best, best_delta = keep(value, state["best"]), keep(delta, state["best_delta"])
      gains = state["gains"] + (value > state["value"])
      # Too few gains, or a whole window without a new best at this step length.
      stuck = (best <= state["reviewed_best"]) & (step == state["reviewed_step"])
      halve = review & ((gains < _GAINING * window) | stuck)
      step = jnp.where(halve, step / 2, step)
      from_best = norm.project(
        best_delta + step * norm.steepest(state["best_gradient"]), eta
      )
      plain = norm.project(delta + step * norm.steepest(gradient), eta)
      blended = norm.project(
        delta + _CARRY * (plain - delta) + (1 - _CARRY) * (delta - state["last"]), eta
      )
      return {
        "delta": jnp.where(halve, from_best, blended),
        "last": jnp.where(halve, best_delta, delta),
        "value": value,
        "best": best,
        "best_delta": best_delta,
        "best_gradient": keep(gradient, state["best_gradient"]),
        "step": step,
        "gains": jnp.where(review, 0, gains),
        "reviewed_best": jnp.where(review, best, state["reviewed_best"]),
        "reviewed_step": jnp.where(review, step, state["reviewed_step"]),
        "gradients": state["gradients"] + 1,
      }

    def step(state, at):
      over = state["best"] >= target
      ahead = jax.lax.cond(over, lambda s: s, lambda s: climb(s, *at), state)
      return ahead, jnp.where(over, jnp.nan, ahead["value"])

    delta = eta * norm.steepest(norm.sample(key, shape))
    zeros, low = jnp.zeros_like(delta), jnp.array(-jnp.inf)
    state = {
      "delta": delta,
      "last": delta,
      "value": low,
      "best": low,
      "best_delta": delta,
      "best_gradient": zeros,
      "step": jnp.asarray(2.0 * eta, delta.dtype),
      "gains": jnp.zeros((), jnp.int32),
      "reviewed_best": low,
      "reviewed_step": jnp.asarray(2.0 * eta, delta.dtype),
      "gradients": jnp.zeros((), jnp.int32),
    }
    each = (jnp.asarray(review), jnp.asarray(window))
    state, met = jax.lax.scan(step, state, each)
    over = state["best"] >= target
    last = jax.lax.cond(over, lambda d: low, damage, state["delta"])
    return Ascent(
      damage=jnp.maximum(state["best"], last),
      values=jnp.where(over, 0, 1),
      gradients=state["gradients"],
      delta=jnp.where(last > state["best"], state["delta"], state["best_delta"]),
      history=jnp.append(met, jnp.where(over, jnp.nan, last)),
    )
