"""What each network is trained to do, on a tiny MusicLDM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_musicldm
from ml_collections import ConfigDict

from lsaprobe_jax import distances
from lsaprobe_jax.models import registry
from lsaprobe_jax.training import losses, train_state

SAMPLES, STEPS = 4000, 60
SETTINGS = ConfigDict(
  dict(learning_rate=2e-3, final_learning_rate=1e-3, warmup_steps=5, max_grad_norm=1.0)
)


@pytest.fixture(scope="module")
def audio():
  time = np.arange(SAMPLES) / 16000
  tones = [np.sin(2 * np.pi * f * time) for f in (200, 450, 1000)]
  return 0.25 * np.asarray(tones, np.float32)


@pytest.fixture(scope="module")
def generator():
  _, model = tiny_musicldm.params()
  params = registry.init_params(model, jax.random.key(0))
  return registry.build_model(model, params, num_inference_steps=1)


@pytest.fixture(scope="module")
def vae(generator):
  return losses.Autoencoding(
    generator.vae_params, generator.front_end, generator.autoencoder, 1e-3
  )


@pytest.fixture(scope="module")
def vocoder(generator):
  distance = distances.get("mr_stft", sample_rate=16000)
  return losses.Vocoding(
    generator.vocoder_params, generator.front_end, distance, generator.voice, 1.0
  )


def test_a_latent_denoiser_learns_the_noise_of_latents(generator, audio):
  objective = losses.Denoising(generator, 2, (0.5,), latent=True)
  latents = objective.examples(audio)
  np.testing.assert_allclose(latents[1], generator.encode(audio[1]), atol=1e-5)
  noise = jax.random.normal(jax.random.key(1), latents[0].shape)
  t = 500
  signal, sigma = (getattr(generator.schedule, n)[t] for n in ("signal", "noise"))
  predicted = generator.predict_noise(signal * latents[0] + sigma * noise, t)
  np.testing.assert_allclose(
    objective.at(objective.params, latents[0], t, noise),
    np.mean(np.square(predicted - noise)),
    rtol=1e-5,
  )


def test_the_vaes_loss_is_its_parts(vae, audio):
  log_mel = vae.examples(audio)[0]
  key = jax.random.key(3)
  run = lambda method, x: vae.network.apply({"params": vae.params}, x, method=method)
  moments = np.asarray(run("moments", log_mel[:, :, None]), np.float64)
  mean, log_variance = np.split(moments, 2, axis=-1)
  draw = np.asarray(jax.random.normal(key, mean.shape))
  sample = (mean + np.exp(log_variance / 2) * draw).astype(np.float32)
  difference = np.asarray(run("decode", sample))[..., 0] - log_mel
  total = np.mean(np.abs(difference))
  for n in (2, 4):
    # Rows and columns that fill no square are left out.
    rows, columns = (side // n for side in difference.shape)
    squares = difference[: rows * n, : columns * n].reshape(rows, n, columns, n)
    total += np.mean(np.abs(squares.mean(axis=(1, 3))))
  kl = np.mean(mean**2 + np.exp(log_variance) - 1 - log_variance) / 2
  expected = total / 3 + vae.kl_weight * kl
  np.testing.assert_allclose(vae.loss(vae.params, log_mel, key), expected, rtol=1e-4)


def test_the_vocoder_is_compared_at_the_front_ends_level(vocoder, audio):
  examples = vocoder.examples(audio)
  assert examples.shape[1] % vocoder.front_end.hop == 0
  level = vocoder.front_end.level(jnp.asarray(audio[0]))
  np.testing.assert_allclose(examples[0], level[: examples.shape[1]], atol=1e-6)
  # A perfect vocoder would have no loss.
  voiced = lambda network: losses.Vocoding(
    vocoder.params, vocoder.front_end, vocoder.distance, network, 1.0
  )
  perfect = voiced(_Says(examples[0]))
  key = jax.random.key(0)
  assert (
    perfect.loss({}, examples[0], key)
    < 1e-5
    < vocoder.loss(vocoder.params, examples[0], key)
  )


class _Says:
  """A vocoder that knows the answer."""

  def __init__(self, audio):
    self._audio = audio

  def apply(self, params, log_mel):
    del params, log_mel
    return jnp.asarray(self._audio)


@pytest.mark.parametrize("name", ["vae", "vocoder"])
def test_training_lowers_the_loss(request, audio, name):
  objective = request.getfixturevalue(name)
  examples = objective.examples(audio)
  optimizer = train_state.make_optimizer(SETTINGS, STEPS)
  params = objective.params
  state = train_state.TrainState(
    params=params, ema=params, opt_state=optimizer.init(params)
  )
  step = train_state.make_step(objective, optimizer, 0.9)
  held = train_state.make_eval_loss(objective)
  before = held(params, examples)
  mask = np.ones(len(examples), np.float32)
  for count in range(STEPS):
    key = jax.random.fold_in(jax.random.key(0), count)
    state, figures = step(state, examples, mask, key, np.float32(count))
    assert np.isfinite(figures["grad_norm"])
  after = held(state.ema, examples)
  assert before.shape == after.shape == (len(examples), 1)
  assert np.all(after < before)


def test_the_spread_of_latents_is_their_standard_deviation(vae, audio):
  log_mel = vae.examples(audio)
  modes = [
    vae.network.apply({"params": vae.params}, one[:, :, None], method="encode")
    for one in log_mel
  ]
  np.testing.assert_allclose(vae.spread(vae.params, log_mel), np.std(modes), rtol=1e-4)


def test_many_examples_lie_in_a_file(vae, audio, monkeypatch):
  expected = vae.examples(audio)
  monkeypatch.setattr(losses, "_MOST_BYTES", 0)
  kept = vae.examples(audio)
  assert isinstance(kept, np.memmap)
  np.testing.assert_array_equal(kept, expected)


def test_a_waveform_denoiser_leaves_clips_where_they_are():
  """Records are read when a batch asks for them (`data.records`)."""
  unread = object()
  assert losses.Denoising(None, 2, (0.5,)).examples(unread) is unread
