import hashlib
import json
import math
import struct
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import save_file

from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.files import safetensors_reader

MODEL = {
  "family": "diffwave",
  "network": {"channels": 4, "layers": 2, "dilation_cycle": 2, "embedding_width": 8},
  "schedule": {
    "name": "linear",
    "num_train_timesteps": 20,
    "beta_start": 1e-4,
    "beta_end": 0.02,
  },
  "sample_rate": 8000,
  "scale": 1.0,
}


@pytest.fixture(scope="module")
def params():
  return registry.init_params(MODEL, jax.random.key(0))


@pytest.fixture
def folder(tmp_path, params):
  checkpoints.save_model(tmp_path / "model", params, MODEL, {"epochs": 3})
  return tmp_path / "model"


def test_who_may_read_the_record_may_read_the_weights(folder):
  modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
  assert modes["weights.safetensors"] == modes["model.json"]


def test_a_model_that_cannot_be_written_leaves_the_one_that_was_there(
  folder, params, monkeypatch
):
  before = {path.name: path.read_bytes() for path in folder.iterdir()}

  def failing(flat, path):
    path.write_bytes(b"half")
    raise SafetensorError("No space left on device")

  monkeypatch.setattr(checkpoints, "save_file", failing)
  with pytest.raises(OSError, match=r"model: .*No space left"):
    checkpoints.save_model(folder, params, MODEL, {})
  assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_figure_that_is_no_number_is_null_in_the_record(tmp_path, params):
  checkpoints.save_model(tmp_path, params, MODEL, {"eval_loss": {"a": [math.nan]}})
  assert checkpoints.load_model(tmp_path)[1]["training"] == {"eval_loss": {"a": [None]}}


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


def with_weights(folder, data):
  """Puts other weights in a model folder, and their hash in its record."""
  (folder / "weights.safetensors").write_bytes(data)
  record = json.loads((folder / "model.json").read_text())
  record["weights_sha256"] = hashlib.sha256(data).hexdigest()
  (folder / "model.json").write_text(json.dumps(record))
  return folder


def changed(params, value):
  """The parameters with another `skip_projection/bias`."""
  own = params["skip_projection"] | {"bias": value}
  return params | {"skip_projection": own}


@pytest.mark.parametrize(
  ("value", "match"),
  [
    (np.float32([1, np.nan, 1, 1]), r"NaN in skip_projection/bias \(1 of 4 values\)"),
    (np.float16([np.inf, 1, 1, 1]), r"infinity in skip_projection/bias \(1 of 4 val"),
    (np.float64([1e39, 1, 1, 1]), "infinity in skip_projection/bias"),
    (np.int32([1, 2, 3, 4]), "damaged .skip_projection/bias is of type I32, but w"),
    (np.ones(4, bool), "damaged .skip_projection/bias is of type BOOL, but weights"),
    (np.ones(4, np.complex64), "damaged .skip_projection/bias is of type C64, but"),
  ],
)
def test_what_is_no_weight_is_refused_by_name(tmp_path, params, value, match):
  checkpoints.save_model(tmp_path, changed(params, value), MODEL, {})
  with pytest.raises(checkpoints.CheckpointError, match=match) as caught:
    checkpoints.load_model(tmp_path)
  assert str(caught.value).startswith(str(tmp_path))
  assert "export" in str(caught.value)


def test_doubles_become_float32(tmp_path, params):
  value = np.float64([0.1, 1, 2, 3])
  checkpoints.save_model(tmp_path, changed(params, value), MODEL, {})
  loaded = checkpoints.load_model(tmp_path)[0]["skip_projection"]["bias"]
  np.testing.assert_array_equal(loaded, value.astype(np.float32), strict=True)


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "X\x1b[31m"])
def test_types_that_numpy_lacks_end_in_one_line(folder, dtype):
  header = {"a/kernel": {"dtype": dtype, "shape": [4], "data_offsets": [0, 4]}}
  header = json.dumps(header).encode()
  with_weights(folder, struct.pack("<Q", len(header)) + header + bytes(4))
  with pytest.raises(
    checkpoints.CheckpointError, match="a/kernel is of type"
  ) as caught:
    checkpoints.load_model(folder)
  assert str(caught.value).isprintable()


def test_a_name_of_many_parts_is_refused_soon(folder):
  save_file({"a/" * 150_000 + "b": np.zeros(1)}, folder / "weights.safetensors")
  start = time.process_time()
  with pytest.raises(checkpoints.CheckpointError, match="150,001 parts") as caught:
    checkpoints.load_model(folder)
  assert time.process_time() - start < 5  # about 0.01
  assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
  "error", [MemoryError(), RecursionError("deep"), OverflowError("a\nb"), KeyError("x")]
)
def test_any_failure_is_one_line_that_names_the_folder(folder, error, monkeypatch):
  def fail(*_):
    raise error

  monkeypatch.setattr(checkpoints.safetensors_reader, "read_weights", fail)
  kind = type(error).__name__
  with pytest.raises(
    checkpoints.CheckpointError, match=rf"^{folder}: damaged \({kind}"
  ):
    checkpoints.load_model(folder)


