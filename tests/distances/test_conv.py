"""Both forms of the long convolution against a plain sum."""

import jax
import numpy as np
import pytest

from lsaprobe_jax.distances import _conv


@jax.jit
def run(layer, x):
  return layer(x)


def plain(x, taps, bias, stride):
  width, samples = taps.shape[0], x.shape[0]
  x = np.pad(x, ((width // 2, width), (0, 0)))
  y = [np.einsum("kc,kcd->d", x[n : n + width], taps) for n in range(samples)]
  return np.array(y)[::stride] + bias


@pytest.mark.parametrize("samples", [1, 18, 101])
@pytest.mark.parametrize(("stride", "width"), [(1, 15), (2, 15), (3, 5), (1, 17)])
@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_conv1d(samples, stride, width, backend):
  random = np.random.default_rng(samples)
  x = random.standard_normal((samples, 3)).astype(np.float32)
  taps = random.standard_normal((width, 3, 4))
  bias = random.standard_normal(4)
  layer = _conv.conv1d(taps, bias, stride=stride, backend=backend)
  np.testing.assert_allclose(run(layer, x), plain(x, taps, bias, stride), atol=3e-5)


def test_gradients_agree():
  random = np.random.default_rng(0)
  x = random.standard_normal((50, 3)).astype(np.float32)
  taps, bias = random.standard_normal((15, 3, 4)), np.zeros(4)
  grads = [
    jax.jit(jax.grad(lambda x, layer: (layer(x) ** 2).sum()))(
      x, _conv.conv1d(taps, bias, stride=2, backend=backend)
    )
    for backend in ("cpu", "gpu")
  ]
  np.testing.assert_allclose(*grads, rtol=1e-4, atol=1e-3)


def test_too_wide_is_an_error():
  with pytest.raises(ValueError, match="too wide"):
    _conv.conv1d(np.zeros((33, 1, 1)), np.zeros(1), backend="cpu")
