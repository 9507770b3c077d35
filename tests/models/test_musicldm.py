"""MusicLDM's modules and the model of them, without PyTorch."""

import copy
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_musicldm as tiny

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.musicldm import mel, porting, scheduler, unet, vae, vocoder

SAMPLES = 1700  # not a whole number of latent frames

# Shared: the networks take seconds to compile.
encode = jax.jit(lambda model, audio: model.encode(audio))
predict = jax.jit(lambda model, x, t: model.predict_noise(x, t))
# The smallest networks from a latent to a waveform: a gradient takes long to compile.
SMALLEST = {
  "unet": {
    "block_out_channels": [8],
    "down_block_types": ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"],
    "cross_attention_dim": [8],
    "attention_head_dim": 2,
  },
  "vae": {"block_out_channels": [8, 8]},
  "vocoder": {
    "upsample_initial_channel": 8,
    "upsample_rates": [5],
    "upsample_kernel_sizes": [16],
    "resblock_kernel_sizes": [3],
    "resblock_dilation_sizes": [[1]],
  },
}


@pytest.fixture(scope="module")
def goldens():
  with np.load(tiny.GOLDENS) as goldens:
    return dict(goldens)


@pytest.fixture(scope="module")
def ldm():
  params, model = tiny.params()
  return registry.build_model(model, params, num_inference_steps=2)


@pytest.fixture(scope="module")
def audio(real_audio):
  return real_audio(SAMPLES, 16000)


def agree(ours, golden):
  np.testing.assert_allclose(ours, golden, rtol=0, atol=1e-4 * np.abs(golden).max())


def test_the_unet_does_as_diffusers_does(ldm, goldens):
  x, condition = tiny.draw("latent", (6, 4, 4)), tiny.draw("condition", (6,))
  found = predict(ldm.replace(condition=condition), x, 372)
  agree(found, goldens["unet"])


def test_the_vae_does_as_diffusers_does(ldm, goldens):
  run = jax.jit(ldm.autoencoder.apply, static_argnames="method")
  weights = {"params": ldm.vae_params}
  x, z = tiny.draw("log_mel", (12, 8, 1)), tiny.draw("latent", (6, 4, 4))
  agree(run(weights, x, method="encode"), goldens["encoded"])
  agree(run(weights, z, method="decode"), goldens["decoded"])


def test_the_vocoder_does_as_transformers_does(ldm, goldens):
  run = jax.jit(ldm.voice.apply)
  x = tiny.draw("log_mel", (12, 8, 1))[:, :, 0]
  ours = run({"params": ldm.vocoder_params}, x)
  assert ours.shape == (12 * 160 + 32,)
  agree(ours, goldens["vocoder"])


def front_end(**changes):
  config = {
    "fft_size": 1024, "hop": 160, "mels": 64, "low": 0.0, "high": 8000.0,
    "floor": 1e-5, "peak": 0.5,
  }  # fmt: skip
  return mel.from_config(config | changes, 16000)


def test_the_front_end_does_as_audioldm_does(goldens):
  audio = tiny.draw("audio", (1600, 1))[:, 0]
  np.testing.assert_allclose(front_end()(audio, 10), goldens["log_mel"], atol=2e-4)


def test_the_front_end_knows_no_gain_and_pads_with_silence(audio):
  run = front_end()
  centred = audio - audio.mean()
  log_mel = run(audio, 20)
  np.testing.assert_allclose(run(0.1 * audio + 0.05, 20), log_mel, atol=2e-3)
  plain = front_end(peak=None)
  gain = 0.5 / np.abs(centred).max()
  np.testing.assert_allclose(plain(gain * centred, 20), log_mel, atol=2e-3)
  # Frames wholly in the padding are at the floor, those before it are not.
  np.testing.assert_allclose(log_mel[15:], np.log(1e-5))
  assert np.all(log_mel[:10].max(1) > np.log(1e-4))


