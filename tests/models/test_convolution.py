"""Convolutions as they are written for a CPU, against XLA's own."""

import re

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


# The second kernel is far larger than its image.
@pytest.mark.parametrize(("shape", "features"), [((9, 8, 4), 5), ((3, 4, 16), 50)])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 1)])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, ((0, 1), (0, 1))])
def test_a_2d_convolution(kernel, strides, padding, shape, features):
  settings = dict(features=features, kernel_size=kernel)
  settings |= dict(strides=strides, padding=padding)
  ours, theirs = convolution.Conv2D(**settings), nn.Conv(**settings)
  x = draw(*shape)
  params = theirs.init(jax.random.key(0), x)
  assert jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x)) == jax.tree.map(
    jnp.shape, params
  )
  agree(lambda x: ours.apply(params, x), lambda x: theirs.apply(params, x), x)

  def of_kernel(conv):
    return lambda kernel: conv.apply(
      {"params": params["params"] | {"kernel": kernel}}, x
    )

  agree(of_kernel(ours), of_kernel(theirs), params["params"]["kernel"])


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="CPU programs")
@pytest.mark.parametrize(
  ("strides", "shape", "many"),
  [(1, (9, 8, 4), 2), (2, (9, 8, 4), 0), (1, (3, 3, 36), 0)],
  ids=["fast order", "strided", "large kernel"],
)
def test_in_a_loop_a_cpu_has_only_convolutions_in_its_fast_order(strides, shape, many):
  features = shape[-1]
  model = convolution.Conv2D(features, kernel_size=(3, 3), padding=1, strides=strides)
  x = draw(*shape)
  params = model.init(jax.random.key(0), x)

  def climb(params, x):
    def step(x, _):
      value, gradient = jax.value_and_grad(
        lambda x: jnp.sum(jnp.square(model.apply(params, x)))
      )(x)
      return gradient, value

    return jax.lax.scan(step, x, length=3)

  text = jax.jit(climb).lower(params, x).compile().as_text()
  found = re.findall(r" convolution\(.*?window=\{(.*?)\}, dim_labels=(\S+?)[,\s]", text)
  assert len(found) == many
  for window, labels in found:
    assert labels == "b01f_01io->b01f"
    assert not any(word in window for word in ("dilate", "rev"))


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
