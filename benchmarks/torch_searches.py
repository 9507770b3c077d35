"""Searches other than the default one as plain PyTorch programs, clip by clip.

A Python loop ends where it has nothing more to do, which is why it takes one clip at a
time: in a batch it would wait for the last one. Starts are ours (`problems.samples`).
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from benchmarks.torch_search import Degradation, unit
from lsaprobe_jax import search


@dataclasses.dataclass(frozen=True)
class Found:
  """What a search of one clip found.

  Attributes:
    cost: C_adv; NaN if tau was not reached.
    gradients: how many were taken.
  """

  cost: float
  gradients: int


def _size(x: Tensor) -> float:
  return float(x.square().mean().sqrt())


def bisect(
  degradation: Degradation,
  settings: search.Bisection,
  x_t: Tensor,
  starts: Tensor,
  tau: float,
) -> Found:
  """Bisects the budget over projected gradient ascent, as `search.Bisection` does.

  Args:
    degradation: D.
    settings: of the search; its norm is `rms`.
    x_t: the noisy state, [1, ...].
    starts: random points of the unit ball, [trials, restarts, 1, ...].
    tau: the target.
  """
  x_t, starts = x_t.to(degradation.device), starts.to(degradation.device)
  clean = degradation.clean(x_t)
  low, high, gradients = 0.0, 2 * settings.eta_max, 0
  for restarts in starts:
    eta, crossed = (low + high) / 2, False
    for start in restarts:
      best, taken = _ascend(degradation, settings, x_t, clean, eta * start, eta, tau)
      gradients += taken
      crossed = best >= tau
      if crossed:
        break
    if crossed:
      high = eta
    elif eta >= settings.eta_max:
      return Found(float("nan"), gradients)
    else:
      low = eta
  return Found(high, gradients)


def _ascend(degradation, settings, x_t, clean, delta, eta, tau) -> tuple[float, int]:
  """The largest D of one ascent, and how many gradients it took."""
  momentum, before, best, stalled = torch.zeros_like(delta), 0.0, -np.inf, 0
  step = settings.step_size * eta / settings.ascent_steps
  for taken in range(1, settings.ascent_steps + 1):
    found, gradient = degradation.with_gradient(x_t, delta, clean)
    value = float(found)
    best = max(best, value)
    gain = (value - before) / max(before, 1e-12)
    stalled = stalled + 1 if gain < settings.min_gain else 0
    # D's slope by unit of budget, which is the root mean square of delta.
    slope = float(gradient.norm()) * gradient.numel() ** 0.5
    if value >= tau or stalled >= settings.patience or slope < settings.min_gradient:
      return best, taken
    before = value
    momentum = settings.momentum * momentum + unit(gradient)
    delta = delta + step * momentum
    delta = delta * min(1.0, eta / max(_size(delta), 1e-30))
  return max(best, float(degradation.value(x_t, delta, clean))), settings.ascent_steps


def random_directions(
  degradation: Degradation,
  settings: search.RandomDirections,
  x_t: Tensor,
  directions: Tensor,
  tau: float,
) -> Found:
  """Where the mean D over directions [draws, 1, ...] reaches tau: no gradients."""
  x_t, directions = x_t.to(degradation.device), directions.to(degradation.device)
  clean = degradation.clean(x_t)
  ladder = settings.eta_max * np.geomspace(1 / settings.span, 1, settings.rungs)
  means = [
    np.mean([float(degradation.value(x_t, eta * one, clean)) for one in directions])
    for eta in ladder
  ]
  reached = np.maximum.accumulate(means) >= tau
  return Found(float(ladder[np.argmax(reached)]) if reached.any() else np.nan, 0)


# By name of the search, what runs it.
SEARCHES = {"bisection": bisect, "random_directions": random_directions}
