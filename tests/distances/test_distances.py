"""What every distance promises, and goldens from the originals on real music."""

import functools
import importlib.metadata
import os
import pathlib

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from lsaprobe_jax import distances
from lsaprobe_jax.distances import cdpam
from lsaprobe_jax.errors import ArgumentError, SettingError

GOLDENS = np.load(pathlib.Path(__file__).with_name("goldens.npz"))
RATE = int(GOLDENS["sample_rate"])
AUDIO = GOLDENS["audio"].astype(np.float32) / 32768  # [track, clean and worse, samples]
NAMES = ("waveform", "mr_stft", "log_mel", "cdpam")
SAMPLES = 4096  # as the goldens; one length, as CDPAM takes seconds to compile


@functools.cache
def load(name):
  if name == "cdpam":
    skip_without_cdpam()
  return distances.get(name, sample_rate=RATE)


@pytest.fixture(params=NAMES)
def distance(request):
  return load(request.param)


def skip_without_cdpam():
  try:
    importlib.metadata.distribution("cdpam")
  except importlib.metadata.PackageNotFoundError:
    if cdpam.WEIGHTS_VARIABLE not in os.environ and "CI" not in os.environ:
      pytest.skip("CDPAM's weights are missing: pip install --no-deps cdpam==0.0.6")


@jax.jit
def value_and_grad(distance, reference, estimate):
  return jax.value_and_grad(distance.__call__, argnums=1)(reference, estimate)


@jax.jit
def batched(distance, reference, estimate):
  return jax.vmap(distance)(reference, estimate)


def test_values_gradients_and_batches(distance):
  clean, worse = AUDIO[0, :, :SAMPLES]
  silence = np.zeros(SAMPLES, np.float32)
  pairs = [(clean, clean), (silence, silence), (silence, clean), (clean, silence)]
  for reference, estimate in [*pairs, (clean, worse), (worse, clean)]:
    value, grad = value_and_grad(distance, reference, estimate)
    assert value.shape == ()
    assert value.dtype == grad.dtype == jnp.float32
    assert np.isfinite(value)
    assert np.isfinite(grad).all()
    if reference is estimate:
      assert abs(value) < 1e-6
    else:
      assert value > 0
      assert np.abs(grad).max() > 0 or not estimate.any()
  values = batched(distance, np.stack([clean, worse]), np.stack([worse, worse]))
  expected, _ = value_and_grad(distance, clean, worse)
  np.testing.assert_allclose(values, [expected, 0], rtol=1e-4, atol=1e-5)


def test_gradient_points_uphill(distance):
  clean, worse = AUDIO[0, :, :SAMPLES]
  value, grad = value_and_grad(distance, clean, worse)
  step = 1e-3 * grad / jnp.linalg.norm(grad)
  above, _ = value_and_grad(distance, clean, worse + step)
  below, _ = value_and_grad(distance, clean, worse - step)
  assert below < value < above


@pytest.mark.parametrize("name", ["mr_stft", "log_mel", "cdpam"])
def test_goldens(name):
  """The originals' values and gradients.

  The gradients of CDPAM and MR-STFT jump where an activation or a difference of
  logarithms changes sign, and rounding decides the signs of those near zero: PyTorch's
  own float32 gradients are up to 3e-3 from its float64 ones. The parity tests compare
  float64 with float64, and closely.
  """
  audio = AUDIO[:, :, :SAMPLES]
  tracks = zip(audio, GOLDENS[name], GOLDENS[name + "_grad"], strict=True)
  for (clean, worse), expected, expected_grad in tracks:
    value, grad = value_and_grad(load(name), clean, worse)
    error = np.linalg.norm(grad[::16] - expected_grad) / np.linalg.norm(expected_grad)
    assert value == pytest.approx(expected, rel=1e-4 if name == "cdpam" else 1e-5)
    assert error < (1e-3 if name == "log_mel" else 1e-2)


@pytest.mark.parametrize("rate", [8000, 22050])
def test_log_mel_is_librosas(rate):
  audio = AUDIO[1, 0]
  mel = librosa.feature.melspectrogram(
    y=audio, sr=rate, n_fft=1024, hop_length=256, n_mels=80, power=1.0,
    pad_mode="reflect",
  )  # fmt: skip
  expected = np.log(np.maximum(mel.T, 1e-5))
  embed = jax.jit(distances.LogMel.embed)
  ours = embed(distances.get("log_mel", sample_rate=rate), audio)
  np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_waveform_is_the_mean_squared_error():
  clean, worse = AUDIO[0]
  expected = np.mean((clean - worse).astype(np.float64) ** 2)
  value = distances.get("waveform", sample_rate=8000)(clean, worse)
  assert value == pytest.approx(expected, rel=1e-5)


