"""DiffWave checkpoints of LMNT's as model folders; weights drawn, not trained."""

import json

import jax
import numpy as np
import pytest

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.checkpoints import CheckpointError
from lsaprobe_jax.models.conversion import convert
from lsaprobe_jax.models.files import torch_reader

SETTINGS = {
  "residual_channels": 4,
  "residual_layers": 2,
  "dilation_cycle_length": 2,
  "noise_schedule": [0.01, 0.02, 0.05, 0.1],
  "sample_rate": 22050,
  "n_mels": 6,
}


@pytest.fixture
def convert_tree(monkeypatch, tmp_path):
  """Converts a checkpoint as the reader would return it; returns the output."""

  def convert_tree(tree):
    monkeypatch.setattr(torch_reader, "read_state_dict", lambda _: tree)
    (tmp_path / "weights.pt").write_bytes(b"the reader is a stand-in")
    return convert(tmp_path / "weights.pt", tmp_path / "model")

  return convert_tree


def lmnt_state(seed=0):
  """Random tensors under the names and shapes of an unconditional LMNT model."""
  rng = np.random.default_rng(seed)
  shapes = {
    "input_projection": (4, 1, 1),
    "diffusion_embedding.projection1": (8, 128),
    "diffusion_embedding.projection2": (8, 8),
    "skip_projection": (4, 4, 1),
    "output_projection": (1, 4, 1),
  }
  for i in range(2):
    shapes |= {
      f"residual_layers.{i}.dilated_conv": (8, 4, 3),
      f"residual_layers.{i}.diffusion_projection": (4, 8),
      f"residual_layers.{i}.output_projection": (8, 4, 1),
    }
  state = {}
  for name, shape in shapes.items():
    state[f"{name}.weight"] = rng.normal(size=shape).astype(np.float32)
    state[f"{name}.bias"] = rng.normal(size=shape[0]).astype(np.float32)
  return state


def test_a_checkpoint_becomes_a_model_folder(convert_tree):
  state = lmnt_state()
  folder = convert_tree({"model": state, "params": SETTINGS, "step": 3})
  check(folder, state)


def check(folder, state):
  params, record = checkpoints.load_model(folder)
  assert record["training"] == {"converted_from": "weights.pt", "steps": 3}
  assert record["model"]["schedule"]["betas"] == SETTINGS["noise_schedule"]
  np.testing.assert_array_equal(
    params["residual_layers_1"]["dilated_conv"]["kernel"][2],
    state["residual_layers.1.dilated_conv.weight"][:, :, 2].T,
  )
  model = registry.build_model(record["model"], params, num_inference_steps=2)
  found = jax.jit(model.reconstruct)(np.ones(300, np.float32), 4)
  assert np.all(np.isfinite(found))
  assert np.std(found) > 0


def test_tensors_that_do_not_fit_are_listed_on_both_sides(convert_tree, tmp_path):
  state = lmnt_state()
  state["surplus.weight"] = np.zeros((2, 2), np.float32)
  del state["skip_projection.bias"]
  state["output_projection.weight"] = np.zeros((1, 5, 1), np.float32)
  with pytest.raises(CheckpointError) as error:
    convert_tree({"model": state, "params": SETTINGS})
  line = str(error.value)
  assert "left over: ['surplus/kernel']; missing: ['skip_projection/bias']" in line
  assert "output_projection/kernel: (5, 1), expected (4, 1)" in line
  assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
  ("tree", "match"),
  [
    ({"params": SETTINGS}, "no 'model' in it"),
    ({"model": {}, "params": 3}, "no 'params' in it"),
    ({"model": {}, "params": {}}, r"params lack \['residual_channels'"),
    ({"model": {}, "params": SETTINGS}, "0 tensors are called projection1"),
  ],
)
def test_other_checkpoints_are_refused(convert_tree, tmp_path, tree, match):
  with pytest.raises(CheckpointError, match=f"^/.*/weights.pt: .*{match}"):
    convert_tree(tree)
  assert not (tmp_path / "model").exists()


def test_a_vocoder_is_refused(convert_tree, tmp_path):
  """LMNT's own published weights: they draw a clip from its spectrogram."""
  state = lmnt_state()
  for i in range(2):
    name = f"residual_layers.{i}.conditioner_projection"
    state |= {f"{name}.weight": np.ones((8, 6, 1), np.float32)}
    state |= {f"{name}.bias": np.ones(8, np.float32)}
  with pytest.raises(CheckpointError, match=r"conditional: .* from 6 mel bands"):
    convert_tree({"model": state, "params": SETTINGS})
  assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
  ("tree", "match"),
  [
    (
      {"state_dict": {}, "pytorch-lightning_version": "2.1"},
      "a PyTorch Lightning check",
    ),
    ({"state_dict": {}}, "a PyTorch Lightning checkpoint"),
    ({"a.weight": np.zeros(3)}, "a bare state dict of 1 tensors"),
    ({"a.lora_down.weight": np.zeros(3)}, "a LoRA adapter"),
    ({str(i): 3 for i in range(10**5)}, r"but \['0', .*and 99,990 more\]: not a check"),
  ],
)
def test_other_checkpoints_are_told_what_they_are(convert_tree, tree, match):
  with pytest.raises(CheckpointError, match=match) as caught:
    convert_tree(tree)
  assert len(str(caught.value)) < 700