def test_the_front_end_has_a_finite_gradient_at_silence():
  run = front_end()
  gradient = jax.grad(lambda x: jnp.sum(run(x, 8)))(jnp.zeros(1200))
  assert np.all(np.isfinite(gradient))
  with pytest.raises(
    ValueError, match="480 samples are too few for a transform of 102"
  ):
    run(jnp.zeros(400), 3)


def test_audio_comes_back_at_its_length(ldm, audio):
  x_0 = encode(ldm, audio)
  # 1700 samples: 11 frames of 160, padded to 12, halved by the VAE; 8 mels halved.
  assert x_0.shape == (6, 4, 4)
  decode = jax.jit(lambda g, x: g.decode(x))
  whole = decode(ldm, x_0)
  assert whole.shape == (12 * 160,)
  cut = decode(ldm.for_length(SAMPLES), x_0)
  np.testing.assert_allclose(cut, whole[:SAMPLES], atol=1e-6)
  to_mel = ldm.for_length(SAMPLES).replace(stop_at="mel")
  assert jax.eval_shape(to_mel.decode, x_0).shape == (11, 8)


def test_states_are_scaled_modes(ldm, audio):
  log_mel = ldm.front_end(audio, 12)[:, :, None]
  run = jax.jit(ldm.autoencoder.apply, static_argnames="method")
  moments = run({"params": ldm.vae_params}, log_mel, method="moments")
  assert moments.shape == (6, 4, 8)
  np.testing.assert_allclose(
    encode(ldm, audio), 0.8 * moments[..., :4], rtol=1e-5, atol=1e-6
  )


class Wave:
  """A stand-in for the UNet: any function of its inputs."""

  @staticmethod
  def apply(variables, x, index, condition):
    return jnp.cos(x + 0.01 * index) + condition[0] + variables["params"]


def test_v_is_turned_into_noise(ldm):
  x = tiny.draw("latent", (6, 4, 4))
  ldm = ldm.replace(network=Wave, params=jnp.float32(0.3))
  alpha_bar = np.cumprod(1 - np.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2)
  of_v = ldm.replace(schedule=ldm.schedule.replace(prediction="v_prediction"))
  for t, index in ((1, 0), (600, 599), (0, 0)):
    v = predict(ldm, x, t)
    noise = predict(of_v, x, t)
    expected = np.sqrt(alpha_bar[index]) * v + np.sqrt(1 - alpha_bar[index]) * x
    np.testing.assert_allclose(noise, expected, rtol=1e-4, atol=1e-5)


def test_the_schedule_keeps_its_own_end():
  config = tiny.CONFIGS["scheduler"]
  schedule = scheduler.build_schedule(config)
  assert schedule.prediction == "epsilon"
  assert schedule.noise[0] == schedule.noise[1] > 0
  one = scheduler.build_schedule(
    config | {"set_alpha_to_one": True, "prediction_type": "v_prediction"}
  )
  assert one.prediction == "v_prediction"
  assert (one.signal[0], one.noise[0]) == (1, 0)
  np.testing.assert_array_equal(one.noise[1:], schedule.noise[1:])
  plain = diffusion.scaled_linear(1000, 0.0015, 0.0195)
  np.testing.assert_array_equal(one.signal, plain.signal)


def test_betas_by_value_or_evenly_spaced():
  betas = {"trained_betas": [0.1, 0.2], "num_train_timesteps": 2}
  schedule = scheduler.build_schedule(tiny.CONFIGS["scheduler"] | betas)
  np.testing.assert_allclose(np.square(schedule.signal), [0.9, 0.9, 0.72], rtol=1e-6)
  linear = scheduler.build_schedule(
    tiny.CONFIGS["scheduler"] | {"beta_schedule": "linear"}
  )
  np.testing.assert_allclose(
    np.square(linear.noise[2]), 1 - (1 - 0.0015) * (1 - 0.0015 - 0.018 / 999), rtol=1e-4
  )