def test_a_record_with_nan_is_refused(folder):
  record = json.loads((folder / "model.json").read_text())
  record["model"]["scale"] = float("nan")
  (folder / "model.json").write_text(json.dumps(record))
  with pytest.raises(checkpoints.CheckpointError, match=r"damaged \(holds NaN"):
    checkpoints.load_model(folder)


def test_names_in_messages_are_escaped_and_few():
  hostile = {f"\x1b[31m\n{i}": np.zeros(1) for i in range(100_000)}
  with pytest.raises(checkpoints.CheckpointError) as caught:
    checkpoints.check_fit(hostile, {"a": np.zeros(2)}, "a\nb")
  line = str(caught.value)
  assert line.startswith("a\\nb: weights do not fit the model; left over: [")
  assert "... and 99,990 more]; missing: ['a']; wrong shape: []" in line
  assert line.isprintable()
  assert len(line) < 1000


def test_a_mismatch_lists_both_sides(params):
  expected = registry.abstract_params(MODEL)
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


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "[]", '{"model": 3}'])
def test_a_deep_or_odd_record_is_refused(folder, text):
  (folder / "model.json").write_text(text)
  with pytest.raises(checkpoints.CheckpointError, match="damaged") as caught:
    checkpoints.load_model(folder)
  assert str(folder) in str(caught.value)


@pytest.fixture
def sharing(tmp_path, monkeypatch, params):
  """Two models that share a network, and what they were before."""
  monkeypatch.setattr(checkpoints, "_EMBEDDED", tmp_path)
  part = next(iter(params))
  other = params | {
    name: jax.tree.map(lambda x: x + 1, value)
    for name, value in params.items()
    if name != part
  }
  folders = [tmp_path / "one", tmp_path / "two"]
  for folder, tree in zip(folders, (params, other), strict=True):
    checkpoints.save_model(folder, tree, MODEL, {"epochs": 3})
  before = [checkpoints.load_model(folder) for folder in folders]
  checkpoints.share(folders, [part], "parts")
  return folders, before, part


def test_models_that_share_a_network_are_as_they_were(sharing):
  folders, before, part = sharing
  for folder, (params, record) in zip(folders, before, strict=True):
    assert not any(
      name.startswith(f"{part}/")
      for name in safetensors_reader.read_weights(folder / "weights.safetensors")
    )
    found, again = checkpoints.load_model(folder)
    jax.tree.map(np.testing.assert_array_equal, found, params)
    assert again == record


def test_networks_that_differ_are_not_shared(sharing, params):
  folders, _, part = sharing
  with pytest.raises(ValueError, match="is there; models that share it would break"):
    checkpoints.share(folders, [part], "parts")
  with pytest.raises(ValueError, match="one: it has no vea"):
    checkpoints.share(folders, ["vea"], "more")
  name = next(name for name in params if name != part)
  with pytest.raises(ValueError, match=f"two: its {name} are not those of the others"):
    checkpoints.share(folders, [name], "more")


def test_a_shared_network_that_is_another_is_refused(sharing):
  folders, _, _ = sharing
  path = folders[0].parent / "parts" / "weights.safetensors"
  tensors = safetensors_reader.read_weights(path)
  save_file({name: value + 1 for name, value in tensors.items()}, path)
  with pytest.raises(checkpoints.CheckpointError, match="not those of this version"):
    checkpoints.load_model(folders[0])
  path.unlink()
  with pytest.raises(checkpoints.CheckpointError, match="not those of this version"):
    checkpoints.load_model(folders[1])


def test_the_hash_of_a_model_that_shares_is_of_all_its_weights(sharing):
  """With another's record it would pass for that in rows and dossiers."""
  folders, _, _ = sharing
  path = folders[0] / "model.json"
  record, other = (json.loads((f / "model.json").read_text()) for f in folders)
  record["weights_sha256"] = other["weights_sha256"]
  path.write_text(json.dumps(record))
  with pytest.raises(checkpoints.CheckpointError, match=r"not those that model\.json"):
    checkpoints.load_model(folders[0])


@pytest.mark.parametrize("name", ["../two", "/etc", "two/../parts", ""])
def test_only_an_embedded_file_can_be_shared(sharing, name):
  folders, _, _ = sharing
  path = folders[0] / "model.json"
  record = json.loads(path.read_text())
  record["shared"]["name"] = name
  path.write_text(json.dumps(record))
  with pytest.raises(checkpoints.CheckpointError, match="not those of this version"):
    checkpoints.load_model(folders[0])


@pytest.mark.parametrize("shared", ["parts", {"name": "parts"}, {"name": 3}, []])
def test_a_record_must_say_what_is_shared(sharing, shared):
  folders, _, _ = sharing
  path = folders[0] / "model.json"
  path.write_text(json.dumps(json.loads(path.read_text()) | {"shared": shared}))
  with pytest.raises(checkpoints.CheckpointError, match="its `shared` does not say"):
    checkpoints.load_model(folders[0])
