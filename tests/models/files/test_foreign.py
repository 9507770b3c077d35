"""Files that are checkpoints but not ours: each is told what it is and what to give."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
import soundfile
import tiny_musicldm as tiny
from safetensors.numpy import save_file

from lsaprobe_jax.models import checkpoints, conversion
from lsaprobe_jax.models.files import foreign
from lsaprobe_jax.training.checkpoints import TrainingCheckpoints


def safetensors(*names):
  header = json.dumps(
    {n: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in names}
  ).encode()
  return struct.pack("<Q", len(header)) + header


def zipped(**members):
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, "w") as archive:
    for name, data in members.items():
      archive.writestr(name.replace("__", "/").replace("_DOT_", "."), data)
  return buffer.getvalue()


def sound(kind):
  buffer = io.BytesIO()
  soundfile.write(buffer, np.zeros(3000), 8000, format=kind)
  return buffer.getvalue()


LIGHTNING = pickle.dumps(
  {"epoch": 3, "pytorch-lightning_version": "2.1", "state_dict": {}}, protocol=2
)
FILES = {
  "empty.pt": (b"", "an empty file"),
  "model.ckpt": (zipped(model__data_DOT_pkl=LIGHTNING), "a PyTorch Lightning"),
  "model.safetensors": (safetensors("a.weight", "b.weight"), r"bare weights \(2 ten"),
  "diffusion_pytorch_model.safetensors": (safetensors("a"), r"bare weights \(1 tensor"),
  "lora.safetensors": (safetensors("unet.to_q.lora_A.weight"), "a LoRA adapter"),
  "kohya.safetensors": (safetensors("lora_unet_down_0.lora_down.weight"), "a LoRA"),
  "peft.safetensors": (safetensors("base.to_k.lora.up.weight"), "a LoRA adapter"),
  "adapter_model.safetensors": (safetensors("m.q.lora_B.default.weight"), "a LoRA"),
  "pytorch_model.bin": (pickle.dumps({"a": 1}, protocol=4), "a pickle that torch"),
  "script.pt": (zipped(m__constants_DOT_pkl=b"", m__data_DOT_pkl=b""), "a TorchScript"),
  "model.keras": (zipped(model_DOT_weights_DOT_h5=b"x"), "a Keras model"),
  "arrays.npz": (zipped(a_DOT_npy=b"x"), r"a zip archive without PyTorch weights"),
  "model.gguf": (b"GGUF\x03\0\0\0", "a GGUF file"),
  "model.onnx": (b"\x08\x07\x12\x07pytorch", "an ONNX file"),
  "model.h5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file, as Keras writes"),
  "graph.pb": (b"\x0a\x09\x12", "a TensorFlow graph"),
  "model.ckpt.index": (bytes(30), "a part of a TensorFlow checkpoint"),
  "weights.npy": (b"\x93NUMPY\x01\0", "a NumPy array"),
  "song.wav": (sound("WAV"), "an audio file where a model was expected"),
  "song.flac": (sound("FLAC"), "an audio file"),
  "song.ogg": (sound("OGG"), "an audio file"),
  "song.mp3": (b"ID3\x04" + bytes(99), "an audio file"),
  "pointer.pt": (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
    "a Git LFS pointer, .*git lfs pull",
  ),
  "page.pt": (b"\n<!DOCTYPE html><html>", "a web page, not a model"),
  "page2.pt": (b"<html><head>", "a web page"),
  "model.pt.gz": (b"\x1f\x8b\x08" + bytes(99), "a gzip archive; unpack it"),
  "model.json": (b'{"model": {}}', "a text file in JSON; give the folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_told_what_it_is(name, tmp_path):
  data, match = FILES[name]
  path = tmp_path / name
  path.write_bytes(data)
  refuse(path, match)


def refuse(path, match):
  """Both ways in: as a source to convert, and as a model."""
  output = path.parent / "converted"
  with pytest.raises(checkpoints.CheckpointError, match=f"^{path}: {match}") as caught:
    conversion.convert(path, output)
  assert not output.exists()
  assert "\n" not in str(caught.value)
  with pytest.raises(checkpoints.CheckpointError, match=f"^{path}: {match}"):
    conversion.find_model(path)


@pytest.mark.parametrize(
  ("files", "match"),
  [
    ({}, "an empty folder; give a model folder of launch.train"),
    ({"adapter_config.json": "{}", "x.safetensors": ""}, "a LoRA adapter"),
    ({"model_config.json": '{"model_type": "diffusion_cond"}', "model.ckpt": ""},
     r"a model of stable-audio-tools \(diffusion_cond\)"),
    ({"config.json": '{"_class_name": "AutoencoderKL"}'}, r"a single network .Autoenc"),
    ({"config.json": '{"architectures": ["ClapModel"]}'}, r"a single network .ClapMod"),
    ({"config.json": "[" * 10_000}, None),
    ({"model.safetensors.index.json": "{}"}, "weights in several files, which are"),
    ({"saved_model.pb": "", "variables": None}, "a TensorFlow model"),
    ({"checkpoint": "", "model.ckpt.index": ""}, "a TensorFlow model"),
    ({"_CHECKPOINT_METADATA": "{}", "default": None}, "a checkpoint of Orbax"),
    ({"losses.jsonl": "", "checkpoints": None}, "a working folder of launch.train"),
    ({"losses.jsonl": "", "model/model.json": "{}"}, "a working .* give its mode"),
    ({"b.pt": "", "a.pt": ""}, "a folder with check.* give the file, .*/a.pt"),
    ({"A/model.json": "{}"}, "a folder of model folders; give one, .*/A"),
  ],
)  # fmt: skip
def test_a_folder_is_told_what_it_is(files, match, tmp_path):
  for name, text in files.items():
    path = tmp_path / "x" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if text is None else path.write_text(text)
  (tmp_path / "x").mkdir(exist_ok=True)
  if match is None:
    assert foreign.describe(tmp_path / "x") is None
  else:
    refuse(tmp_path / "x", match)


def test_a_part_of_a_pipeline_is_led_to_the_whole(tmp_path):
  folder = tiny.save_pipeline(tmp_path / "pipeline")
  assert foreign.describe(folder) is None
  refuse(folder / "unet", f"one part of a pipeline; give its folder, {folder}")
  weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
  refuse(weights, f"the weights of one part of a model; give its folder, {folder}")
  index = folder / "model_index.json"
  refuse(index, f"a text file in JSON; give the folder that it lies in .{folder}")


@pytest.mark.parametrize(
  "kind",
  ["StableAudio3Pipeline", "AudioLDM2Pipeline", "ACEStepPipeline", 3, ["x" * 9999]],
)
def test_another_pipeline_lists_what_is_supported(kind, tmp_path):
  folder = tiny.save_pipeline(tmp_path / "pipeline")
  (folder / "model_index.json").write_text(json.dumps({"_class_name": kind}))
  match = (
    "a pipeline of class .*; known: MusicLDMPipeline, AudioLDMPipeline, StableAudio"
  )
  with pytest.raises(checkpoints.CheckpointError, match=match) as caught:
    conversion.convert(folder, tmp_path / "converted")
  assert len(str(caught.value)) < 300


def test_what_orbax_writes_is_known(tmp_path):
  saved = TrainingCheckpoints(tmp_path / "checkpoints")
  saved.save(5, {"a": np.zeros(3)})
  saved.close()
  refuse(tmp_path / "checkpoints" / "5", "a checkpoint of Orbax")


def test_models_are_left_alone(tmp_path):
  folder = checkpoints.find_model("diffwave-piano-a")
  assert foreign.describe(folder) is None
  assert foreign.describe(tmp_path / "none") is None
  save_file({"a": np.zeros(1)}, tmp_path / "x.safetensors")
  with pytest.raises(
    checkpoints.CheckpointError, match=r"x\.safetensors: bare weights"
  ):
    checkpoints.load_model(conversion.find_model(str(tmp_path / "x.safetensors")))


def test_names_are_escaped(tmp_path):
  path = tmp_path / "a\x1b[31m\n\u202eb.pt"
  path.write_bytes(b"GGUF")
  with pytest.raises(checkpoints.CheckpointError) as caught:
    conversion.find_model(str(path))
  assert r"/a\x1b[31m\n\u202eb.pt: a GGUF file" in str(caught.value)