def test_the_gradient_reaches_the_latent():
  model = porting.model_config(tiny.configs(**SMALLEST))
  params = registry.random_params(model, jax.random.key(0))
  run = registry.build_model(model, params, 1).for_length(11 * 5 - 2)
  x_0 = 4 * tiny.draw("x_0", (6, 4, 4))
  loss = lambda x: jnp.sum(jnp.square(run.reconstruct(x, 600)))
  value_and_grad = jax.jit(jax.value_and_grad(loss))
  _, gradient = value_and_grad(x_0)
  norm = np.linalg.norm(gradient)
  # Central differences along the gradient; measured: 1.0000 of its length.
  step = 3e-3 * gradient / norm
  there, back = (value_and_grad(x)[0] for x in (x_0 + step, x_0 - step))
  np.testing.assert_allclose((there - back) / 6e-3, norm, rtol=0.01)


def test_the_condition_matters_and_so_does_its_shape(ldm):
  x = tiny.draw("latent", (6, 4, 4))
  plain = predict(ldm, x, 600)
  other = predict(ldm.replace(condition=2 * ldm.condition), x, 600)
  assert not np.allclose(plain, other)
  with pytest.raises(ValueError, match=r"condition of shape \(6,\), got shape None"):
    ldm.replace(condition=None).predict_noise(x, 600)
  with pytest.raises(ValueError, match=r"latent \[time, mel, 4\], got shape \(1, 6,"):
    ldm.predict_noise(x[None], 600)


def test_one_spectrogram_at_a_time(ldm):
  weights = {"params": ldm.vae_params}
  with pytest.raises(ValueError, match=r"multiples of 2, got shape \(7, 8, 1\)"):
    ldm.autoencoder.apply(weights, jnp.zeros((7, 8, 1)), method="encode")
  weights = {"params": ldm.vocoder_params}
  with pytest.raises(ValueError, match=r"\[frames, 8\], got shape \(1, 4, 8\)"):
    ldm.voice.apply(weights, jnp.zeros((1, 4, 8)))


def test_fresh_parameters_fit_and_differ_by_seed():
  params, model = tiny.params()
  fresh = [registry.random_params(model, jax.random.key(i)) for i in (0, 1)]
  for made in (*fresh, params):
    checkpoints.check_fit(made, registry.abstract_params(model), "tiny")
  x = tiny.draw("latent", (6, 4, 4))
  noises = [predict(registry.build_model(model, made, 2), x, 600) for made in fresh]
  assert np.std(noises[0]) > 0.1
  assert not np.allclose(*noises, rtol=0.1)


def test_a_model_folder_keeps_it_all(tmp_path, ldm):
  params, model = tiny.params()
  checkpoints.save_model(tmp_path, params, model, {})
  loaded, record = checkpoints.load_model(tmp_path)
  again = registry.build_model(record["model"], loaded, 2)
  # The same structure, static fields and all, and so the same compiled programs.
  assert jax.tree.structure(again) == jax.tree.structure(ldm)
  jax.tree.map(np.testing.assert_array_equal, again, ldm)


@pytest.mark.parametrize("name", ["musicldm", "audioldm"])
def test_published_sizes(name):
  path = pathlib.Path(porting.__file__).parent / "published.json"
  model = porting.model_config(json.loads(path.read_text())[name])
  assert (model["mel"]["hop"], model["mel"]["mels"]) == (160, 64)
  abstract = registry.abstract_params(model)
  size = lambda part: sum(leaf.size for leaf in jax.tree.leaves(abstract[part]))
  # Counted in diffusers 0.42 and transformers 5.24, less the vocoder's unused buffers.
  assert size("unet") == 185_036_552
  assert size("vae") == 55_376_873
  assert size("vocoder") == 55_265_025 - 2 * 64


