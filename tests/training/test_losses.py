"""What each network is trained to do, on a latent model of a few hundred parameters."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_latent
import tiny_stable_audio

from lsaprobe_jax import diffusion, distances
from lsaprobe_jax.models import oobleck, registry
from lsaprobe_jax.models.trained import from_denoiser
from lsaprobe_jax.training import losses, train_state
from lsaprobe_jax.training.optimiser import make_optimiser
from lsaprobe_jax.training.settings import TrainCorpus, TrainSettings

# Neither whole frames of the vocoder nor whole latent frames, nor whole squares of 4.
RATE, SAMPLES, STEPS = tiny_latent.RATE, 1330, 20
SETTINGS = TrainSettings(
  corpus=TrainCorpus(path="x", groups=("a",), clip_seconds=SAMPLES / RATE),
  model={},
  epochs=STEPS,
  learning_rate=5e-3,
  final_learning_rate=2e-3,
  warmup_steps=2,
)


@pytest.fixture(scope="module")
def audio():
  time = np.arange(SAMPLES) / RATE
  tones = [np.sin(2 * np.pi * f * time) for f in (200, 450, 1000)]
  return 0.25 * np.asarray(tones, np.float32)


@pytest.fixture(scope="module")
def model():
  config = tiny_latent.config()
  params = registry.init_params(config, jax.random.key(0))
  return registry.build_model(config, params, num_inference_steps=1)


@pytest.fixture(scope="module")
def vae(model):
  return losses.Autoencoding(model.vae_params, model.front_end, model.autoencoder, 1e-3)


@pytest.fixture(scope="module")
def vocoder(model):
  distance = distances.get("mr_stft", sample_rate=RATE)
  return losses.Vocoding(
    model.vocoder_params, model.front_end, distance, model.voice, 1.0
  )


@pytest.fixture(scope="module")
def log_mel(vae, audio):
  return vae.examples(audio)


@jax.jit
def loss(objective, example, key):
  return objective.loss(objective.params, example, key)


def test_a_latent_denoiser_learns_the_noise_of_latents(model, audio):
  objective = losses.Denoising(model, 2, (0.5,), latent=True)
  latents = objective.examples(audio)
  encode = jax.jit(lambda model, clip: model.encode(clip))
  np.testing.assert_allclose(latents[1], encode(model, audio[1]), atol=1e-5)
  noise, t = jax.random.normal(jax.random.key(1), latents[0].shape), 500
  signal, sigma = (getattr(model.schedule, n)[t] for n in ("signal", "noise"))
  predict = jax.jit(lambda model, x: model.predict_noise(x, t))
  predicted = predict(model, signal * latents[0] + sigma * noise)
  at = jax.jit(lambda objective, x_0, e: objective.at(objective.params, x_0, t, e))
  np.testing.assert_allclose(
    at(objective, latents[0], noise), np.mean(np.square(predicted - noise)), rtol=1e-5
  )


def test_the_vaes_loss_is_its_parts(vae, log_mel):
  key = jax.random.key(3)
  run = jax.jit(
    lambda method, x: vae.network.apply({"params": vae.params}, x, method=method),
    static_argnums=0,
  )
  moments = np.asarray(run("moments", log_mel[0][:, :, None]), np.float64)
  mean, log_variance = np.split(moments, 2, axis=-1)
  draw = np.asarray(jax.random.normal(key, mean.shape))
  sample = (mean + np.exp(log_variance / 2) * draw).astype(np.float32)
  difference = np.asarray(run("decode", sample))[..., 0] - log_mel[0]
  total = np.mean(np.abs(difference))
  for n in (2, 4):
    # Rows and columns that fill no square are left out.
    rows, columns = (side // n for side in difference.shape)
    squares = difference[: rows * n, : columns * n].reshape(rows, n, columns, n)
    total += np.mean(np.abs(squares.mean(axis=(1, 3))))
  kl = np.mean(mean**2 + np.exp(log_variance) - 1 - log_variance) / 2
  expected = total / 3 + vae.kl_weight * kl
  np.testing.assert_allclose(loss(vae, log_mel[0], key), expected, rtol=1e-4)


def test_the_vocoder_is_compared_at_the_front_ends_level(vocoder, audio):
  examples = vocoder.examples(audio)
  assert examples.shape[1] % vocoder.front_end.hop == 0
  level = vocoder.front_end.level(jnp.asarray(audio[0]))
  np.testing.assert_allclose(examples[0], level[: examples.shape[1]], atol=1e-6)
  # A perfect vocoder would have no loss.
  perfect = vocoder.replace(network=_Says(examples[0]), params={})
  key = jax.random.key(0)
  assert loss(perfect, examples[0], key) < 1e-5 < loss(vocoder, examples[0], key)


@pytest.fixture(scope="module")
def codec():
  model = tiny_stable_audio.model()
  distance = distances.get("mr_stft", sample_rate=RATE)
  network = model.autoencoder.clone(rematerialise=False)
  return losses.Coding(model.vae_params, distance, network, 1e-2)


def test_a_codecs_loss_is_its_parts(codec, audio):
  examples = codec.examples(audio)
  hop = codec.network.hop
  assert examples.shape == (len(audio), SAMPLES // hop * hop, 2)
  np.testing.assert_array_equal(examples[1, :, 0], audio[1, : examples.shape[1]])
  np.testing.assert_array_equal(examples[..., 0], examples[..., 1])
  key, example = jax.random.key(3), examples[0]
  run = lambda method, x: codec.network.apply(
    {"params": codec.params}, x, method=method
  )
  mean, deviation = (
    np.asarray(part, np.float64) for part in run("moments", jnp.asarray(example))
  )
  np.testing.assert_allclose(mean, run("encode", jnp.asarray(example)), atol=1e-6)
  sample = mean + deviation * np.asarray(jax.random.normal(key, mean.shape))
  decoded = np.asarray(run("decode", jnp.asarray(sample, jnp.float32)))
  heard = [codec.distance(example[:, i], decoded[:, i]) for i in range(2)]
  kl = np.mean(mean**2 + deviation**2 - 1 - 2 * np.log(deviation)) / 2
  expected = np.mean(heard) + np.mean(np.abs(example - decoded)) + 1e-2 * kl
  np.testing.assert_allclose(loss(codec, example, key), expected, rtol=1e-4)


def test_a_codecs_latents_are_scaled_and_its_sound_is_not(codec, audio):
  examples = codec.examples(audio)
  spread = codec.spread(codec.params, examples)
  scaled = oobleck.scaled(codec.params, 1 / spread)
  run = jax.jit(
    lambda params, method, x: codec.network.apply({"params": params}, x, method=method),
    static_argnums=1,
  )
  modes = [run(codec.params, "encode", one) for one in examples]
  np.testing.assert_allclose(spread, np.std(modes), rtol=1e-4)
  again = [run(scaled, "encode", one) for one in examples]
  np.testing.assert_allclose(np.std(again), 1, rtol=1e-4)
  np.testing.assert_allclose(
    run(scaled, "decode", again[0]), run(codec.params, "decode", modes[0]), atol=1e-3
  )
  deviations = [run(p, "moments", examples[0])[1] for p in (codec.params, scaled)]
  np.testing.assert_allclose(*deviations, rtol=1e-6)


class _Says:
  """A vocoder that knows the answer."""

  def __init__(self, audio):
    self._audio = audio

  def apply(self, params, log_mel):
    del params, log_mel
    return jnp.asarray(self._audio)


@pytest.mark.parametrize("name", ["vae", "vocoder", "codec"])
def test_training_lowers_the_loss(request, audio, name):
  objective = request.getfixturevalue(name)
  examples = objective.examples(audio)
  optimiser = make_optimiser(SETTINGS, STEPS)
  state = train_state.TrainState.create(objective.params, optimiser)
  step = train_state.make_step(objective, optimiser, 0.5)
  eval_loss = train_state.make_eval_loss(objective)
  before = eval_loss(objective.params, examples)
  mask = np.ones(len(examples), np.float32)
  for count in range(STEPS):
    key = jax.random.fold_in(jax.random.key(0), count)
    state, figures = step(state, examples, mask, key, np.float32(count))
    chex.assert_tree_all_finite(figures)
  chex.assert_tree_all_finite(state)
  after = eval_loss(state.ema, examples)
  assert before.shape == after.shape == (len(examples), 1)
  assert np.all(after < before)


def test_the_spread_of_latents_is_their_standard_deviation(vae, log_mel):
  encode = jax.jit(
    lambda x: vae.network.apply({"params": vae.params}, x, method="encode")
  )
  modes = [encode(one[:, :, None]) for one in log_mel]
  np.testing.assert_allclose(vae.spread(vae.params, log_mel), np.std(modes), rtol=1e-4)


def test_many_examples_lie_in_a_file(vae, audio, log_mel, monkeypatch):
  monkeypatch.setattr(losses, "_MOST_BYTES", 0)
  kept = vae.examples(audio)
  assert isinstance(kept, np.memmap)
  np.testing.assert_array_equal(kept, log_mel)


def test_a_waveform_denoiser_leaves_clips_where_they_are():
  """Records are read when a batch asks for them (`data.records`)."""
  unread = object()
  assert losses.Denoising(None, 2, (0.5,)).examples(unread) is unread


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
def test_a_network_is_trained_on_what_it_predicts(kind):
  schedule = {
    "epsilon": diffusion.linear(20, 1e-4, 0.1),
    "v_prediction": diffusion.Schedule.from_path(diffusion.TRIGONOMETRIC, 20),
    "flow": diffusion.Schedule.from_path(diffusion.RECTIFIED_FLOW, 20),
  }[kind]
  x_0, noise = np.random.default_rng(0).normal(size=(2, 32)).astype(np.float32)
  a, s = float(schedule.signal[7]), float(schedule.noise[7])
  wanted = {"epsilon": noise, "v_prediction": a * noise - s * x_0, "flow": noise - x_0}
  trained = from_denoiser(
    lambda params, x, t: params, schedule, sample_rate=8000, params=wanted[kind]
  )
  objective = losses.Denoising(trained.model, 2, (0.5,))
  np.testing.assert_allclose(objective.at(wanted[kind], x_0, 7, noise), 0, atol=1e-10)
  off = objective.at(wanted[kind] + 0.5, x_0, 7, noise)
  np.testing.assert_allclose(off, 0.25, rtol=1e-5)
