"""The continuation against its formula, step by step in plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax.search import norms
from lsaprobe_jax.search.continuation import Continuation

WEIGHTS = np.array([4.0, 1.0, 0.25, 0.04, 0.01])
KEY = jax.random.key(3)


def naive(search, start):
  """Largest D at each budget: normalised gradients, momentum, one step at a time."""
  unit = lambda x: x / np.sqrt(np.mean(x**2))
  budgets = search.eta_max * np.geomspace(1 / search.span, 1, search.rungs)
  met = [[] for _ in budgets]
  direction, momentum = unit(start), np.zeros_like(start)
  for rung, eta in enumerate(budgets):
    for _ in range(search.steps + search.warmup * (rung == 0)):
      delta = eta * direction
      met[rung].append(np.sum(WEIGHTS * delta**2))
      momentum = search.momentum * momentum + unit(2 * WEIGHTS * delta)
      direction = unit(momentum)
  met[-1].append(np.sum(WEIGHTS * (budgets[-1] * direction) ** 2))
  return budgets, [max(values) for values in met]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_ladder_is_climbed_by_its_formula(momentum):
  search = Continuation(rungs=4, steps=2, warmup=1, momentum=momentum)
  curve = search.curve(lambda delta: jnp.sum(WEIGHTS * delta**2), KEY, WEIGHTS.shape)
  (key,) = jax.random.split(KEY, 1)
  start = norms.get("rms").sample(key, WEIGHTS.shape)
  budgets, expected = naive(search, np.asarray(start, float))
  np.testing.assert_allclose(curve.budgets, budgets, rtol=1e-6)
  np.testing.assert_allclose(curve.degradations, expected, rtol=1e-4)
