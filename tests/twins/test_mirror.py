"""Mirrors: orthogonal, undone exactly, and what they say they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import hilbert

from lsaprobe_jax import twins
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.twins import Mirror

MIRRORS = ("polarity", "phase_90", "phase_270", "reversal", "reversal_polarity")
ODD = Mirror.by_degrees(37, reverse=True)


def clip(samples: int, seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=samples).astype(np.float32)


@pytest.mark.parametrize("samples", [256, 255])
@pytest.mark.parametrize("twin", [*map(twins.get, MIRRORS), ODD])
def test_a_mirror_keeps_sizes_and_angles_and_is_undone(twin, samples):
  x, y = clip(samples), clip(samples, seed=1)
  moved = np.asarray(twin(x)), np.asarray(twin(y))
  assert np.dot(*moved) == pytest.approx(np.dot(x, y), abs=1e-4)
  assert np.linalg.norm(moved[0]) == pytest.approx(np.linalg.norm(x), rel=1e-6)
  np.testing.assert_allclose(twin.undo(twin(x)), x, atol=2e-6)
  assert np.abs(moved[0] - x).max() > 0.1


@pytest.mark.parametrize("samples", [256, 255])
def test_the_spectrum_keeps_its_magnitudes(samples):
  x = clip(samples)
  size = np.abs(np.fft.rfft(x))
  np.testing.assert_allclose(np.abs(np.fft.rfft(ODD(x))), size, rtol=1e-3, atol=1e-4)


def test_a_rotation_is_that_of_the_analytic_signal():
  # Without its constant part and that at half the rate, which have no phase.
  spectrum = np.fft.rfft(clip(256))
  spectrum[[0, -1]] = 0
  x = np.fft.irfft(spectrum).astype(np.float32)
  for degrees in (90, 270, 37):
    phi = np.deg2rad(degrees)
    wanted = np.real(hilbert(x) * np.exp(1j * phi))
    np.testing.assert_allclose(Mirror.by_degrees(degrees)(x), wanted, atol=1e-5)


def test_parts_without_a_phase_keep_their_size():
  constant = np.full(64, 0.25, np.float32)
  half_rate = np.tile([1, -1], 32).astype(np.float32)
  for x in (constant, half_rate):
    np.testing.assert_allclose(Mirror.by_degrees(90)(x), x, atol=1e-6)
    np.testing.assert_allclose(Mirror.by_degrees(180)(x), -x, atol=1e-6)


def test_polarity_reversal_and_identity_are_exact():
  x = clip(101)
  np.testing.assert_array_equal(twins.get("polarity")(x), -x)
  np.testing.assert_array_equal(twins.get("reversal")(x), x[::-1])
  np.testing.assert_array_equal(twins.get("reversal_polarity")(x), -x[::-1])
  np.testing.assert_array_equal(Mirror()(x), x)


def test_two_quarter_turns_are_a_polarity():
  x = clip(256)
  quarter = twins.get("phase_90")
  inner = np.fft.irfft(np.r_[0, np.fft.rfft(x)[1:-1], 0]).astype(np.float32)
  np.testing.assert_allclose(quarter(quarter(inner)), -inner, atol=1e-5)
  np.testing.assert_allclose(twins.get("phase_270")(quarter(inner)), inner, atol=1e-5)


def test_channels_are_swapped_and_run_along_the_first_axis():
  stereo = np.stack([clip(64), clip(64, seed=1)])
  swapped = twins.get("channel_swap")(stereo)
  np.testing.assert_array_equal(swapped, stereo[::-1])
  np.testing.assert_array_equal(twins.get("reversal")(stereo), stereo[:, ::-1])
  np.testing.assert_array_equal(twins.get("channel_swap")(stereo[0]), stereo[0])


def test_states_move_as_far_as_they_can():
  frames = clip(5 * 3 * 2).reshape(5, 3, 2)
  both = twins.get("reversal_polarity")
  np.testing.assert_array_equal(both.on_state(frames, "frames"), frames[::-1])
  np.testing.assert_array_equal(both.undo_on_state(frames[::-1], "frames"), frames)
  np.testing.assert_array_equal(both.on_state(frames, "other"), frames)
  np.testing.assert_array_equal(
    both.on_state(frames[:, 0, 0], "waveform"), both(frames[:, 0, 0])
  )


def test_gradients_are_finite():
  grad = jax.grad(lambda x: jnp.sum(jnp.square(ODD(x) - x)))(jnp.zeros(64))
  assert np.isfinite(grad).all()


@pytest.mark.parametrize("name", ["half_semitone_up", "half_semitone_down", "slower_3"])
def test_other_pitches_and_tempi_change_the_clip_and_keep_its_length(name):
  t = np.arange(16_000) / 16_000
  tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
  changed = np.asarray(jax.jit(twins.get(name))(tone))
  assert changed.shape == tone.shape
  middle = slice(4_000, 12_000)
  peak = np.argmax(np.abs(np.fft.rfft(changed[middle] * np.hanning(8_000)))) * 2
  wanted = {"half_semitone_up": 453, "half_semitone_down": 427, "slower_3": 440}[name]
  assert peak == pytest.approx(wanted, abs=3)
  size = np.std(changed[middle]) / np.std(tone[middle])
  assert size == pytest.approx(1, abs=0.1)


def test_twins_have_names_and_one_can_be_added():
  with pytest.raises(SettingError, match=r"twins.names=sideways: known: polarity"):
    twins.get("sideways")
  with pytest.raises(ArgumentError, match="the library's own"):
    twins.register("polarity", twins.kind("reversal"))
  with pytest.raises(ArgumentError, match="letters, digits and underscores"):
    twins.register("a,b", twins.kind("reversal"))
  own = twins.Kind(twin=ODD, assumes="nothing", prefers=True)
  twins.register("odd", own)
  assert twins.kind("odd") is own
  assert "odd" in twins.names()
