"""What can be trained of a latent model, and what is exported of it."""

import jax
import numpy as np
import pytest
import tiny_latent
import tiny_stable_audio

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.training import trainables
from lsaprobe_jax.training.settings import TrainCorpus, TrainSettings
from lsaprobe_jax.training.starting_weights import starting_weights

SETTINGS = TrainSettings(
  corpus=TrainCorpus(path="x", groups=("a",), clip_seconds=0.1),
  model=tiny_latent.config(),
  epochs=1,
  kl_weight=0.5,
  mel_weight=2.0,
)


@pytest.fixture(scope="module")
def start():
  return starting_weights(SETTINGS)


def make(start, name):
  return trainables.make_trainable(SETTINGS.changed({"trains": name}), start)


def test_a_denoiser_is_exported_among_the_other_networks(start):
  trainable = make(start, "denoiser")
  assert trainable.objective.latent
  assert trainable.is_diffusion
  assert trainable.objective.params is start.params["unet"]
  params, model = trainable.export("trained", None)
  assert params == start.params | {"unet": "trained"}
  assert model == start.model


def test_a_vae_is_exported_alone_with_latents_of_unit_variance(start, monkeypatch):
  trainable = make(start, "vae")
  assert not trainable.is_diffusion
  assert trainable.objective.kl_weight == 0.5
  monkeypatch.setattr(type(trainable.objective), "spread", lambda *_: 4.0)
  params, model = trainable.export("trained", None)
  assert params == {"vae": "trained"}
  assert model["vae"]["scaling_factor"] == 0.25
  assert start.model["vae"]["scaling_factor"] == 0.8
  assert model | {"vae": start.model["vae"]} == start.model


def test_a_vocoder_is_exported_alone(start):
  trainable = make(start, "vocoder")
  assert not trainable.is_diffusion
  assert trainable.objective.mel_weight == 2.0
  assert trainable.export("trained", None) == ({"vocoder": "trained"}, start.model)


def test_parts_and_their_settings_come_from_folders(start, tmp_path):
  made = start.model["vae"] | {"scaling_factor": 3.0}
  model = start.model | {"vae": made}
  doubled = jax.tree.map(lambda x: 2 * np.asarray(x), start.params["vae"])
  checkpoints.save_model(tmp_path / "vae", {"vae": doubled}, model, None)
  record = checkpoints.load_model(tmp_path / "vae")[1]
  own = starting_weights(SETTINGS.changed({"parts": {"vae": str(tmp_path / "vae")}}))
  jax.tree.map(np.testing.assert_array_equal, own.params["vae"], doubled)
  jax.tree.map(np.testing.assert_array_equal, own.params["unet"], start.params["unet"])
  assert own.model["vae"]["scaling_factor"] == 3.0
  assert own.sources == {"vae": record["weights_sha256"]}


def test_parts_of_another_front_end_are_refused(start, tmp_path):
  """A VAE encodes what it was trained on, whatever the shapes allow."""
  other = start.model | {"mel": start.model["mel"] | {"peak": 0.25}}
  checkpoints.save_model(tmp_path / "vae", start.params, other, None)
  for name in ("vae", "vocoder"):
    changed = SETTINGS.changed({f"parts.{name}": str(tmp_path / "vae")})
    with pytest.raises(
      SettingError, match=rf"^parts\.{name}: .*its mel is not that of `model`"
    ):
      starting_weights(changed)


def test_networks_that_do_not_fit_together_are_one_line(start):
  mel = start.model["mel"] | {"mels": 2 * start.model["mel"]["mels"]}
  unlike = type(start)(
    params=start.params, model=start.model | {"mel": mel}, sources={}
  )
  with pytest.raises(SettingError, match=r"^model: .*must agree"):
    make(unlike, "denoiser")


def test_clips_are_at_the_rate_of_the_model(start):
  """A converted pipeline has it in its VAE's configuration."""
  described = tiny_stable_audio.config(vae={"audio_channels": 1})
  params = registry.init_params(described, jax.random.key(0))
  whole = type(start)(params=params, model=described, sources={})
  rate = registry.build_model(described, params, 1).sample_rate
  settings = SETTINGS.changed({"model": described | {"sample_rate": rate}})
  assert trainables.make_trainable(settings, whole).is_diffusion
  settings = SETTINGS.changed({"model": described | {"sample_rate": 2 * rate}})
  with pytest.raises(
    SettingError, match=rf"^model\.sample_rate={2 * rate}: the model's"
  ):
    trainables.make_trainable(settings, whole)


def test_a_network_that_a_model_lacks_is_not_trained(start):
  without = {name: part for name, part in start.params.items() if name != "vocoder"}
  lacking = type(start)(params=without, model=start.model, sources={})
  with pytest.raises(
    SettingError, match=r"^trains=vocoder: a model of family musicldm"
  ):
    trainables._vocoder(SETTINGS.changed({"trains": "vocoder"}), lacking, None)


def test_a_codec_is_exported_with_latents_of_unit_variance(start, monkeypatch):
  """Stable Audio's VAE is of waveforms, and has no factor beside its weights."""
  described = tiny_stable_audio.config(vae={"audio_channels": 1})
  params = registry.init_params(described, jax.random.key(0))
  trainable = make(type(start)(params=params, model=described, sources={}), "vae")
  assert not trainable.is_diffusion
  assert trainable.objective.kl_weight == 0.5
  monkeypatch.setattr(type(trainable.objective), "spread", lambda *_: 4.0)
  exported, model = trainable.export(params["vae"], None)
  assert model == described
  assert list(exported) == ["vae"]
  kernel = lambda vae: np.asarray(vae["encoder"]["conv2"]["kernel"])
  before, after = kernel(params["vae"]), kernel(exported["vae"])
  half = before.shape[-1] // 2
  np.testing.assert_allclose(after[..., :half], before[..., :half] / 4, rtol=1e-6)
  np.testing.assert_array_equal(after[..., half:], before[..., half:])


def test_stable_audios_denoiser_is_its_transformer(start):
  described = tiny_stable_audio.config(vae={"audio_channels": 1})
  params = registry.init_params(described, jax.random.key(0))
  trainable = make(type(start)(params=params, model=described, sources={}), "denoiser")
  assert trainable.objective.latent
  assert trainable.objective.params is params["transformer"]
  exported, _ = trainable.export("trained", None)
  assert exported == params | {"transformer": "trained"}


def test_a_stereo_model_is_not_trained_on_one_channel(start):
  described = tiny_stable_audio.config()
  params = registry.init_params(described, jax.random.key(0))
  stereo = type(start)(params=params, model=described, sources={})
  with pytest.raises(SettingError, match=r"^model: it has two channels"):
    make(stereo, "denoiser")


def test_latents_without_any_spread_are_not_exported(start, monkeypatch):
  described = tiny_stable_audio.config(vae={"audio_channels": 1})
  params = registry.init_params(described, jax.random.key(0))
  trainable = make(type(start)(params=params, model=described, sources={}), "vae")
  monkeypatch.setattr(type(trainable.objective), "spread", lambda *_: 0.0)
  with pytest.raises(SettingError, match=r"^trains=vae: the latents' deviation is 0"):
    trainable.export(params["vae"], None)
