"""Resampling against SciPy, soxr and sines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import soxr
from test_distances import AUDIO, RATE

from lsaprobe_jax.distances import resample

RATES = [(8000, 22050), (16000, 22050), (22050, 16000), (44100, 22050), (16000, 8000)]


def decibels(error, signal):
  return 10 * np.log10(np.mean(error**2) / np.mean(signal**2))


@pytest.mark.parametrize(("source", "target"), RATES)
def test_is_the_polyphase_filter_of_scipy(source, target):
  """The same prototype, run by `resample_poly`: equal to float32 rounding."""
  resampler = resample.Resampler.create(source, target)
  up, down = resampler.up, resampler.down
  # The prototype, read off the response to an impulse in each phase.
  reach = (resampler.matrix.shape[0] - down) // 2
  taps = np.zeros(2 * reach * up + 2 * up + 1)
  center = reach * up + up
  inputs = np.arange(resampler.matrix.shape[0]) - reach
  lag = np.arange(up)[None] * down - inputs[:, None] * up
  near = np.abs(lag) <= center
  taps[center + lag[near]] = np.asarray(resampler.matrix)[near]
  divisor = np.gcd(source, target)
  step = (target // divisor, source // divisor)
  taps = taps[center % (up // step[0]) :: up // step[0]]
  audio = AUDIO[0, 0, :3000]
  expected = scipy.signal.resample_poly(audio, *step, window=taps / step[0])
  ours = resampler(audio)
  assert ours.shape == expected.shape
  np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize(("source", "target"), RATES)
def test_is_soxr_on_music_below_the_transition_band(source, target):
  """Filters differ near the lower Nyquist frequency, so the music ends at 85% of it."""
  audio = soxr.resample(AUDIO[0, 0], RATE, source, quality="VHQ")
  cutoff = 0.8 * min(source, target)
  taps = scipy.signal.firwin(401, cutoff, fs=2 * source, window=("kaiser", 9.0))
  audio = np.convolve(audio, taps, "same").astype(np.float32)
  expected = soxr.resample(audio, source, target, quality="VHQ")
  ours = np.asarray(resample.resample(audio, source, target))
  inner = slice(300, min(len(ours), len(expected)) - 300)
  error = ours[inner] - expected[inner]
  assert decibels(error, expected[inner]) < -75


@pytest.mark.parametrize(("source", "target"), RATES)
def test_sines_pass_and_aliases_do_not(source, target):
  time = np.arange(4000) / source
  nyquist = min(source, target) / 2
  inner = slice(400, -400)
  for share in (0.05, 0.5, 0.85):
    tone = np.sin(2 * np.pi * share * nyquist * time).astype(np.float32)
    ours = np.asarray(resample.resample(tone, source, target))
    expected = np.sin(2 * np.pi * share * nyquist * np.arange(len(ours)) / target)
    assert decibels((ours - expected)[inner], expected[inner]) < -75
  if target < source:
    tone = np.sin(2 * np.pi * 1.02 * nyquist * time).astype(np.float32)
    ours = np.asarray(resample.resample(tone, source, target))
    assert decibels(ours[inner], tone) < -75


def test_lengths_constants_and_gradients():
  resampler = resample.Resampler.create(8000, 22050)
  for samples in (1, 100, 4096, 4097):
    shape = jax.eval_shape(resampler, jnp.ones(samples)).shape
    assert shape == (-(-samples * 441 // 160),)
  ours = resampler(jnp.ones(4097))
  np.testing.assert_allclose(ours[200:-200], 1, atol=1e-5)
  audio = jnp.asarray(AUDIO[0, 0, :500])
  assert resample.resample(audio, 8000, 8000) is audio
  # Linear: the gradient of <c, R x> is the transpose, whatever x.
  cotangent = jnp.asarray(AUDIO[1, 0, :1379])
  grad = jax.grad(lambda x: jnp.vdot(cotangent, resampler(x)))(jnp.zeros(500))
  np.testing.assert_allclose(
    jnp.vdot(grad, audio), jnp.vdot(cotangent, resampler(audio)), rtol=1e-4
  )


def test_rates_without_a_usable_ratio_are_errors():
  for rates in ((22051, 22050), (0, 8000), (8000, 22050.5)):
    with pytest.raises(ValueError, match="resampl"):
      resample.Resampler.create(*rates)
