"""Names and axes of LMNT's state dict; parity with its code is a test of its own."""

import jax
import numpy as np
import pytest
from flax import traverse_util

from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.diffwave import porting

# Weights of LMNT's Linear layers are matrices; other kernels are convolutions.
LINEAR = ("projection1", "projection2", "diffusion_projection")


def model_config(mels):
  return {
    "family": "diffwave",
    "network": {
      "channels": 4, "layers": 3, "dilation_cycle": 2, "mels": mels,
      "embedding_width": 8,
    },
    "schedule": {"num_train_timesteps": 4, "betas": [0.01, 0.02, 0.05, 0.1]},
    "sample_rate": 22050,
    "scale": 1.0,
  }  # fmt: skip


def settings(mels):
  return {
    "residual_channels": 4, "residual_layers": 3, "dilation_cycle_length": 2,
    "noise_schedule": np.array([0.01, 0.02, 0.05, 0.1]), "sample_rate": 22050,
    "n_mels": mels or 80, "batch_size": 16,
  }  # fmt: skip


def torch_state(params) -> dict[str, np.ndarray]:
  """Our parameters under LMNT's names and in PyTorch's axis order."""
  state = {}
  for path, value in checkpoints.flatten(params).items():
    *layers, kind = path.split("/")
    name = ".".join(layers).replace("residual_layers_", "residual_layers.")
    if kind == "bias":
      state[f"{name}.bias"] = value
      continue
    if layers[-1] in LINEAR:
      value = value.T
    elif value.ndim == 2:  # [in, out] -> Conv1d [out, in, 1]
      value = value.T[:, :, None]
    elif value.ndim == 3:  # [width, in, out] -> Conv1d [out, in, width]
      value = value.transpose(2, 1, 0)
    else:  # [time, mels, in, out] -> ConvTranspose2d [in, out, mels, time]
      value = value.transpose(2, 3, 1, 0)
    state[f"{name}.weight"] = np.ascontiguousarray(value)
  return state


@pytest.fixture(scope="module", params=[None, 6], ids=["unconditional", "conditional"])
def mels(request):
  return request.param


@pytest.fixture(scope="module")
def params(mels):
  rng = np.random.default_rng(0)
  abstract = registry.abstract_params(model_config(mels))
  return jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), abstract
  )


@pytest.fixture(scope="module")
def state(params):
  return torch_state(params)


def test_names_and_axes_come_back(params, state, mels):
  ported = porting.diffwave_params(state)
  expected = registry.abstract_params(model_config(mels))
  checkpoints.check_fit(ported, expected, "LMNT")
  jax.tree.map(np.testing.assert_array_equal, ported, params)


def test_lmnt_names(state, mels):
  # What the state dict of PyPI diffwave 0.1.7 looks like, of the fixture above.
  assert state["input_projection.weight"].shape == (4, 1, 1)
  assert state["diffusion_embedding.projection1.weight"].shape == (8, 128)
  assert state["residual_layers.2.dilated_conv.weight"].shape == (8, 4, 3)
  assert state["residual_layers.0.diffusion_projection.weight"].shape == (4, 8)
  assert state["residual_layers.1.output_projection.weight"].shape == (8, 4, 1)
  assert state["output_projection.weight"].shape == (1, 4, 1)
  if mels:
    assert state["spectrogram_upsampler.conv2.weight"].shape == (1, 1, 3, 32)
    assert state["residual_layers.0.conditioner_projection.weight"].shape == (8, 6, 1)


def test_prefix_and_stored_table_are_dropped(params, state):
  wrapped = {f"module.{name}": value for name, value in state.items()}
  wrapped["module.diffusion_embedding.embedding"] = np.zeros((4, 128))
  ported = porting.diffwave_params(wrapped)
  jax.tree.map(np.testing.assert_array_equal, ported, params)


def test_the_configuration_is_read_off(state, mels):
  assert porting.diffwave_model_config(settings(mels), state) == model_config(mels)


def test_what_is_missing_is_named(state, mels):
  for name in ("noise_schedule", "residual_layers") + ("n_mels",) * bool(mels):
    some = {k: v for k, v in settings(mels).items() if k != name}
    with pytest.raises(ValueError, match=rf"lack \['{name}'\]"):
      porting.diffwave_model_config(some, state)
  headless = {k: v for k, v in state.items() if "projection1" not in k}
  with pytest.raises(ValueError, match=r"0 tensors are called projection1\.weight"):
    porting.diffwave_model_config(settings(mels), headless)


def test_a_foreign_tensor_is_refused(state):
  with pytest.raises(ValueError, match=r"'norm\.running_mean'"):
    porting.diffwave_params(state | {"norm.running_mean": np.zeros(3)})


def test_every_parameter_has_one_name(params, state):
  assert len(state) == len(traverse_util.flatten_dict(params))
