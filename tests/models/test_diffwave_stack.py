"""The residual blocks as a CPU runs them, against the blocks one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax.models import convolution, registry
from lsaprobe_jax.models.diffwave.network import DiffWave

NETWORK = {"channels": 6, "layers": 5, "dilation_cycle": 4, "embedding_width": 8}


def network(**changes):
  return DiffWave(max_steps=20, **NETWORK | changes)


@pytest.fixture
def one_by_one(monkeypatch):
  """Runs a function with the blocks that accelerators run."""

  def run(fn, *args):
    with monkeypatch.context() as patch:
      # As a matrix product still: only the blocks' loop is what differs.
      patch.setattr(convolution, "dilated_conv", convolution._as_matrix_product)
      patch.setattr(convolution, "on_cpu", lambda: False)
      return jax.jit(lambda *args: fn(*args))(*args)

  return run


def parameters(module, dtype=jnp.float32):
  params = module.init(jax.random.key(0), jnp.zeros(64), jnp.int32(0))["params"]
  drawn = iter(jax.random.split(jax.random.key(1), 100))
  draw = lambda x: 0.4 * jax.random.normal(next(drawn), x.shape, dtype)
  return jax.tree.map(draw, params)


# 5 samples are fewer than the largest dilation reaches, 8.
@pytest.mark.parametrize("samples", [5, 64, 257])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_values_and_all_gradients_are_those_of_the_blocks(samples, dtype, one_by_one):
  with jax.enable_x64(dtype == jnp.float64):
    module = network()
    params = parameters(module, dtype)
    x = jax.random.normal(jax.random.key(2), (samples,), dtype)

    def loss(params, x):
      return jnp.sum(jnp.sin(module.apply({"params": params}, x, jnp.int32(7))))

    both = jax.value_and_grad(loss, argnums=(0, 1))
    found, expected = (
      jax.jit(lambda *args: both(*args))(params, x),
      one_by_one(both, params, x),
    )
    alone = jax.jit(lambda x: jax.grad(loss, argnums=1)(params, x))(x)
  assert found[0].dtype == dtype
  close = 1e-5 if dtype == jnp.float32 else 1e-12
  for mine, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
    np.testing.assert_allclose(
      mine, theirs, rtol=close, atol=close * np.max(np.abs(theirs))
    )
    assert np.any(theirs)
  np.testing.assert_allclose(alone, expected[1][1], rtol=10 * close, atol=10 * close)


def test_a_gradient_of_a_gradient(one_by_one):
  module = network()
  params, x = parameters(module), jax.random.normal(jax.random.key(2), (64,))
  value = lambda x: jnp.sum(module.apply({"params": params}, x, jnp.int32(7)) ** 2)
  norm = lambda x: jnp.sum(jax.grad(value)(x) ** 2)
  found = jax.jit(jax.grad(lambda x: norm(x)))(x)
  expected = one_by_one(jax.grad(norm), x)
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.max(expected))


def test_a_batch_by_vmap():
  module = network()
  params, xs = parameters(module), jax.random.normal(jax.random.key(2), (3, 64))
  run = lambda x: module.apply({"params": params}, x, jnp.int32(7))
  np.testing.assert_allclose(
    jax.vmap(run)(xs), jnp.stack([run(x) for x in xs]), rtol=1e-5, atol=1e-5
  )


def test_the_embedded_models_program_has_one_body_for_all_layers():
  config = {
    "family": "diffwave",
    "network": NETWORK | {"layers": 12},
    "schedule": {
      "name": "linear", "num_train_timesteps": 20, "beta_start": 1e-3, "beta_end": 0.2
    },
    "sample_rate": 8000,
    "scale": 1.0,
  }  # fmt: skip
  params = registry.random_params(config, jax.random.key(0))
  model = registry.build_model(config, params, 1)
  text = jax.jit(model.predict_noise).lower(jnp.zeros(256), 3).as_text()
  # Two products in the loop's body; not two for each of twelve layers.
  assert text.count("stablehlo.dot_general") < 12
