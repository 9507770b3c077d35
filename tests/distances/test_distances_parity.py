"""Distances live against the PyTorch originals, on real music."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_distances import AUDIO, RATE, skip_without_cdpam

from lsaprobe_jax import distances

pytestmark = pytest.mark.parity


@pytest.fixture(autouse=True)
def highest_precision():
  with jax.default_matmul_precision("highest"):
    yield


@pytest.fixture(scope="module")
def originals():
  pytest.importorskip("torch")
  pytest.importorskip("auraloss")
  import distance_originals

  return distance_originals


def relative(ours, theirs):
  return np.linalg.norm(np.asarray(ours) - theirs) / np.linalg.norm(theirs)


def pairs(samples, levels=(1e-4, 1e-2, 1e-1)):
  """Degraded copies of both tracks, and copies with noise at several levels."""
  random = np.random.default_rng(0)
  for clean, worse in AUDIO[:, :, :samples]:
    yield clean, worse
    for level in levels:
      noise = level * random.standard_normal(samples)
      yield clean, (clean + noise).astype(np.float32)


@jax.jit
def value_and_grad(distance, reference, estimate):
  """By the estimate, in float64 where JAX has that enabled."""
  dtype = jnp.zeros(()).dtype
  reference, estimate = reference.astype(dtype), estimate.astype(dtype)
  return jax.value_and_grad(type(distance).__call__, 2)(distance, reference, estimate)


@pytest.mark.parametrize("samples", [2048, 8192])
def test_mr_stft(originals, samples):
  """Gradients in float64: float32 leaves signs near zero to rounding."""
  torch = pytest.importorskip("torch")
  distance = distances.get("mr_stft", sample_rate=RATE)
  theirs = originals.mr_stft()
  for pair in pairs(samples):
    value, _ = value_and_grad(distance, *pair)
    rounded, _ = originals.value_and_grad(theirs, *pair)
    expected, expected_grad = originals.value_and_grad(
      theirs, *pair, dtype=torch.float64
    )
    if np.abs(pair[0] - pair[1]).max() > 1e-3:
      assert value == pytest.approx(rounded, rel=1e-5)
    # PyTorch's own float32 is off by 7e-5 of fainter noise on some processors.
    assert abs(value - expected) <= 1e-5 * expected + abs(rounded - expected)
    with jax.enable_x64(True):
      value, grad = value_and_grad(distance, *pair)
    assert grad.dtype == np.float64
    assert value == pytest.approx(expected, rel=1e-6)
    assert relative(grad, expected_grad) < 1e-6


def test_mr_stft_at_silence_and_coincidence(originals):
  """Against float64, as PyTorch's float32 norm is off by 3e-5 at silence."""
  torch = pytest.importorskip("torch")
  distance = distances.get("mr_stft", sample_rate=RATE)
  clean, silence = AUDIO[0, 0], np.zeros_like(AUDIO[0, 0])
  for pair in ((silence, clean), (clean, silence), (clean, clean)):
    expected, _ = originals.value_and_grad(
      originals.mr_stft(), *pair, dtype=torch.float64
    )
    value, _ = value_and_grad(distance, *pair)
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rate", [8000, 22050])
def test_log_mel(originals, rate):
  distance = distances.get("log_mel", sample_rate=rate)
  theirs = originals.log_mel(rate)
  for pair in pairs(4096, levels=(1e-2, 1e-1)):
    value, grad = value_and_grad(distance, *pair)
    expected, expected_grad = originals.value_and_grad(theirs, *pair)
    assert value == pytest.approx(expected, rel=1e-5)
    assert relative(grad, expected_grad) < 1e-4


@pytest.fixture(scope="module")
def cdpam_original(originals):
  skip_without_cdpam()
  return originals.cdpam()


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_cdpam_in_float32(originals, cdpam_original, backend):
  """Values closely; gradients closely where no sign is left to rounding.

  1e-6 is the resolution of values, as the embeddings have unit length. A leaky ReLU
  whose input is zero to rounding, one in a million, may fall to either side: the
  gradient is then off by about 1e-3, in PyTorch's float32 against its float64 too.
  """
  distance = distances.get("cdpam", sample_rate=RATE, backend=backend)
  errors = []
  for pair in pairs(2048):
    value, grad = value_and_grad(distance, *pair)
    expected, expected_grad = originals.value_and_grad(cdpam_original, *pair)
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-6)
    errors.append(relative(grad, expected_grad))
  assert min(errors) < 1e-5
  assert max(errors) < 1e-2


def test_cdpam_in_float64(originals, cdpam_original):
  """Value and gradient beyond doubt: nothing is left to rounding."""
  torch = pytest.importorskip("torch")
  with jax.enable_x64(True):
    distance = distances.get("cdpam", sample_rate=RATE, backend="cpu")
    for pair in pairs(2048, levels=(1e-2,)):
      value, grad = value_and_grad(distance, *pair)
      expected, expected_grad = originals.value_and_grad(
        cdpam_original, *pair, dtype=torch.float64
      )
      assert grad.dtype == np.float64
      assert value == pytest.approx(expected, rel=1e-9)
      assert relative(grad, expected_grad) < 1e-8
