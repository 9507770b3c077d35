"""Every value of a model.json is looked at before anything is built."""

import copy
import json
import time

import numpy as np
import pytest
import tiny_musicldm as tiny
from tiny_diffwave import MODEL as DIFFWAVE

from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.trained import load_model

NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**400
BAD_DIFFWAVE = [
  ("scale", (NAN, INFINITY, 0, -1.0, "4", None, True, HUGE, [4.0], 1e30)),
  ("sample_rate", (0, -8000, 1999, 768_001, 8000.0, "8000", None, True, HUGE, NAN)),
  ("network", (None, [], "x", {"wings": 2}, {"max_steps": 5})),
  ("network.channels", (0, -1, 4.0, "4", None, True, 10**6, HUGE, [4])),
  ("network.layers", (0, 20_000, 2.0, "2", None, HUGE, NAN)),
  ("network.dilation_cycle", (0, 21, 10**6, None)),
  ("network.embedding_width", (0, 10**6, None)),
  ("network.mels", (0, 10**6, 1.5, "6")),
  ("schedule", (None, [], {"num_train_timesteps": 20})),
  ("schedule.num_train_timesteps", (0, -1, 10**7, 20.0, "20", None, True, HUGE)),
  ("schedule.name", ("sine", None, ["linear"], {})),
  ("schedule.beta_start", (0, -0.1, 1, NAN, "0.1", None, HUGE)),
  ("schedule.beta_end", (0, 1.0, INFINITY, [0.1])),
  ("schedule.offset", (0.1,)),
  ("schedule.betas", ([0.1], [0.1] * 19 + [NAN], [0.1] * 19 + [1], [[0.1]] * 20, 3)),
  ("family", ("wavegan", None, 3, ["diffwave"], {})),
]
BAD_MUSICLDM = [
  ("sample_rate", (0, 10**6, 16000.0, NAN)),
  ("vae.scaling_factor", (NAN, 0, -1, INFINITY, "1", HUGE)),
  ("vae.layers_per_block", (0, 2000, HUGE, "1")),
  ("unet.layers_per_block", (0, 2000, HUGE, 1.0)),
  ("unet.transformer_layers_per_block", (0, 10**6, [1])),
  ("unet.block_out_channels", ([], [8] * 1000, [8, "x", 24], [8, 16, HUGE], None)),
  ("unet.attention_head_dim", (0, [2, 4, "x"], [2, 4, 0], "x", HUGE)),
  ("unet.norm_eps", (NAN, -1, "x")),
  ("unet.freq_shift", (4, -1, NAN)),
  ("vocoder.upsample_rates", ([5, 4, 0], [5, 4, HUGE], [])),
  ("vocoder.resblock_dilation_sizes", ([[1, 3], []], [[1, 3], [1] * 1000], [1, 3])),
  ("vocoder.leaky_relu_slope", (NAN, "x")),
  ("scheduler.num_train_timesteps", (0, 10**7, HUGE, 20.0)),
  ("scheduler.beta_end", (0, 1, NAN)),
  ("scheduler.trained_betas", ([], [0.1, NAN], [2], 0.1, [0.1] * 100_001)),
  ("mel.mels", (0, 10**9, 8.0)),
  ("mel.fft_size", (0, 10**9, NAN)),
  ("mel.floor", (0, NAN, -1)),
  ("mel.high", (NAN, 10**6, -1)),
  ("mel.low", (NAN, 8001)),
  ("mel.peak", (NAN, 0, "x")),
  ("mel", (None, {}, {"mels": 8})),
]


def musicldm():
  return json.loads(json.dumps(tiny.params()[1]))


def with_value(model, path, value):
  model = copy.deepcopy(model)
  *way, last = path.split(".")
  part = model
  for name in way:
    part = part[name]
  if last == "betas":
    model["schedule"] = {"num_train_timesteps": 20}
    part = model["schedule"]
  part[last] = value
  return model


def flat(cases):
  return [(path, value) for path, values in cases for value in values]


def refused(model, path):
  last = path.split(".")[-1]
  start = time.process_time()
  for build in (
    registry.abstract_params,
    lambda model: registry.build_model(model, {}, 1),
  ):
    # It names the setting, or the table that it stands in.
    first = path.split(".")[0]
    match = rf"\b{last}\b|{first} (lacks|has no)|unknown (model|schedule)|blocks|agree"
    with pytest.raises(ValueError, match=match) as caught:
      build(model)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()
  assert time.process_time() - start < 5  # milliseconds


@pytest.mark.parametrize(("path", "value"), flat(BAD_DIFFWAVE))
def test_a_diffwaves_settings_are_checked_one_by_one(path, value):
  refused(with_value(DIFFWAVE, path, value), path)


@pytest.mark.parametrize(("path", "value"), flat(BAD_MUSICLDM))
def test_a_latent_models_settings_are_checked_one_by_one(path, value):
  refused(with_value(musicldm(), path, value), path)


@pytest.mark.parametrize("missing", sorted(DIFFWAVE))
def test_a_missing_setting_is_named(missing):
  model = {key: value for key, value in DIFFWAVE.items() if key != missing}
  with pytest.raises(ValueError, match=f"the model lacks {missing}"):
    registry.abstract_params(model)


def test_good_settings_are_accepted():
  for model in (DIFFWAVE, musicldm()):
    registry.check_settings(model)
    registry.check_settings(model, tensors=1000)
  cosine = {"name": "cosine", "num_train_timesteps": 20, "offset": 0.01}
  registry.check_settings(DIFFWAVE | {"schedule": cosine})
  registry.check_settings(DIFFWAVE | {"scale": 1, "sample_rate": 44100})


def test_layers_are_bounded_by_what_the_weights_hold():
  model = with_value(DIFFWAVE, "network.layers", 200)
  registry.check_settings(model)
  with pytest.raises(ValueError, match=r"layers = 200 does not fit .* hold 22 tensors"):
    registry.abstract_params(model, tensors=22)
  model = with_value(musicldm(), "unet.layers_per_block", 40)
  with pytest.raises(ValueError, match="make 240 blocks, but the weights hold 200 ten"):
    registry.abstract_params(model, tensors=200)


def test_a_schedule_that_leaves_no_signal_is_refused():
  model = with_value(DIFFWAVE, "schedule.num_train_timesteps", 1000)
  model["schedule"] |= {"beta_start": 0.9, "beta_end": 0.99}
  with pytest.raises(ValueError, match="leave nothing of the signal at t = T"):
    registry.build_model(model, {}, 1)


@pytest.mark.parametrize(
  ("path", "value"),
  [("network.layers", 20_000), ("schedule.num_train_timesteps", 10**7), ("scale", 0)],
)
def test_a_model_folder_with_such_a_value_is_refused_soon(tmp_path, path, value):
  params = {"layer": {"kernel": np.ones(3, np.float32)}}
  checkpoints.save_model(tmp_path, params, with_value(DIFFWAVE, path, value), {})
  start = time.process_time()
  with pytest.raises(
    checkpoints.CheckpointError, match=rf"{path} = {value} is not sup"
  ):
    load_model(tmp_path)
  assert time.process_time() - start < 5  # milliseconds
