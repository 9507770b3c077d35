import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from lsaprobe_jax import checkpoints
from lsaprobe_jax.models import generator as generators

MODEL = {
  "family": "diffwave",
  "network": {"channels": 4, "layers": 2, "dilation_cycle": 2, "embedding_width": 8},
  "schedule": {"name": "linear", "num_steps": 20, "beta_start": 1e-4, "beta_end": 0.02},
  "sample_rate": 8000,
  "scale": 1.0,
}


@pytest.fixture(scope="module")
def params():
  return generators.init_params(MODEL, jax.random.key(0))


@pytest.fixture
def folder(tmp_path, params):
  checkpoints.save_model(tmp_path / "model", params, MODEL, {"epochs": 3})
  return tmp_path / "model"


def test_a_model_comes_back_as_it_was(folder, params):
  loaded, record = checkpoints.load_model(folder)
  jax.tree.map(np.testing.assert_array_equal, loaded, params)
  assert record["model"] == MODEL
  assert record["training"] == {"epochs": 3}


def test_half_precision_is_for_storage_only(tmp_path, params):
  halves = jax.tree.map(lambda x: np.asarray(x, np.float16), params)
  checkpoints.save_model(tmp_path, halves, MODEL, {})
  loaded, _ = checkpoints.load_model(tmp_path)
  jax.tree.map(
    lambda found, stored: np.testing.assert_array_equal(
      found, stored.astype(np.float32), strict=True
    ),
    loaded,
    halves,
  )


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_missing_file_is_named(folder, name):
  (folder / name).unlink()
  with pytest.raises(checkpoints.CheckpointError, match=name):
    checkpoints.load_model(folder)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04garbage", b"[" * 100])
def test_a_damaged_file_is_refused(folder, name, content):
  (folder / name).write_bytes(content)
  with pytest.raises(checkpoints.CheckpointError, match=str(folder)):
    checkpoints.load_model(folder)


def test_weights_of_another_model_are_refused(folder, params, tmp_path):
  other = jax.tree.map(lambda x: x + 1, params)
  checkpoints.save_model(tmp_path / "other", other, MODEL, {})
  weights = (tmp_path / "other" / "weights.safetensors").read_bytes()
  (folder / "weights.safetensors").write_bytes(weights)
  with pytest.raises(checkpoints.CheckpointError, match="not the file"):
    checkpoints.load_model(folder)


def test_a_record_without_its_keys_is_refused(folder):
  (folder / "model.json").write_text(json.dumps({"model": MODEL}))
  with pytest.raises(checkpoints.CheckpointError, match=r"training.*weights_sha256"):
    checkpoints.load_model(folder)


@pytest.mark.parametrize(
  "training", [[1], "x", {"clips": {}}, {"clips": [1]}, {"clips": [{"id": "a"}]}]
)
def test_a_record_of_no_training_is_refused(folder, training):
  record = json.loads((folder / "model.json").read_text())
  (folder / "model.json").write_text(json.dumps(record | {"training": training}))
  with pytest.raises(checkpoints.CheckpointError, match="no record of clips"):
    checkpoints.load_model(folder)


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b/c", "a")])
def test_a_tensor_below_another_is_refused(folder, names):
  save_file({name: np.zeros(1) for name in names}, folder / "weights.safetensors")
  with pytest.raises(checkpoints.CheckpointError, match="below another tensor"):
    checkpoints.load_model(folder)


def test_a_mismatch_lists_both_sides(params):
  expected = generators.abstract_params(MODEL)
  checkpoints.check_fit(params, expected, "same")
  changed = {k: v for k, v in params.items() if k != "skip_projection"}
  changed["extra"] = {"kernel": jnp.zeros(3)}
  changed["input_projection"] = {
    "kernel": jnp.zeros((1, 5)),
    "bias": params["input_projection"]["bias"],
  }
  with pytest.raises(checkpoints.CheckpointError) as error:
    checkpoints.check_fit(changed, expected, "thing")
  text = str(error.value)
  assert "left over: ['extra/kernel']" in text
  assert "skip_projection/bias" in text
  assert "input_projection/kernel: (1, 5), expected (1, 4)" in text


def test_an_unknown_name_lists_the_embedded_models():
  with pytest.raises(checkpoints.CheckpointError, match="diffwave-multigenre-a"):
    checkpoints.find_model("no-such-model")
  with pytest.raises(checkpoints.CheckpointError, match="no model folder xxx"):
    checkpoints.find_model("x" * 5000)


def test_training_states_survive(tmp_path, params):
  state = {"params": params, "count": jnp.int32(3)}
  saved = checkpoints.TrainingCheckpoints(tmp_path / "states")
  assert saved.restore_latest(state) is None
  saved.save(5, state)
  saved.save(10, jax.tree.map(lambda x: x * 2, state))
  saved.close()
  step, restored = checkpoints.TrainingCheckpoints(tmp_path / "states").restore_latest(
    state
  )
  assert step == 10
  assert restored["count"] == 6
  np.testing.assert_array_equal(
    restored["params"]["skip_projection"]["kernel"],
    2 * params["skip_projection"]["kernel"],
  )
