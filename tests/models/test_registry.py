"""Families of models: the library's own, and those that are added from outside."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import diffusion
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models import DiffusionModel, checkpoints, registry
from lsaprobe_jax.models.denoiser import DenoiserModel
from lsaprobe_jax.models.trained import load_model

SCHEDULE = {
  "name": "linear",
  "num_train_timesteps": 20,
  "beta_start": 1e-3,
  "beta_end": 0.2,
}
GAIN = {
  "family": "gain",
  "network": {"start": 0.5},
  "schedule": SCHEDULE,
  "sample_rate": 8000,
  "scale": 2.0,
}


class Gain(nn.Module):
  """Predicts the noise by one number a step."""

  start: float = 0.5
  max_steps: int = 50
  dtype: type | None = None

  @nn.compact
  def __call__(self, x, step):
    start = nn.initializers.constant(self.start)
    return self.param("gains", start, (self.max_steps,))[step] * x


@dataclasses.dataclass(frozen=True)
class Halves:
  """A whole family: models of one number, without a network."""

  default: float = 0.5

  def check_settings(self, model_config, tensors=None):
    if "rate" not in model_config:
      raise ValueError("the model lacks rate")

  def build(
    self, model_config, params, num_inference_steps, *, precision="f", stop_at="w"
  ):
    return DenoiserModel(
      params=params,
      schedule=diffusion.linear(20, 1e-3, 0.2),
      predict_fn=_half,
      encode_fn=None,
      decode_fn=None,
      sample_rate=model_config["rate"],
      num_inference_steps=num_inference_steps,
    )

  def init_params(self, model_config, key):
    return {"gain": jnp.float32(self.default)}

  def abstract_params(self, model_config):
    return {"gain": jax.ShapeDtypeStruct((), jnp.float32)}

  def random_params(self, model_config, key):
    return {"gain": jax.random.normal(key)}


def _half(params, x, t):
  return params["gain"] * x


@pytest.fixture(autouse=True)
def none_added(monkeypatch):
  monkeypatch.setattr(registry, "_ADDED", {})


def test_a_network_on_waveforms_is_added_in_one_line(tmp_path):
  registry.register("gain", Gain)
  params = registry.init_params(GAIN, jax.random.key(0))
  checkpoints.save_model(tmp_path / "mine", params, GAIN, {"group": "a"})
  loaded = load_model(tmp_path / "mine", num_inference_steps=2)
  assert (loaded.name, loaded.group, loaded.sample_rate) == ("mine", "a", 8000)
  assert isinstance(loaded.model, DiffusionModel)
  x = np.ones(8, np.float32)
  np.testing.assert_allclose(loaded.model.predict_noise(x, 3), 0.5 * x)
  np.testing.assert_allclose(loaded.model.encode(x), 2 * x)
  with pytest.raises(ValueError, match=r"network\.start = 10000000 is not supported"):
    registry.check_settings(GAIN | {"network": {"start": 10**7}})


def test_a_whole_family_is_added(tmp_path):
  registry.register("halves", Halves(0.25))
  model = {"family": "halves", "rate": 4000}
  params = registry.init_params(model, jax.random.key(0))
  checkpoints.save_model(tmp_path, params, model, {})
  loaded = load_model(tmp_path)
  np.testing.assert_allclose(loaded.model.predict_noise(np.ones(3), 2), 0.25)
  key = jax.random.key(1)
  random = load_model(tmp_path, random_key=key)
  np.testing.assert_array_equal(random.model.params["gain"], jax.random.normal(key))
  assert random.weights_sha256 == loaded.weights_sha256
  with pytest.raises(ValueError, match="lacks rate"):
    registry.abstract_params({"family": "halves"})


def test_the_newest_of_a_name_holds():
  registry.register("halves", Halves(0.25))
  registry.register("halves", Halves(0.75))
  assert registry.get({"family": "halves"}).default == 0.75


@pytest.mark.parametrize("name", ["diffwave", "musicldm"])
def test_the_librarys_own_are_not_replaced(name):
  with pytest.raises(ArgumentError, match=f"^family={name} is one of the library's"):
    registry.register(name, Gain)
  assert isinstance(registry.get({"family": name}), registry.Family)


@pytest.mark.parametrize("builder", [Halves, lambda x, index: x, Gain(), None, "gain"])
def test_what_is_no_family_is_refused(builder):
  with pytest.raises(ArgumentError, match=r"^builder=.*a Linen module class on wave"):
    registry.register("mine", builder)


def test_unknown_families_are_told_the_known_ones():
  registry.register("gain", Gain)
  with pytest.raises(
    ValueError,
    match=r"'unet'; known: diffwave, musicldm, stable_audio, ace_step, gain$",
  ):
    registry.check_settings(GAIN | {"family": "unet"})


def test_a_reverse_process_has_a_step():
  with pytest.raises(SettingError, match=r"^num_inference_steps=0: at least 1"):
    load_model("diffwave-piano-a", num_inference_steps=0)