BAD_WEIGHTS = [
  ([np.nan, 1, np.inf, 0], r"NaN in skip_projection\.bias \(2 of 4 values\)"),
  ([-np.inf, 1, 0, 0], r"infinity in skip_projection\.bias \(1 of 4 values\)"),
  (np.float16([np.inf, 1, 0, 0]), "infinity in skip_projection"),
  (np.float64([1e300, 1, 0, 0]), "infinity in skip_projection"),
  (np.arange(4), r"skip_projection\.bias holds int64, where weights are floating"),
  (np.ones(4, bool), r"skip_projection\.bias holds bool"),
  (np.ones(4, np.complex64), r"skip_projection\.bias holds complex64"),
  ({}, "'skip_projection.bias' among its tensors is a dict"),
]


@pytest.mark.parametrize(("value", "match"), BAD_WEIGHTS)
def test_what_is_no_weight_is_named(convert_tree, tmp_path, value, match):
  value = np.array(value, np.float32) if isinstance(value, list) else value
  state = lmnt_state() | {"skip_projection.bias": value}
  with pytest.raises(CheckpointError, match=match):
    convert_tree({"model": state, "params": SETTINGS})
  assert not (tmp_path / "model").exists()


def test_settings_may_be_tensors_and_whole_floats(convert_tree):
  settings = SETTINGS | {
    "residual_channels": np.array(4),
    "sample_rate": np.array([22050.0], np.float32),
    "noise_schedule": np.array(SETTINGS["noise_schedule"]),
  }
  tree = {"model": lmnt_state(), "params": settings, "step": np.array(3)}
  check(convert_tree(tree), lmnt_state())


@pytest.mark.parametrize(
  ("change", "match"),
  [
    ({"residual_layers": 20_000}, r"network\.layers = 20000 is not supported"),
    (
      {"residual_layers": 200},
      r"network\.layers = 200 does not fit the weights: they h",
    ),
    (
      {"residual_layers": 2.5},
      r"network\.layers = 2\.5 is not supported; it must be a",
    ),
    ({"residual_channels": "4"}, r"network\.channels = '4' is not supported"),
    ({"residual_channels": True}, r"network\.channels = True is not supported"),
    ({"sample_rate": 10**9}, "sample_rate = 1000000000 is not supported"),
    ({"sample_rate": float("nan")}, "sample_rate = nan is not supported"),
    ({"noise_schedule": [0.1, float("nan")]}, r"noise_schedule\[1\] = nan"),
    ({"noise_schedule": [0.1, 1.0]}, r"noise_schedule\[1\] = 1 is"),
    ({"noise_schedule": 3}, "noise_schedule = 3 is not supported; it must be a list"),
    ({"noise_schedule": [0.1] * 100_001}, "must be a list of 1 to 100,000 numbers"),
    ({"noise_schedule": [0.99] * 1000}, "leave nothing of the signal"),
  ],
)
def test_settings_are_checked_before_anything_is_built(convert_tree, change, match):
  with pytest.raises(CheckpointError, match=match):
    convert_tree({"model": lmnt_state(), "params": SETTINGS | change})


def test_two_names_of_one_tensor_are_refused(convert_tree):
  state = lmnt_state()
  state["module.skip_projection.bias"] = state["skip_projection.bias"]
  with pytest.raises(
    CheckpointError, match="two tensors are both skip_projection/bias"
  ):
    convert_tree({"model": state, "params": SETTINGS})


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(CheckpointError, match=r"^/.*/none\.pt: no such file or folder$"):
    convert(tmp_path / "none.pt", tmp_path / "model")
  assert not (tmp_path / "model").exists()


def test_a_file_in_place_of_the_output_folder_is_refused(tmp_path):
  (tmp_path / "model").touch()
  with pytest.raises(ArgumentError, match=r"^output=.*model is a file"):
    convert(tmp_path / "none.pt", tmp_path / "model")


def test_another_model_in_the_output_folder_is_not_replaced(convert_tree, tmp_path):
  tree = {"model": lmnt_state(), "params": SETTINGS, "step": 3}
  record = convert_tree(tree) / "model.json"
  weights = record.with_name("weights.safetensors")
  before = record.read_bytes(), weights.read_bytes()
  with pytest.raises(ArgumentError, match=r"^output=.*: it holds another model;"):
    convert_tree(tree | {"model": lmnt_state(1)})
  assert (record.read_bytes(), weights.read_bytes()) == before
  assert len(list(record.parent.iterdir())) == 2
  # The same weights are, and what is damaged.
  convert_tree(tree | {"step": 4})
  assert record.read_bytes() != before[0]
  record.write_text("{")
  convert_tree(tree | {"model": lmnt_state(1)})
  assert weights.read_bytes() != before[1]


@pytest.mark.parity
def test_a_file_that_pytorch_wrote(tmp_path):
  torch = pytest.importorskip("torch")
  state = lmnt_state()
  tensors = {name: torch.tensor(value) for name, value in state.items()}
  adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))])
  tree = {
    "model": tensors,
    "optimizer": adam.state_dict(),
    "params": SETTINGS,
    "step": 3,
  }
  torch.save(tree, tmp_path / "weights.pt")
  convert(tmp_path / "weights.pt", tmp_path / "model")
  check(tmp_path / "model", state)
  record = json.loads((tmp_path / "model" / "model.json").read_text())
  assert record["model"]["network"]["mels"] is None
