"""Degradations on which a search could go wrong without a word."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear import SAMPLES

from lsaprobe_jax import search
from lsaprobe_jax.search.bisection import Bisection

KEY = jax.random.key(0)
TAU = np.float32(0.02)


@pytest.mark.parametrize("name", ["continuation", "bisection", "auto_pgd"])
def test_a_gradient_that_is_no_number_is_seen(name):
  """As of jnp.where(x > 0, jnp.sqrt(x), 0) at 0: every value of it is finite."""
  broken = lambda delta: (
    jnp.mean(delta**2) + 0 * jnp.where(delta[0] > 1e9, jnp.sqrt(delta[0] - 1e9), 0.0)
  )
  assert np.isfinite(broken(jnp.ones(SAMPLES)))
  assert np.isnan(jax.grad(broken)(jnp.ones(SAMPLES))).any()
  found = jax.jit(
    lambda key: search.get(name, eta_max=0.8)(broken, key, (SAMPLES,), TAU)
  )(KEY)
  assert np.isnan(found.rank) or np.isnan(found.degradations).any()


@pytest.mark.parametrize("samples", [16, 4096])
def test_when_an_ascent_is_flat_does_not_depend_on_the_length(samples):
  # The slope of D = 1e-3 rms(delta)^2 is 2e-3 eta, and the gradient's own size falls
  # with the clip's length.
  degradation = lambda delta: 1e-3 * jnp.mean(delta**2)
  steps = {}
  for least in (1e-6, 1e-3):
    found_by = Bisection(eta_max=0.1, min_gradient=least, min_gain=-jnp.inf)
    run = jax.jit(found_by.worst, static_argnums=(0, 2))
    found = run(degradation, KEY, (samples,), 0.1, jnp.inf)
    steps[least] = int(found.gradients) / found_by.restarts
  assert steps == {1e-6: found_by.ascent_steps, 1e-3: 1}
