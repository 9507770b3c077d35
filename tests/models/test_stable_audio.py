"""Stable Audio as a model: stereo in and out, under the probe and every method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_stable_audio as tiny
import toy_corpus

from lsaprobe_jax import attacks, diffusion, distances, search, twins
from lsaprobe_jax.attacks import second_order
from lsaprobe_jax.distances import channels
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import DiffusionModel, checkpoints, registry
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.scoring.method import LSAProbe
from lsaprobe_jax.scoring.one_clip import probe_clip
from lsaprobe_jax.scoring.scores import score
from lsaprobe_jax.twins.mirrored import mirrored

SAMPLES, T = 1003, 200
KEY = jax.random.key(3)
AUDIO = 0.2 * np.random.default_rng(0).normal(size=(2, SAMPLES)).astype(np.float32)
WAVEFORM = distances.get("waveform", sample_rate=16000)
NEEDED = {
  "random_stability": {"eta": 0.2},
  "relative_degradation": {"eta": 0.2, "search": search.get("continuation", rungs=4)},
}
BAD = [
  ({"vae": {"audio_channels": 3}}, "audio_channels = 3"),
  ({"vae": {"channel_multiples": [1]}}, "the numbers of downsampling_ratios"),
  ({"vae": {"decoder_input_channels": 3}}, "its encoder_hidden_size must agree"),
  ({"transformer": {"in_channels": 8}}, "the transformer's in_channels must agree"),
  ({"transformer": {"num_key_value_attention_heads": 3}}, "a divisor of"),
  ({"transformer": {"attention_head_dim": 6}}, "a multiple of 4"),
  ({"transformer": {"num_layers": 10**6}}, "256 are the most"),
  ({"projection_model": {"conditioning_dim": 5}}, "conditioning_dim and"),
  ({"projection_model": {"max_value": 0}}, "above min_value"),
  ({"scheduler": {"_class_name": "DDIMScheduler"}}, "_class_name = 'DDIMScheduler'"),
  ({"scheduler": {"prediction_type": "epsilon"}}, "prediction_type = 'epsilon'"),
  ({"scheduler": {"sigma_data": 0.5}}, "sigma_data = 0.5"),
  (
    {"scheduler": {"_class_name": "EDMDPMSolverMultistepScheduler"}},
    "_class_name = 'E",
  ),
  ({"vae": {"downsampling_ratios": [3, 5]}}, "even numbers"),
]


@pytest.fixture(scope="module")
def model():
  return tiny.model(num_inference_steps=2).for_length(SAMPLES)


def test_it_is_a_model_in_stereo(model):
  assert isinstance(model, DiffusionModel)
  assert (model.channels, model.sample_rate) == (2, 16000)
  assert model.schedule.prediction == "v_prediction"
  x_0 = model.encode(AUDIO)
  assert x_0.shape == (-(-SAMPLES // 8), 4)
  assert model.decode(x_0).shape == AUDIO.shape
  assert model.reconstruct(x_0, T).shape == AUDIO.shape
  # One channel is taken for both.
  both = np.stack([AUDIO[0], AUDIO[0]])
  np.testing.assert_array_equal(model.encode(AUDIO[0]), model.encode(both))
  assert not np.allclose(model.encode(AUDIO), model.encode(both))


def test_one_channel_is_a_waveform():
  model = tiny.model(vae={"audio_channels": 1}).for_length(SAMPLES)
  assert model.channels == 1
  assert model.reconstruct(model.encode(AUDIO[0]), T).shape == (SAMPLES,)


def test_noise_is_what_v_implies(model):
  x_0 = model.encode(AUDIO)
  noise = jax.random.normal(KEY, x_0.shape)
  x_t = diffusion.add_noise(model.schedule, x_0, T, noise)
  v, e = model.predict(x_t, T), model.predict_noise(x_t, T)
  signal, spread = np.cos(np.pi / 2 * T / 1000), np.sin(np.pi / 2 * T / 1000)
  np.testing.assert_allclose(e, signal * v + spread * x_t, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(model.predict(x_t, 0), model.predict(x_t, 1))


def test_start_and_end_are_told(model):
  x = jax.random.normal(KEY, (126, 4))
  own = model.replace(end_seconds=SAMPLES / 16000)
  np.testing.assert_allclose(model.predict(x, T), own.predict(x, T), rtol=1e-6)
  later = model.replace(start_seconds=30.0, end_seconds=180.0)
  assert not np.allclose(model.predict(x, T), later.predict(x, T))
  # What was told stays told, whatever the length of a clip.
  again = later.for_length(500)
  np.testing.assert_array_equal(again.predict(x, T), later.predict(x, T))
  # Beyond its range it cannot tell.
  far = [model.replace(end_seconds=end) for end in (512.0, 600.0)]
  np.testing.assert_array_equal(*(one.predict(x, T) for one in far))


def test_the_null_condition_is_any_number_of_zeros(model):
  x, many = jax.random.normal(KEY, (20, 4)), jnp.zeros((9, 6))
  embedded = model.embedder.apply(
    {"params": model.durations_params}, 0.0, SAMPLES / 16000
  )
  time = model.schedule.time[T]
  found = model.network.apply(
    {"params": model.params}, x, time, many, embedded.reshape(-1)
  )
  np.testing.assert_allclose(model.predict(x, T), found, rtol=1e-5, atol=1e-6)
  told = model.replace(text=jax.random.normal(KEY, (3, 6)))
  assert not np.allclose(model.predict(x, T), told.predict(x, T))


@pytest.mark.parametrize("name", [*attacks.names(), "lsa_probe"])
def test_every_method_scores_in_stereo_and_in_mono(model, name):
  if name == "lsa_probe":
    finder = search.get("continuation", rungs=4, steps=1)
    attack = attacks.LSAProbe(WAVEFORM, jnp.float32(1e-9), finder)
  else:
    attack = attacks.get(name, WAVEFORM, **NEEDED.get(name, {}))
  run = jax.jit(lambda model, audio: attack(model, KEY, audio, T).score)
  assert np.isfinite(run(model, AUDIO))
  if name in ("lsa_probe", "trajectory", "rediffuse"):
    assert np.isfinite(run(model, AUDIO[0]))


@pytest.mark.parametrize("name", ["waveform", "mr_stft", "log_mel"])
def test_distances_are_means_over_channels(model, name):
  distance = distances.get(name, sample_rate=16000)
  found = channels.for_model(distance, model)
  assert found.name == name
  audio = np.tile(AUDIO, 3)
  other = audio[::-1] * 0.5
  each = [distance(audio[i], other[i]) for i in range(2)]
  np.testing.assert_allclose(found(audio, other), np.mean(each), rtol=1e-5)
  # One channel is compared with both.
  both = [distance(audio[0], other[i]) for i in range(2)]
  np.testing.assert_allclose(found(audio[0], other), np.mean(both), rtol=1e-5)
  gradient = jax.grad(lambda x: found(audio, x))(audio)
  assert np.isfinite(gradient).all()


def test_what_judges_the_whole_hears_the_mean_of_channels(model):
  class Whole(type(WAVEFORM)):
    downmixes = True

  found = channels.for_model(Whole(), model)
  swapped = AUDIO[::-1]
  assert found(AUDIO, swapped) == 0
  assert channels.for_model(WAVEFORM, model)(AUDIO, swapped) > 0
  # Nor does what a baseline makes of such a distance tell channels apart.
  half = channels.for_model(second_order._HalfSquare(Whole()), model)
  assert half.compare(half.embed(AUDIO), half.embed(swapped)) == 0


@pytest.mark.parametrize("name", ["reversal", "channel_swap"])
def test_a_twin_is_another_clip_of_the_same_model(model, name):
  """Seen through the twin, the clip is scored as the twin is by the model itself."""
  twin = twins.get(name)
  other = AUDIO[::-1] if name == "channel_swap" else AUDIO[:, ::-1]
  np.testing.assert_array_equal(twin(AUDIO), other)
  seen = mirrored(model, twin)
  assert seen.channels == 2
  x_t = jax.random.normal(KEY, model.encode(AUDIO).shape)
  moved = x_t if name == "channel_swap" else x_t[::-1]
  found = seen.reconstruct(x_t, T)
  np.testing.assert_allclose(twin(found), model.reconstruct(moved, T), atol=1e-6)
  loss = lambda model, audio: jnp.sum(model.encode(audio) ** 2)
  np.testing.assert_allclose(loss(seen, AUDIO), loss(model, other), rtol=1e-5)


@pytest.mark.parametrize("name", ["reversal", "channel_swap"])
def test_what_steps_by_v_scores_a_twin_as_another_clip(model, name):
  twin, run = twins.get(name), jax.jit(attacks.get("secmi"))
  seen = run(mirrored(model, twin), KEY, AUDIO, T).score
  np.testing.assert_allclose(seen, run(model, KEY, twin(AUDIO), T).score, rtol=1e-3)


def test_gradients_are_finite_whether_it_rematerialises(model):
  x = model.encode(AUDIO)
  loss = lambda model: lambda x: jnp.sum(jnp.square(model.reconstruct(x, T)))
  ways = [jax.grad(loss(model.replace(rematerialise=way)))(x) for way in (True, False)]
  assert np.isfinite(ways[0]).all()
  np.testing.assert_allclose(*ways, rtol=1e-4, atol=1e-5)


def test_bfloat16_computes_near_float32(model):
  x = model.encode(AUDIO)
  half = model.replace(dtype=jnp.bfloat16)
  np.testing.assert_allclose(
    half.predict(x, T), model.predict(x, T), atol=0.1 * np.std(model.predict(x, T))
  )


def test_bfloat16_rounds_neither_times_nor_their_frequencies(model):
  x = model.encode(AUDIO)
  half = model.replace(dtype=jnp.bfloat16)

  def predicted(model, frequency):
    odd = {"time_proj": {"weight": jnp.full(5, frequency)}}
    return model.replace(params=model.params | odd).predict(x, 700)

  # In bfloat16 it would be 33, and another angle by 0.4: it is the nearer of both.
  found = predicted(half, 33.09)
  off = lambda frequency: np.linalg.norm(found - predicted(model, frequency))
  assert off(33.09) < off(33.0)
  # Neighbouring times stay apart.
  assert not np.array_equal(half.predict(x, 700), half.predict(x, 701))


def test_it_is_stored_and_loaded(tmp_path):
  described = tiny.config()
  params = registry.init_params(described, jax.random.key(1))
  checkpoints.save_model(tmp_path / "model", params, described, {})
  loaded = load_model(tmp_path / "model")
  assert loaded.sample_rate == 16000
  jax.tree.map(
    np.testing.assert_array_equal, loaded.model.params, params["transformer"]
  )
  with pytest.raises(SettingError, match="stop_at=mel: Stable Audio decodes"):
    load_model(tmp_path / "model", stop_at="mel")


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_what_makes_no_model_is_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    registry.check_settings(tiny.config(**changes))


@pytest.mark.parametrize("name", ["loss", "rediffuse"])
def test_a_corpus_is_scored_with_its_twins(tmp_path, name):
  described = tiny.config()
  params = registry.init_params(described, jax.random.key(1))
  checkpoints.save_model(tmp_path / "model", params, described, {})
  clips = toy_corpus.noise("abab", samples=512, rate=16000)
  attack = attacks.get(name)
  found = score(
    load_model(tmp_path / "model"), attack, clips, t_ratio=0.2, twins=["reversal"]
  )
  assert not found.failed
  assert np.isfinite(found.score).all()
  assert np.isfinite(found.by_twins().score).all()


def test_one_clip_is_probed_in_stereo(tmp_path):
  described = tiny.config()
  params = registry.init_params(described, jax.random.key(1))
  checkpoints.save_model(tmp_path / "model", params, described, {})
  probe = LSAProbe(distance="waveform", t_ratio=0.2)
  trained = load_model(tmp_path / "model")
  curve = probe_clip(trained, probe, AUDIO)
  attack = attacks.DegradationCurve(WAVEFORM, probe.make_search())
  model = trained.for_length(SAMPLES).model
  found = jax.jit(attack)(model, jax.random.key(0), AUDIO, 200)
  np.testing.assert_allclose(
    curve.degradations, found.details["degradations"], rtol=1e-3
  )