REFUSED = [
  (unet.from_config, "unet", {"mid_block_type": None}, "mid_block_type = None"),
  (unet.from_config, "unet", {"act_fn": "mish"}, "act_fn = 'mish' is not supported"),
  (unet.from_config, "unet", {"class_embed_type": "timestep"}, "class_embed_type"),
  (unet.from_config, "unet", {"encoder_hid_dim": 3}, "encoder_hid_dim .= 3. is not"),
  (unet.from_config, "unet", {"layers_per_block": [1, 2, 1]}, "layers_per_block"),
  (unet.from_config, "unet", {"attention_head_dim": 5}, "attention_head_dim = 5"),
  (unet.from_config, "unet", {"attention_head_dim": [2, 4]}, "as long as block_out"),
  (unet.from_config, "unet", {"cross_attention_dim": 32}, "cross_attention_dim = 32"),
  (
    unet.from_config,
    "unet",
    {"down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"]},
    "down_block_types = 'AttnDownBlock2D'",
  ),
  (vae.from_config, "vae", {"act_fn": "relu"}, "vae/config.json: act_fn = 'relu'"),
  (vae.from_config, "vae", {"shift_factor": 0.1}, "shift_factor = 0.1"),
  (vae.from_config, "vae", {"up_block_types": ["AttnUp"] * 2}, "up_block_types"),
  (vocoder.from_config, "vocoder", {"resblock_kernel_sizes": [3, 4]}, "must be odd"),
  (vocoder.from_config, "vocoder", {"upsample_rates": [5]}, "as long as upsample_rat"),
  (vocoder.from_config, "vocoder", {"snake": True}, "key snake .= True. is not known"),
  (
    scheduler.build_schedule,
    "scheduler",
    {"prediction_type": "sample"},
    "prediction_type = 'sample'",
  ),
  (scheduler.build_schedule, "scheduler", {"clip_sample": True}, "clip_sample = True"),
  (
    scheduler.build_schedule,
    "scheduler",
    {"beta_schedule": "sigmoid"},
    "beta_schedule",
  ),
]


@pytest.mark.parametrize(("build", "part", "change", "match"), REFUSED)
def test_unsupported_settings_are_named(build, part, change, match):
  build(tiny.CONFIGS[part])
  with pytest.raises(ValueError, match=match):
    build(tiny.CONFIGS[part] | change)


def test_a_silent_ddim_file_clips_as_diffusers_does():
  silent = {k: v for k, v in tiny.CONFIGS["scheduler"].items() if k != "clip_sample"}
  with pytest.raises(ValueError, match="clip_sample = True is not supported"):
    scheduler.build_schedule(silent)
  scheduler.build_schedule(silent | {"_class_name": "PNDMScheduler"})


@pytest.mark.parametrize(
  ("part", "change", "match"),
  [
    ("vae", {"latent_channels": 8}, "latent_channels.* are 8 and 4"),
    ("vae", {"in_channels": 2}, "in_channels and a spectrogram's.* are 2 and 1"),
    ("mel", {"hop": 80}, "hop.* are 80 and 160"),
    ("mel", {"mels": 64}, "model_in_dim.* are 64 and 8"),
  ],
)
def test_parts_must_fit_together(part, change, match):
  model = copy.deepcopy(tiny.params()[1])
  model[part] |= change
  with pytest.raises(ValueError, match=match):
    registry.abstract_params(model)


def test_what_a_family_does_not_have_is_refused():
  params, model = tiny.params()
  with pytest.raises(ValueError, match="precision=float16: it must be float32 or bf"):
    registry.build_model(model, params, 1, precision="float16")
  with pytest.raises(ValueError, match="stop_at=latent: it must be waveform or mel"):
    registry.build_model(model, params, 1, stop_at="latent")
  with pytest.raises(ValueError, match="stop_at=mel: a model on waveforms decodes"):
    registry.build_model({"family": "diffwave"}, {}, 1, stop_at="mel")
