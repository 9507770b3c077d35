"""launch.convert: what it takes, and what it leaves alone."""

import json
import os
import pickle
import zipfile

import jax
import numpy as np
import pytest
from absl import app, flags
from absl.testing import flagsaver
from launching import complaint

from launch import convert
from lsaprobe_jax import checkpoints, torch_reader
from lsaprobe_jax.models import generator as generators

SETTINGS = {
  "residual_channels": 4,
  "residual_layers": 2,
  "dilation_cycle_length": 2,
  "noise_schedule": [0.01, 0.02, 0.05, 0.1],
  "sample_rate": 22050,
  "n_mels": 6,
}


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


def run(source, output):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(source=str(source), output=str(output)):
    convert.main(["convert"])


@pytest.fixture
def convert_tree(monkeypatch, tmp_path):
  """Converts a checkpoint as the reader would return it; returns the output."""

  def convert_tree(tree):
    monkeypatch.setattr(torch_reader, "read_state_dict", lambda _: tree)
    run(tmp_path / "weights.pt", tmp_path / "model")
    return tmp_path / "model"

  return convert_tree


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
  model = generators.build_generator(record["model"], params, num_steps=2)
  found = jax.jit(model.reconstruct)(np.ones(300, np.float32), 4)
  assert np.all(np.isfinite(found))
  assert np.std(found) > 0


def test_tensors_that_do_not_fit_are_listed_on_both_sides(convert_tree, tmp_path):
  state = lmnt_state()
  state["surplus.weight"] = np.zeros((2, 2), np.float32)
  del state["skip_projection.bias"]
  state["output_projection.weight"] = np.zeros((1, 5, 1), np.float32)
  with pytest.raises(app.UsageError) as error:
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
  with pytest.raises(app.UsageError, match=f"--source=.*weights.pt: .*{match}"):
    convert_tree(tree)
  assert not (tmp_path / "model").exists()


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(app.UsageError, match=r"--source=.*none\.pt: .*No such file"):
    run(tmp_path / "none.pt", tmp_path / "model")
  assert not (tmp_path / "model").exists()


def test_a_file_in_place_of_the_output_folder_is_refused(tmp_path):
  (tmp_path / "model").touch()
  with pytest.raises(app.UsageError, match=r"--output=.*model is a file"):
    run(tmp_path / "none.pt", tmp_path / "model")


class Malicious:
  """Unpickled as Python does, it writes a file."""

  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return os.system, (f"touch {self._path}",)


def test_a_malicious_pickle_is_refused_in_one_line(tmp_path, launcher):
  source, output = tmp_path / "weights.pt", tmp_path / "model"
  with zipfile.ZipFile(source, "w") as archive:
    tree = {"model": Malicious(tmp_path / "pwned"), "params": SETTINGS}
    archive.writestr("weights/data.pkl", pickle.dumps(tree, protocol=2))
  done = launcher.run("convert", f"--source={source}", f"--output={output}")
  assert f"--source={source}" in complaint(done)
  assert "system" in complaint(done)
  assert os.listdir(tmp_path) == ["weights.pt"]


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
  run(tmp_path / "weights.pt", tmp_path / "model")
  check(tmp_path / "model", state)
  record = json.loads((tmp_path / "model" / "model.json").read_text())
  assert record["model"]["network"]["mels"] is None
