"""Group and layer normalisation, against Flax's."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax.models.musicldm import normalisation

SHAPE = (7, 5, 12)
EPSILON = 1e-3
LAYERS = {
  "group": (
    normalisation.GroupNorm(groups=4, epsilon=EPSILON),
    nn.GroupNorm(
      num_groups=4,
      epsilon=EPSILON,
      reduction_axes=(-3, -2, -1),
      use_fast_variance=False,
    ),
  ),
  "layer": (
    normalisation.LayerNorm(epsilon=EPSILON),
    nn.LayerNorm(epsilon=EPSILON, use_fast_variance=False),
  ),
}


def draw(*shape):
  values = np.random.default_rng(sum(shape)).standard_normal(shape)
  return (3 + 2 * values).astype(np.float32)


@pytest.mark.parametrize("kind", LAYERS)
def test_values_and_gradients_are_those_of_flax(kind):
  ours, theirs = LAYERS[kind]
  params = {"params": {"scale": draw(12), "bias": draw(12)}}
  assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), draw(*SHAPE))) == (
    jax.tree.map(jnp.shape, params)
  )
  x, weights = draw(*SHAPE), draw(*SHAPE) - 3

  def projected(layer):
    return lambda params, x: jnp.sum(weights * layer.apply(params, x))

  np.testing.assert_allclose(
    ours.apply(params, x), theirs.apply(params, x), rtol=1e-5, atol=1e-5
  )
  for one, other in zip(
    jax.tree.leaves(jax.grad(projected(ours), (0, 1))(params, x)),
    jax.tree.leaves(jax.grad(projected(theirs), (0, 1))(params, x)),
    strict=True,
  ):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", LAYERS)
def test_second_derivatives_are_those_of_flax(kind):
  ours, theirs = LAYERS[kind]
  params = {"params": {"scale": draw(12), "bias": draw(12)}}
  x, along = draw(*SHAPE), draw(*SHAPE) - 3

  def bend(layer):
    slope = jax.grad(lambda x: jnp.sum(jnp.tanh(layer.apply(params, x))))
    return jax.grad(lambda x: jnp.sum(slope(x) * along))(x)

  one, other = bend(ours), bend(theirs)
  np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


def test_a_large_mean_does_not_cancel():
  ours, theirs = LAYERS["group"]
  x = draw(*SHAPE) + 1e4
  params = ours.init(jax.random.key(0), x)
  groups = x.astype(np.float64).reshape(-1, 4, 3)
  deviation = groups - groups.mean((0, 2), keepdims=True)
  exact = deviation / np.sqrt(groups.var((0, 2), keepdims=True) + EPSILON)
  exact = exact.reshape(SHAPE)
  np.testing.assert_allclose(ours.apply(params, x), exact, atol=5e-3)
  np.testing.assert_allclose(theirs.apply(params, x), exact, atol=5e-3)


def test_half_precision_keeps_its_type_and_float32_statistics():
  ours, _ = LAYERS["group"]
  half = lambda tree: jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), tree)
  x = draw(*SHAPE) + 100
  params = ours.init(jax.random.key(0), x)
  out = ours.apply(half(params), half(x))
  assert out.dtype == jnp.bfloat16
  full = ours.apply(params, half(x).astype(np.float32))
  np.testing.assert_allclose(out.astype(np.float32), full, atol=0.05)
  gradient = jax.grad(lambda x: jnp.sum(jnp.square(ours.apply(half(params), x))))
  assert gradient(half(x)).dtype == jnp.bfloat16


def test_groups_that_do_not_divide_the_channels_are_refused():
  with pytest.raises(ValueError, match="5 groups do not divide 12 channels"):
    normalisation.GroupNorm(groups=5, epsilon=EPSILON).init(
      jax.random.key(0), draw(*SHAPE)
    )
