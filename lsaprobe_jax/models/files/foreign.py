"""Says what a file or folder is that is no model of ours, and what to give instead.

Files are told by their first bytes and a bounded part of their headers. Nothing in them
is run or unpickled.
"""

import json
import os
import pathlib
import re
import zipfile
from collections.abc import Callable

from lsaprobe_jax.models.files import _torch_pickle, safetensors_reader, torch_reader
from lsaprobe_jax.text import printable

SUPPORTED = (
  "a model folder of launch.train or launch.convert, a .pt file of LMNT's DiffWave, or"
  " the folder of a MusicLDM, AudioLDM, Stable Audio or ACE-Step pipeline that"
  " diffusers saved in safetensors"
)
_HEAD_BYTES = 4096
_MOST_JSON_BYTES = 1 << 22
_MOST_LISTED = 1000
_LIGHTNING = b"pytorch-lightning_version"
_LORA = re.compile(r"lora_(a|b|up|down)\b|lora_(unet|te)\d?_|\.lora\.", re.IGNORECASE)
_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# First bytes, what they say the file is, and the mend.
_CONVERT = "give " + SUPPORTED
_AUDIO = "an audio file where a model was expected; look at the order of the arguments"
_MAGIC = (
  (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch that by"
   " `git lfs pull`, or download it from the project's page"),
  (b"GGUF", f"a GGUF file of llama.cpp's kind, which is not read; {_CONVERT}"),
  (b"\x89HDF\r\n", f"an HDF5 file, as Keras writes, which is not read; {_CONVERT}"),
  (b"fLaC", _AUDIO), (b"OggS", _AUDIO), (b"ID3", _AUDIO), (b"FORM", _AUDIO),
  (b"\xff\xfb", _AUDIO), (b"\xff\xf3", _AUDIO), (b"\xff\xf2", _AUDIO),
  (b"wvpk", _AUDIO), (b"caff", _AUDIO),
  (b"\x1f\x8b", "a gzip archive; unpack it and give what is in it"),
  (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it and give what is in it"),
  (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it and give what is in it"),
  (b"\x93NUMPY", f"a NumPy array, not a model; {_CONVERT}"),
)  # fmt: skip
_SUFFIXES = {
  ".onnx": f"an ONNX file, which is not read; {_CONVERT}",
  ".pb": f"a TensorFlow graph, which is not read; {_CONVERT}",
  ".tflite": f"a TensorFlow Lite file, which is not read; {_CONVERT}",
  ".index": f"a part of a TensorFlow checkpoint, which is not read; {_CONVERT}",
  ".msgpack": f"a Flax checkpoint in msgpack, which is not read; {_CONVERT}",
}
_LORA_SAID = (
  "a LoRA adapter: changes to a model's weights, not a model; give its base, the folder"
  " of a pipeline that diffusers saved, and this beside it as lora (--lora)"
)
_LIGHTNING_SAID = (
  "a PyTorch Lightning checkpoint (state_dict, optimiser and code's objects), whose"
  " network it does not describe; give a pipeline's folder saved by diffusers, or,"
  " of LMNT's DiffWave, a .pt file with 'model' and 'params'"
)


def describe(path: str | os.PathLike) -> str | None:
  """Returns one line that says what a path is and what to give instead.

  Args:
    path: of a file or folder.

  Returns:
    The line, without the path; None where it may be a model that is read, or is
    nothing known.
  """
  path = pathlib.Path(path)
  try:
    return _describe_folder(path) if path.is_dir() else _describe_file(path)
  # Whatever is wrong with it: its reader will say so.
  except Exception:
    return None


def describe_tree(tree: dict) -> str | None:
  """Returns what a .pt file's outermost dictionary is, and what to give instead.

  Args:
    tree: as of `torch_reader.read_state_dict`.

  Returns:
    The line, without the file's name; None where it is nothing known.
  """
  if "pytorch-lightning_version" in tree or "state_dict" in tree:
    return _LIGHTNING_SAID
  if any(_LORA.search(str(name)) for name in tree):
    return _LORA_SAID
  if tree and all(hasattr(value, "shape") for value in tree.values()):
    return (
      f"a bare state dict of {len(tree):,} tensors, which does not say what network"
      f" they are of; {_CONVERT}"
    )
  return None


def _describe_file(path: pathlib.Path) -> str | None:
  if not path.is_file():
    return None
  with path.open("rb") as file:
    head = file.read(_HEAD_BYTES)
  if not head:
    return "an empty file; copy or download it again"
  said = next((said for magic, said in _MAGIC if head.startswith(magic)), None)
  if said is None and head[:4] == b"RIFF" and head[8:12] == b"WAVE":
    said = _AUDIO
  if said is None and head[4:8] == b"ftyp":
    said = _AUDIO
  if said is None and re.match(rb"\s*<(!doctype|html|head|\?xml)", head, re.IGNORECASE):
    said = (
      "a web page, not a model (a download that asked for a login or for consent saves"
      " one); download the file itself"
    )
  if said is None and head[8:9] == b"{":
    said = _describe_safetensors(path)
  if said is None and head.lstrip()[:1] in (b"{", b"["):
    said = (
      f"a text file in JSON; give the folder that it lies in ({_shown(path.parent)})"
    )
  if said is None and zipfile.is_zipfile(path):
    said = _describe_zip(path)
  elif said is None and head[:1] == b"\x80" and not head.startswith(_TORCH_MAGIC):
    said = (
      "a pickle that torch.save did not write; it is not read, because unpickling can"
      f" run anything; {_CONVERT}"
    )
  elif said is None and _LIGHTNING in head:
    said = _LIGHTNING_SAID
  return said or _SUFFIXES.get(path.suffix.lower())


def _describe_safetensors(path: pathlib.Path) -> str:
  """Says what a safetensors file by itself is."""
  names = safetensors_reader.read_header(path)
  if any(_LORA.search(name) for name in names):
    return _LORA_SAID
  for folder in (path.parent, path.parent.parent):
    if any((folder / name).is_file() for name in ("model.json", "model_index.json")):
      return f"the weights of one part of a model; give its folder, {_shown(folder)}"
  return (
    f"bare weights ({len(names):,} tensors), which do not say what network they are of;"
    f" {_CONVERT}"
  )


def _describe_zip(path: pathlib.Path) -> str | None:
  with path.open("rb") as file:
    archive = torch_reader.open_archive(file)
    names = archive.namelist()
    pickles = [name for name in names if name.split("/")[1:] == ["data.pkl"]]
    if any(name.endswith("/constants.pkl") for name in names):
      return f"a TorchScript program, which is not run; {_CONVERT}"
    if not pickles:
      what = "a Keras model" if "model.weights.h5" in names else "a zip archive"
      return f"{what} without PyTorch weights (data.pkl); {_CONVERT}"
    if archive.getinfo(pickles[0]).file_size > _torch_pickle.MOST_BYTES:
      return None
    return _LIGHTNING_SAID if _LIGHTNING in archive.read(pickles[0]) else None


def _describe_folder(folder: pathlib.Path) -> str | None:
  with os.scandir(folder) as entries:
    names = {entry.name for entry, _ in zip(entries, range(_MOST_LISTED), strict=False)}
  if "model_index.json" in names or {"model.json", "weights.safetensors"} <= names:
    return None
  if not names:
    return f"an empty folder; give {SUPPORTED}"
  known: tuple[tuple[Callable[[str], object], Callable[[], str]], ...] = (
    (lambda name: name.startswith("adapter_"), lambda: _LORA_SAID),
    (lambda name: name == "losses.jsonl", lambda: _training(folder)),
    (
      lambda name: name in ("_CHECKPOINT_METADATA", "manifest.ocdbt", "_METADATA"),
      lambda: (
        "a checkpoint of Orbax; give the folder `model` that launch.train exports when"
        " it ends (run it again: it goes on from here)"
      ),
    ),
    (
      lambda name: name in ("saved_model.pb", "checkpoint"),
      lambda: f"a TensorFlow model, which is not read; {_CONVERT}",
    ),
    (lambda name: name == "model_config.json", lambda: _stable_audio(folder)),
    (lambda name: name == "config.json", lambda: _part(folder)),
    (
      lambda name: name.endswith(".index.json"),
      lambda: f"weights in several files, which are one part of a model; {_CONVERT}",
    ),
  )
  for fits, say in known:
    if any(fits(name) for name in names):
      return say()
  files = sorted(n for n in names if n.lower().endswith((".pt", ".pth", ".ckpt")))
  if files:
    return (
      f"a folder with checkpoints in it; give the file, {_shown(folder / files[0])}"
    )
  inner = [n for n in sorted(names) if (folder / n / "model.json").is_file()]
  if inner:
    return f"a folder of model folders; give one, {_shown(folder / inner[0])}"
  return None


def _training(folder: pathlib.Path) -> str:
  """Says what a working folder of launch.train is."""
  if (folder / "model" / "model.json").is_file():
    return (
      f"a working folder of launch.train; give its model, {_shown(folder / 'model')}"
    )
  return (
    "a working folder of launch.train without an exported model; give the same command"
    " again to go on, and then its folder `model`"
  )


def _stable_audio(folder: pathlib.Path) -> str:
  return (
    f"a model of stable-audio-tools ({_kind(folder / 'model_config.json')}), whose"
    f" format is not read; {_CONVERT}"
  )


def _part(folder: pathlib.Path) -> str:
  """Says what a folder with a config.json of diffusers or transformers is."""
  if (folder.parent / "model_index.json").is_file():
    return f"one part of a pipeline; give its folder, {_shown(folder.parent)}"
  return (
    f"a single network ({_kind(folder / 'config.json')}), not a whole pipeline;"
    f" {_CONVERT}"
  )


def _kind(path: pathlib.Path) -> str:
  """Returns the class that a configuration names."""
  with path.open("rb") as file:
    config = json.loads(file.read(_MOST_JSON_BYTES))
  for key in ("_class_name", "architectures", "model_type"):
    value = config.get(key)
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, str):
      return printable(value)[:60]
  return "of no named class"


def _shown(path: pathlib.Path) -> str:
  return printable(path)
