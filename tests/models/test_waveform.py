import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_diffwave import MODEL

from lsaprobe_jax.models import registry, schedules
from lsaprobe_jax.models.diffwave import family as diffwave

AUDIO = np.random.default_rng(0).normal(scale=0.2, size=64).astype(np.float32)


@pytest.fixture(scope="module")
def model():
  params = registry.random_params(MODEL, jax.random.key(0))
  return registry.build_model(MODEL, params, num_inference_steps=3)


def changed(**settings):
  return copy.deepcopy(MODEL) | settings


def test_decode_undoes_encode(model):
  x_0 = model.encode(AUDIO)
  np.testing.assert_array_equal(x_0, 4 * AUDIO)
  np.testing.assert_array_equal(model.decode(x_0), AUDIO)


def test_state_t_is_network_index_t_minus_1(model):
  predict = jax.jit(model.predict_noise)
  apply = jax.jit(lambda step: model.network.apply(
    {"params": model.params}, AUDIO, step
  ))  # fmt: skip
  for t, index in ((1, 0), (7, 6), (20, 19), (0, 0)):
    np.testing.assert_allclose(predict(AUDIO, t), apply(index), rtol=1e-6)
  assert not np.allclose(predict(AUDIO, 7), predict(AUDIO, 8))


def test_reconstruction_is_ddim_to_the_waveform(model):
  t = 14
  beta = np.linspace(1e-3, 0.2, 20)
  alpha_bar = np.concatenate([[1], np.cumprod(1 - beta)])
  predict = jax.jit(model.predict_noise)
  x = model.encode(AUDIO)
  for now, after in ((14, 9), (9, 5), (5, 0)):
    e = predict(x, now)
    x_0 = (x - np.sqrt(1 - alpha_bar[now]) * e) / np.sqrt(alpha_bar[now])
    x = np.sqrt(alpha_bar[after]) * x_0 + np.sqrt(1 - alpha_bar[after]) * e
  found = jax.jit(model.reconstruct)(model.encode(AUDIO), t)
  np.testing.assert_allclose(found, x / 4, rtol=2e-4, atol=1e-5)


def test_weights_and_schedule_are_leaves(model):
  leaves = jax.tree.leaves(model)
  params = jax.tree.leaves(model.params)
  assert len(leaves) == len(params) + 2
  assert registry.build_model(MODEL, params, 3).network == model.network


def test_a_fresh_network_predicts_no_noise():
  params = registry.init_params(MODEL, jax.random.key(0))
  fresh = registry.build_model(MODEL, params, num_inference_steps=1)
  np.testing.assert_array_equal(fresh.predict_noise(AUDIO, 5), np.zeros(64))


def test_random_weights_differ_by_seed_and_stay_finite(model):
  other = model.replace(params=registry.random_params(MODEL, jax.random.key(1)))
  predict = jax.jit(lambda model: model.predict_noise(AUDIO, 5))
  first, second = predict(model), predict(other)
  assert np.all(np.isfinite(first))
  assert np.std(first) > 0.01
  assert not np.allclose(first, second, rtol=0.1)


@pytest.mark.parametrize("mels", [None, 6])
def test_abstract_parameters_are_those_that_are_made(mels):
  model = changed(network=MODEL["network"] | {"mels": mels})
  abstract = registry.abstract_params(model)
  make = lambda: registry.random_params(model, jax.random.key(0))
  made = make() if mels is None else jax.eval_shape(make)
  shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
  assert shapes(abstract) == shapes(made)
  assert ("spectrogram_upsampler" in made) == (mels is not None)


def test_a_conditional_network_stretches_its_spectrogram_by_256():
  model = changed(network=MODEL["network"] | {"mels": 6})
  network = diffwave.FAMILY.build_network(model)
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(np.float32),
    registry.abstract_params(model),
  )
  x = jnp.zeros(1024)
  apply = jax.jit(lambda *args: network.apply({"params": params}, *args))
  mel = rng.normal(size=(4, 6)).astype(np.float32)
  quiet, heard = apply(x, 3, np.zeros_like(mel)), apply(x, 3, mel)
  assert heard.shape == (1024,)
  assert not np.allclose(quiet, heard)
  with pytest.raises(ValueError, match=r"\(5, 6\) does not fit 1024 samples"):
    network.apply({"params": params}, x, 3, np.zeros((5, 6)))
  with pytest.raises(ValueError, match="takes 6 mel bands"):
    network.apply({"params": params}, x, 3)


def test_one_waveform_at_a_time(model):
  with pytest.raises(ValueError, match=r"shape \(2, 64\)"):
    model.predict_noise(np.zeros((2, 64), np.float32), 3)


def test_a_schedule_by_name_or_by_its_betas():
  betas = [0.1, 0.2, 0.4]
  model = changed(schedule={"num_train_timesteps": 3, "betas": betas})
  schedule = schedules.build(model["schedule"])
  np.testing.assert_allclose(
    np.square(schedule.signal), [1, 0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.6], rtol=1e-6
  )
  assert diffwave.FAMILY.build_network(model).max_steps == 3
  named = schedules.build(MODEL["schedule"])
  np.testing.assert_allclose(np.square(named.noise[1]), 1e-3, rtol=1e-5)
  for name in ("scaled_linear", "linear"):
    settings = MODEL["schedule"] | {"name": name}
    assert schedules.build(settings).num_train_timesteps == 20


def test_unknown_names_are_listed():
  with pytest.raises(ValueError, match=r"'unet'; known: diffwave"):
    registry.check_settings(changed(family="unet"))
  with pytest.raises(ValueError, match=r"'sine'; known: \['cosine', 'linear'"):
    schedules.build({"name": "sine", "num_train_timesteps": 20})
