"""ACE-Step as a model: stereo in and out, under the probe and every method."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_ace_step as tiny
import toy_corpus
from safetensors.numpy import load_file, save_file

from lsaprobe_jax import attacks, diffusion, distances, search, twins
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import DiffusionModel, checkpoints, conversion, registry
from lsaprobe_jax.models.trained import load_model
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
WEIGHTS = "condition_encoder/diffusion_pytorch_model.safetensors"
BAD = [
  ({"vae": {"audio_channels": 3}}, "audio_channels = 3"),
  ({"vae": {"channel_multiples": [1]}}, "the numbers of downsampling_ratios"),
  ({"vae": {"downsampling_ratios": [3, 5]}}, "even numbers"),
  ({"transformer": {"in_channels": 8}}, "three times audio_acoustic_hidden_dim must"),
  ({"transformer": {"audio_acoustic_hidden_dim": 6, "in_channels": 18}},
   "decoder_input_channels and audio_acoustic_hidden_dim must agree"),
  ({"transformer": {"num_key_value_heads": 3}}, "a divisor of num_attention_heads = 4"),
  ({"transformer": {"head_dim": 5}}, "head_dim = 5 .* an even number"),
  ({"transformer": {"num_hidden_layers": 10**6}}, "256 are the most"),
  ({"transformer": {"num_hidden_layers": 3}}, "layer_types = .* a list of 3 of"),
  ({"transformer": {"layer_types": ["full_attention", 2]}}, "a list of 2 of"),
  ({"transformer": {"layer_types": "full"}}, "a list of 2 of"),
  ({"transformer": {"encoder_hidden_size": 0}}, "encoder_hidden_size = 0"),
  ({"transformer": {"rope_theta": 0}}, "rope_theta = 0"),
  ({"transformer": {"rms_norm_eps": -1e-6}}, "rms_norm_eps = -1e-06"),
  ({"transformer": {"qk_scale": 2}}, "the key qk_scale .* is not known"),
  ({"scheduler": {"_class_name": "DDIMScheduler"}}, "_class_name = 'DDIMScheduler'"),
  ({"scheduler": {"num_train_timesteps": 1000}}, "num_train_timesteps = 1000 is not"),
  ({"scheduler": {"invert_sigmas": True}}, "invert_sigmas = True"),
  ({"scheduler": {"use_dynamic_shifting": True}}, "use_dynamic_shifting = True"),
  ({"scheduler": {"shift": 0}}, "shift = 0"),
  ({"condition_tokens": 0}, "condition_tokens = 0"),
  ({"silence_frames": 2.5}, "silence_frames = 2.5"),
]  # fmt: skip


@pytest.fixture(scope="module")
def model():
  return tiny.model(num_inference_steps=2).for_length(SAMPLES)


def test_it_is_a_model_in_stereo(model):
  assert isinstance(model, DiffusionModel)
  assert (model.channels, model.sample_rate, model.state_kind) == (2, 16000, "frames")
  assert model.schedule.prediction == "flow"
  x_0 = model.encode(AUDIO)
  assert x_0.shape == (-(-SAMPLES // 8), 4)
  assert model.reconstruct(x_0, T).shape == AUDIO.shape
  # One channel is taken for both.
  both = np.stack([AUDIO[0], AUDIO[0]])
  np.testing.assert_array_equal(model.encode(AUDIO[0]), model.encode(both))
  assert not np.allclose(model.encode(AUDIO), model.encode(both))


def test_one_channel_is_a_waveform():
  model = tiny.model(vae={"audio_channels": 1}).for_length(SAMPLES)
  assert model.channels == 1
  assert model.reconstruct(model.encode(AUDIO[0]), T).shape == (SAMPLES,)


def test_its_times_are_shifted_by_three(model):
  even = np.array([0.2, 0.5, 0.75])
  found = model.schedule.time[(1000 * even).astype(int)]
  np.testing.assert_allclose(found, 3 * even / (1 + 2 * even), rtol=1e-6)
  np.testing.assert_allclose(model.schedule.noise, model.schedule.time, rtol=1e-6)
  again = tiny.model(scheduler={"shift": 2.0}).schedule
  found = again.time[(1000 * even).astype(int)]
  np.testing.assert_allclose(found, 6 * even / (1 + 5 * even), rtol=1e-6)


def test_noise_is_what_the_velocity_implies(model):
  x_0 = model.encode(AUDIO)
  noise = jax.random.normal(KEY, x_0.shape)
  x_t = diffusion.add_noise(model.schedule, x_0, T, noise)
  velocity, e = model.predict(x_t, T), model.predict_noise(x_t, T)
  left = 1 - 3 * 0.2 / (1 + 2 * 0.2)
  np.testing.assert_allclose(e, x_t + left * velocity, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(model.predict(x_t, 0), model.predict(x_t, 1))


def test_it_stands_beside_silence_of_which_all_is_made(model):
  """A state longer than the stored silence has it over again."""
  x, silence = jax.random.normal(KEY, (120, 4)), np.asarray(model.silence)
  context = np.ones((120, 8), np.float32)
  for i in range(120):
    context[i, :4] = silence[i % 50]
  time = 3 * 0.2 / (1 + 2 * 0.2)
  found = model.network.apply(
    {"params": model.params}, x, time, model.condition, context
  )
  np.testing.assert_allclose(model.predict(x, T), found, rtol=1e-4, atol=1e-5)
  loud = model.replace(silence=2 * model.silence)
  assert not np.allclose(model.predict(x, T), loud.predict(x, T), atol=1e-2)


def test_equal_tokens_are_one(model):
  x = jax.random.normal(KEY, (20, 4))
  many = model.replace(condition=jnp.tile(model.condition, (9, 1)))
  found, wanted = model.predict(x, T), many.predict(x, T)
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
  other = model.replace(condition=model.condition + 1)
  assert not np.allclose(found, other.predict(x, T), atol=1e-2)


@pytest.mark.parametrize("name", [*attacks.names(), "lsa_probe"])
def test_every_method_scores_in_stereo(model, name):
  if name == "lsa_probe":
    finder = search.get("continuation", rungs=4, steps=1)
    attack = attacks.LSAProbe(WAVEFORM, jnp.float32(1e-9), finder)
  else:
    attack = attacks.get(name, WAVEFORM, **NEEDED.get(name, {}))
  run = jax.jit(lambda model, audio: attack(model, KEY, audio, T).score)
  assert np.isfinite(run(model, AUDIO))


@pytest.mark.parametrize("name", ["reversal", "channel_swap"])
def test_a_twin_is_another_clip_of_the_same_model(model, name):
  """Seen through the twin, the clip is scored as the twin is by the model itself."""
  twin = twins.get(name)
  seen = mirrored(model, twin)
  x_t = jax.random.normal(KEY, model.encode(AUDIO).shape)
  moved = x_t if name == "channel_swap" else x_t[::-1]
  found = seen.reconstruct(x_t, T)
  np.testing.assert_allclose(twin(found), model.reconstruct(moved, T), atol=1e-5)


def test_gradients_are_finite_whether_it_rematerialises(model):
  x = model.encode(AUDIO)
  loss = lambda model: lambda x: jnp.sum(jnp.square(model.reconstruct(x, T)))
  ways = [jax.grad(loss(model.replace(rematerialise=way)))(x) for way in (True, False)]
  assert np.isfinite(ways[0]).all()
  np.testing.assert_allclose(*ways, rtol=1e-4, atol=1e-4)


def test_bfloat16_computes_near_float32_and_keeps_times_apart(model):
  x = model.encode(AUDIO)
  half, whole = model.replace(dtype=jnp.bfloat16).predict(x, T), model.predict(x, T)
  assert half.dtype == x.dtype
  np.testing.assert_allclose(half, whole, atol=0.1 * np.std(whole))
  assert not np.array_equal(half, whole)
  half = model.replace(dtype=jnp.bfloat16)
  jaxpr = str(jax.make_jaxpr(half.predict)(x, T))
  # Products of blocks are of half precision, not of what a time has widened.
  assert "bf16[63,16] = dot_general" in jaxpr
  assert not np.array_equal(half.predict(x, 700), half.predict(x, 701))


def test_it_is_stored_and_loaded(tmp_path):
  described = tiny.config()
  params = tiny.params(described)
  checkpoints.save_model(tmp_path / "model", params, described, {})
  loaded = load_model(tmp_path / "model").model
  jax.tree.map(np.testing.assert_array_equal, loaded.params, params["transformer"])
  told = params["conditioning"]
  np.testing.assert_array_equal(loaded.condition, told["tokens"])
  np.testing.assert_array_equal(loaded.silence, told["silence"])
  with pytest.raises(SettingError, match="stop_at=mel: ACE-Step decodes"):
    load_model(tmp_path / "model", stop_at="mel")


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_what_makes_no_model_is_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    registry.check_settings(tiny.config(**changes))


def test_layers_that_are_not_named_alternate():
  named, silent = tiny.model(), tiny.model(transformer={"layer_types": None})
  assert named.network == silent.network
  other = tiny.model(transformer={"layer_types": ["full_attention"] * 2})
  assert other.network.near == (False, False)


@pytest.mark.parametrize("name", ["loss", "rediffuse"])
def test_a_corpus_is_scored_with_its_twins(tmp_path, name):
  described = tiny.config()
  params = tiny.params(described)
  checkpoints.save_model(tmp_path / "model", params, described, {})
  clips = toy_corpus.noise("abab", samples=512, rate=16000)
  found = score(
    load_model(tmp_path / "model"),
    attacks.get(name),
    clips,
    t_ratio=0.2,
    twins=["reversal"],
  )
  assert not found.failed
  assert np.isfinite(found.by_twins().score).all()


def test_a_pipeline_becomes_a_model_folder(tmp_path):
  folder = tiny.save_pipeline(tmp_path / "saved")
  conversion.convert(folder, tmp_path / "model")
  params, record = checkpoints.load_model(tmp_path / "model")
  jax.tree.map(np.testing.assert_array_equal, params, tiny.params(tiny.config()))
  assert record["training"] == {"converted_from": "saved", "condition": "null"}
  assert record["model"] == json.loads(json.dumps(tiny.config()))


def test_another_silence_is_another_model(tmp_path, monkeypatch):
  """Files of the condition encoder are among those that a conversion is known by."""
  monkeypatch.setattr(conversion, "CACHE", str(tmp_path / "cache"))
  folder = tiny.save_pipeline(tmp_path / "saved")
  before = load_model(folder).model
  state = load_file(folder / WEIGHTS)
  state["silence_latent"] = 2 * state["silence_latent"][:, :20]
  save_file(state, folder / WEIGHTS)
  after = load_model(folder).model
  np.testing.assert_array_equal(after.silence, 2 * before.silence[:20])


@pytest.mark.parametrize(
  ("name", "value", "message"),
  [
    ("silence_latent", None, "condition_encoder has no silence_latent, which every"),
    ("null_condition_emb", None, "has no null_condition_emb; convert it with a prompt"),
    ("silence_latent", np.ones((2, 5, 4), np.float32), r"has shape \(2, 5, 4\)"),
    ("null_condition_emb", np.ones((1, 1, 7), np.float32),
     r"wrong shape: \['conditioning/tokens: \(1, 7\), expected \(1, 8\)'\]"),
    ("silence_latent", np.full((1, 5, 4), np.nan, np.float32), "NaN in silence_latent"),
  ],
)  # fmt: skip
def test_a_condition_that_cannot_be_told_is_refused(tmp_path, name, value, message):
  folder = tiny.save_pipeline(tmp_path / "saved")
  state = load_file(folder / WEIGHTS)
  state = {k: v for k, v in state.items() if k != name}
  save_file(state | ({} if value is None else {name: value}), folder / WEIGHTS)
  with pytest.raises(checkpoints.CheckpointError, match=message):
    conversion.convert(folder, tmp_path / "model")


def test_what_a_prompt_needs_is_named(tmp_path):
  folder = tiny.save_pipeline(tmp_path / "saved")
  message = "a prompt needs text_encoder, which .* does not have"
  with pytest.raises(checkpoints.CheckpointError, match=message):
    conversion.convert(folder, tmp_path / "model", prompt="piano")
  with pytest.raises(checkpoints.CheckpointError, match="a prompt, and no embedding"):
    conversion.convert(folder, tmp_path / "model", embedding=tmp_path / "x.npy")
  (folder / WEIGHTS).unlink()
  message = r"no diffusion_pytorch_model.safetensors in .*condition_encoder"
  with pytest.raises(checkpoints.CheckpointError, match=message):
    conversion.convert(folder, tmp_path / "model")


def test_weights_that_do_not_fit_list_both(tmp_path):
  folder = tiny.save_pipeline(tmp_path / "saved")
  path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
  state = load_file(path)
  state["stranger.weight"] = state.pop("condition_embedder.weight")
  save_file(state, path)
  message = (
    r"left over: \['transformer/stranger/kernel'\];"
    r" missing: \['transformer/condition_embedder/kernel'\]"
  )
  with pytest.raises(checkpoints.CheckpointError, match=message):
    conversion.convert(folder, tmp_path / "model")
