"""launch.convert: its flags reach the library, and what it refuses is one line."""

import os
import pickle
import zipfile

import numpy as np
import tiny_lora
import tiny_musicldm as tiny
from launching import complaint

from lsaprobe_jax.models import checkpoints


def test_flags_reach_the_library(tmp_path, launcher):
  source = tiny.save_pipeline(tmp_path / "pipeline")
  output, embedding = tmp_path / "model", tmp_path / "embedding.npy"
  np.save(embedding, np.arange(6.0))
  given = {"source": source, "output": output, "embedding": embedding}
  given = [f"--{name}={path}" for name, path in given.items()]
  refused = launcher.run("convert", *given, "more")
  assert complaint(refused) == "error: unknown arguments: more"
  done = launcher.run("convert", *given)
  assert done.returncode == 0, done.stderr
  params, record = checkpoints.load_model(output)
  assert record["training"]["condition"] == {"embedding": "embedding.npy"}
  np.testing.assert_array_equal(params["conditioning"]["embedding"], np.arange(6))


class Malicious:
  """Unpickled as Python does, it writes a file."""

  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return os.system, (f"touch {self._path}",)


def test_a_malicious_pickle_is_refused_in_one_line(tmp_path, launcher):
  source, output = tmp_path / "weights.pt", tmp_path / "model"
  with zipfile.ZipFile(source, "w") as archive:
    tree = {"model": Malicious(tmp_path / "pwned"), "params": {}}
    archive.writestr("weights/data.pkl", pickle.dumps(tree, protocol=2))
  done = launcher.run("convert", f"--source={source}", f"--output={output}")
  assert complaint(done).startswith(f"error: {source}: ")
  assert "system" in complaint(done)
  assert os.listdir(tmp_path) == ["weights.pt"]


def test_a_lora_goes_to_the_library(tmp_path, launcher):
  source = tiny.save_pipeline(tmp_path / "pipeline")
  lora = tiny_lora.save_lora(tmp_path / "artist.safetensors", source)
  flags = [f"--source={source}", f"--output={tmp_path / 'model'}"]
  refused = launcher.run("convert", *flags, f"--lora={tmp_path}")
  assert complaint(refused).startswith(f"error: --lora={tmp_path}: a LoRA's folder has")
  refused = launcher.run("convert", *flags, f"--lora={lora}", "--lora_scale=-1")
  assert complaint(refused).startswith("error: --lora_scale = -1.0 is not supported")
  done = launcher.run("convert", *flags, f"--lora={lora}", "--lora_scale=0.5")
  assert done.returncode == 0, done.stderr
  record = checkpoints.load_model(tmp_path / "model")[1]["training"]["lora"]
  assert (record["file"], record["scale"]) == ("artist.safetensors", 0.5)
