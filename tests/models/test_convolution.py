"""Convolutions as matrix products, against XLA's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax.models import convolution


def draw(*shape):
  return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def agree(one, other, *args):
  """Values and gradients of a random projection of what two functions return."""
  weights = draw(*one(*args).shape)
  for fn in (lambda f: f, lambda f: jax.grad(lambda *a: jnp.sum(weights * f(*a)))):
    np.testing.assert_allclose(fn(one)(*args), fn(other)(*args), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 1)])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, ((0, 1), (0, 1))])
def test_a_2d_convolution(kernel, strides, padding):
  settings = dict(features=5, kernel_size=kernel, strides=strides, padding=padding)
  ours, theirs = convolution.Conv2D(**settings), nn.Conv(**settings)
  x = draw(9, 8, 4)
  params = theirs.init(jax.random.key(0), x)
  assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(
    jnp.shape, params
  )
  agree(lambda x: ours.apply(params, x), lambda x: theirs.apply(params, x), x)


def test_on_a_cpu_no_convolution_is_left_to_xla():
  model = convolution.Conv2D(features=5, kernel_size=(3, 3), padding=1)
  params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((9, 8, 4)))
  lowered = jax.jit(model.apply).lower(params, jnp.zeros((9, 8, 4))).as_text()
  assert ("convolution" in lowered) == (jax.default_backend() != "cpu")


@pytest.mark.parametrize(("width", "rate"), [(16, 5), (16, 4), (8, 2), (4, 4), (3, 3)])
def test_a_transposed_convolution(width, rate):
  ours = convolution.TransposedConv(features=5, width=width, rate=rate)
  x = draw(7, 4)
  params = ours.init(jax.random.key(0), x)
  params = jax.tree.map(lambda p: draw(*p.shape), params)
  # PyTorch's padding p of a transposed convolution crops p from each end of the full
  # output, which lax states as padding of kernel - 1 - p.
  padding = width - 1 - (width - rate) // 2
  theirs = nn.ConvTranspose(
    5, (width,), (rate,), ((padding, padding),), transpose_kernel=True
  )
  agree(lambda x: ours.apply(params, x), lambda x: theirs.apply(params, x), x)