def test_mr_stft_ignores_an_examples_neighbours():
  """Spectral convergence pools nothing over a batch, however loud the neighbour."""
  clean, worse = AUDIO[:, :, :SAMPLES].swapaxes(0, 1)
  gain = np.array([[1e-3], [1.0]], np.float32)
  together = batched(load("mr_stft"), clean * gain, worse * gain)
  for value, c, w, g in zip(together, clean, worse, gain, strict=True):
    alone, _ = value_and_grad(load("mr_stft"), c * g, w * g)
    assert value == pytest.approx(float(alone), rel=1e-5)


def test_resolutions_are_options():
  options = {"fft_sizes": (256,), "hops": (64,), "widths": (200,)}
  distance = distances.get("mr_stft", sample_rate=RATE, **options)
  ((magnitude, _),) = jax.eval_shape(distance.embed, AUDIO[0, 0, :500])
  assert magnitude.shape == (8, 129)
  with pytest.raises(ValueError, match="exceed"):
    distances.get("mr_stft", sample_rate=RATE, **{**options, "widths": (300,)})
  with pytest.raises(ValueError, match="each resolution"):
    distances.get("mr_stft", sample_rate=RATE, **{**options, "hops": (64, 32)})


@pytest.mark.parametrize(("name", "samples"), [("mr_stft", 1024), ("log_mel", 512)])
def test_too_short_is_an_error(name, samples):
  distance = distances.get(name, sample_rate=RATE)
  jax.eval_shape(distance.embed, AUDIO[0, 0, : samples + 1])
  with pytest.raises(ValueError, match=f"{samples} samples are too few"):
    jax.eval_shape(distance.embed, AUDIO[0, 0, :samples])


def test_unknown_names_options_and_rates_are_errors():
  known = "distance=cdpm: known: waveform, mr_stft, log_mel, cdpam"
  with pytest.raises(SettingError, match=known):
    distances.get("cdpm", sample_rate=RATE)
  with pytest.raises(SettingError, match=r"distance=waveform: .*'loud'"):
    distances.get("waveform", sample_rate=RATE, loud=1)
  with pytest.raises(ArgumentError, match="sample_rate=0: it must be positive"):
    distances.get("waveform", sample_rate=0)


def test_a_distance_of_ones_own_passes_or_is_registered(monkeypatch):
  class Mine(distances.Waveform):
    name = "mine"

  monkeypatch.setattr(distances, "_ADDED", {})
  mine = Mine()
  assert distances.get(mine, sample_rate=RATE) is mine
  distances.register(Mine)
  assert isinstance(distances.get("mine", sample_rate=RATE), Mine)
  assert distances.names()[-1] == "mine"


@pytest.mark.parametrize(
  ("given", "match"),
  [
    (np.mean, "distance=.*: it must be a name, or a distances.Distance"),
    (distances.Waveform, "distance=type: it must be a name"),
    (distances.Waveform(), r"distance=Waveform has its options, but got \['loud'\]"),
  ],
)
def test_what_is_no_distance_is_refused(given, match):
  with pytest.raises(ArgumentError, match=match):
    distances.get(given, sample_rate=RATE, loud=1)


def test_a_class_without_a_name_of_its_own_cannot_be_registered():
  with pytest.raises(ArgumentError, match="distance=object: its class attribute"):
    distances.register(object)
  with pytest.raises(ArgumentError, match="distance=waveform is one of the library's"):
    distances.register(distances.Waveform)


def test_cdpam_without_weights_says_how_to_get_them(monkeypatch, tmp_path):
  def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)

  monkeypatch.delenv(cdpam.WEIGHTS_VARIABLE, raising=False)
  monkeypatch.setattr(importlib.metadata, "files", missing)
  with pytest.raises(SettingError, match="pip install --no-deps cdpam"):
    distances.get("cdpam", sample_rate=RATE)
  monkeypatch.setenv(cdpam.WEIGHTS_VARIABLE, str(tmp_path / "none.pth"))
  with pytest.raises(SettingError, match=r"none\.pth"):
    distances.get("cdpam", sample_rate=RATE)


def test_cdpam_rounds_as_the_original_loader_on_request():
  plain = load("cdpam")
  # The encoder's first layer alone would do: what is tested comes before it.
  head = ((jnp.eye(64), jnp.zeros(64), jnp.ones(64)),)
  short = plain.replace(encoder=plain.encoder[:1], head=head)
  rounding = short.replace(quantise=True)
  audio = AUDIO[0, 0, :SAMPLES] * 0.7
  embed = jax.jit(lambda distance, x: distance.embed(x)[0])
  expected = embed(short, np.round(audio * 32768) / 32768)
  np.testing.assert_allclose(embed(rounding, audio), expected, atol=1e-6)
  hiss = 0.4 / 32768 * np.sign(audio)  # below half a step: silence, once rounded
  silence = embed(rounding, np.zeros_like(audio))
  np.testing.assert_array_equal(embed(rounding, hiss), silence)
  assert (embed(short, hiss) != silence).any()
  gradient = jax.grad(lambda x: embed(rounding, x).sum())(audio)
  assert np.abs(gradient).max() > 0
