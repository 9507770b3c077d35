"""Model folders on disk.

A *model folder* holds `model.json` (architecture, schedule, how it was trained, the
clips it saw) and `weights.safetensors`. Neither can run code when read. Embedded models
share networks that are the same in all: the record's `shared` then names the file in
`weights` that has them (`share`).
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import save as safetensors_bytes
from safetensors.numpy import save_file

from lsaprobe_jax import strict_json
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.files import temporary_beside, write_whole
from lsaprobe_jax.models.files import foreign, safetensors_reader, tensors
from lsaprobe_jax.text import printable

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"
# Parsed, it takes several times its size; clips of 900 hours take 150 MB.
_MAX_RECORD_BYTES = 1 << 30
_LONGEST_REASON = 2000
_EMBEDDED = pathlib.Path(__file__).parents[1] / "weights"


class CheckpointError(LsaProbeError):
  """A model folder that cannot be used; the message names it and the mend."""


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
  """Turns whatever goes wrong while one checkpoint is read into one line.

  What libraries raise on a damaged file or on sizes that make no network is almost
  anything, MemoryError and RecursionError included.

  Args:
    what: begins the line, with `{}` for the reason.

  Raises:
    CheckpointError: in the place of any other exception; a LsaProbeError, which names
      its input already, is left as it is.
  """
  try:
    yield
  except LsaProbeError:
    raise
  except Exception as error:
    said = reason(error)
    if isinstance(error, PermissionError):
      said += "; let this account read it"
    raise CheckpointError(what.replace("{}", said, 1)) from error


def reason(error: Exception) -> str:
  """Returns what an error says, in one line of bounded length."""
  said = printable(" ".join(str(error)[:_LONGEST_REASON].split()))
  # A KeyError says a name only, a MemoryError nothing.
  if said and isinstance(error, (ValueError, OSError)):
    return said
  kind = type(error).__name__
  return f"{kind}: {said}" if said else kind


def flatten(params: Any) -> dict[str, np.ndarray]:
  """Returns nested parameters as `{"layer/kernel": array}`."""
  return {
    name: np.asarray(value)
    for name, value in traverse_util.flatten_dict(params, sep="/").items()
  }


def save_model(
  folder: str | pathlib.Path,
  params: Any,
  model: dict[str, Any],
  training: Any,
  *,
  replace: bool = True,
) -> None:
  """Writes a model folder.

  Args:
    folder: created if missing.
    params: the network's parameters.
    model: the model configuration (`models.registry.build_model`).
    training: JSON-able record of where the weights come from; what is not a finite
      number in it becomes null.
    replace: whether a model of other weights may be replaced that is in the folder; a
      damaged one always is.

  Raises:
    OSError: the folder cannot be written, or holds a model of other weights; what was
      in it is as it was.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  # Unlike NumPy's ascontiguousarray this leaves a scalar a scalar.
  flat = {k: np.asarray(v, order="C") for k, v in flatten(params).items()}
  weights = temporary_beside(folder / WEIGHTS_FILE)
  try:
    save_file(flat, weights)
    record = {
      "model": model,
      "training": strict_json.to_json(training),
      "weights_sha256": _sha256(weights),
    }
    if not replace and _other_weights(folder, record["weights_sha256"]):
      raise FileExistsError("it holds another model; name another folder, or delete it")
    # The record last: one that is there describes weights that are whole.
    (folder / MODEL_FILE).unlink(missing_ok=True)
    weights.replace(folder / WEIGHTS_FILE)
  except SafetensorError as error:
    raise OSError(f"{printable(folder)}: {reason(error)}") from error
  finally:
    weights.unlink(missing_ok=True)
  write_whole(folder / MODEL_FILE, json.dumps(record, indent=1) + "\n")
  # safetensors leaves its file to its owner alone; whoever reads the record reads both.
  shutil.copymode(folder / MODEL_FILE, folder / WEIGHTS_FILE)


def _other_weights(folder: pathlib.Path, weights_sha256: str) -> bool:
  """Whether a folder holds a model that is not damaged, of other weights than these."""
  try:
    return read_record(folder).get("weights_sha256") != weights_sha256
  except CheckpointError:
    return False


def load_model(folder: str | pathlib.Path) -> tuple[Any, dict[str, Any]]:
  """Reads a model folder; weights of every floating-point type become float32.

  Returns:
    (parameters, the record in model.json).

  Raises:
    CheckpointError: a file is missing or damaged, the weights are not those that
      model.json was written for, or one of them is not a finite number.
  """
  folder = pathlib.Path(folder)
  shown = printable(folder)
  with reading(f"{shown}: damaged ({{}}); export it again"):
    record, flat = _read(folder, shown)
  with reading(f"{shown}/{WEIGHTS_FILE}: {{}}; export the model again"):
    flat = {name: tensors.weight(name, value) for name, value in flat.items()}
  return traverse_util.unflatten_dict(flat, sep="/"), record


def read_record(folder: str | pathlib.Path) -> dict[str, Any]:
  """Reads what model.json says of a model, and none of its weights.

  Raises:
    CheckpointError: it is missing or damaged.
  """
  path = pathlib.Path(folder) / MODEL_FILE
  if not path.is_file():
    raise CheckpointError(
      f"{printable(folder)}: no {MODEL_FILE}; it is no model folder"
    )
  with reading(f"{printable(path)}: damaged ({{}}); export it again"):
    record = strict_json.loads(path.read_bytes())
    _check_record(record)
    return record


def _read(
  folder: pathlib.Path, shown: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """Reads the record and the tensors of a model folder, which must belong together."""
  for name in (MODEL_FILE, WEIGHTS_FILE):
    if not (folder / name).is_file():
      said = foreign.describe(folder)
      said = (
        said or f"no {name}; a model folder comes from launch.train or launch.convert"
      )
      raise CheckpointError(f"{shown}: {said}")
  if (folder / MODEL_FILE).stat().st_size > _MAX_RECORD_BYTES:
    raise CheckpointError(f"{shown}/{MODEL_FILE}: too large; export it again")
  record = strict_json.loads((folder / MODEL_FILE).read_bytes())
  flat = safetensors_reader.read_weights(folder / WEIGHTS_FILE)
  _check_record(record)
  safetensors_reader.check_nesting(list(flat))
  missing = {"model", "training", "weights_sha256"} - set(record)
  if missing:
    raise CheckpointError(f"{shown}/{MODEL_FILE}: lacks {sorted(missing)}")
  shared = record.pop("shared", None)
  own = shared["own_sha256"] if shared else record["weights_sha256"]
  if _sha256(folder / WEIGHTS_FILE) != own:
    raise CheckpointError(
      f"{shown}: {WEIGHTS_FILE} is not the file that {MODEL_FILE} describes;"
      " export the model again"
    )
  if shared:
    flat |= _read_shared(shared)
    safetensors_reader.check_nesting(list(flat))
    # The hash is of all weights in one file: by it rows and dossiers know the model.
    whole = hashlib.sha256(safetensors_bytes(flat)).hexdigest()
    if whole != record["weights_sha256"]:
      raise CheckpointError(
        f"{shown}: its weights are not those that {MODEL_FILE} describes; export the"
        " model again"
      )
  return record, flat


def share(folders: Sequence[pathlib.Path], parts: Sequence[str], name: str) -> None:
  """Takes networks out of model folders, which are the same in all, into one file.

  Records keep the hash of the weights as they were in one file, by which rows and cards
  know them.

  Args:
    folders: model folders, each whole.
    parts: names of networks, `vae` or `vocoder`.
    name: of the folder for the file, among the embedded models.

  Raises:
    ValueError: they are not the same in all folders, or there is a folder of that name.
  """
  path = _EMBEDDED / name / WEIGHTS_FILE
  if path.parent.exists():
    raise ValueError(f"{path.parent} is there; models that share it would break")
  taken: dict[str, np.ndarray] = {}
  kept = {}
  for folder in folders:
    flat = safetensors_reader.read_weights(folder / WEIGHTS_FILE)
    own = {key for key in flat if key.split("/")[0] not in parts}
    kept[folder] = {key: flat[key] for key in flat if key in own}
    others = {key: flat[key] for key in flat if key not in own}
    taken = taken or others
    lacking = set(parts) - {key.split("/")[0] for key in others}
    if lacking:
      raise ValueError(f"{folder}: it has no {', '.join(sorted(lacking))}")
    same = others.keys() == taken.keys() and all(
      one.dtype == taken[key].dtype and np.array_equal(one, taken[key])
      for key, one in others.items()
    )
    if not same:
      raise ValueError(f"{folder}: its {', '.join(parts)} are not those of the others")
  path.parent.mkdir()
  save_file(taken, path)
  for folder, flat in kept.items():
    record = strict_json.loads((folder / MODEL_FILE).read_bytes())
    # The record last, as `save_model` has it.
    (folder / MODEL_FILE).unlink()
    save_file(flat, folder / WEIGHTS_FILE)
    hashes = {"own_sha256": _sha256(folder / WEIGHTS_FILE), "sha256": _sha256(path)}
    record["shared"] = {"name": name} | hashes
    write_whole(folder / MODEL_FILE, json.dumps(record, indent=1) + "\n")
    shutil.copymode(folder / MODEL_FILE, folder / WEIGHTS_FILE)
  shutil.copymode(folders[0] / MODEL_FILE, path)


def _read_shared(shared: dict[str, str]) -> dict[str, np.ndarray]:
  """Reads the networks that embedded models share; no other file can be named."""
  there = {path.parent.name: path for path in _EMBEDDED.glob(f"*/{WEIGHTS_FILE}")}
  path = there.get(shared["name"])
  if path is None or _sha256(path) != shared["sha256"]:
    raise CheckpointError(
      f"{MODEL_FILE}: the networks {printable(shared['name'])} that it shares are not"
      " those of this version of lsaprobe_jax; load it with the version that wrote it"
    )
  return safetensors_reader.read_weights(path)


def _check_record(record: Any) -> None:
  """Refuses a record of which what is read is not what it should be."""
  if not (isinstance(record, dict) and isinstance(record.get("model", {}), dict)):
    raise ValueError(f"{MODEL_FILE} describes no model")
  shared = record.get("shared")
  names = ("name", "own_sha256", "sha256")
  told = isinstance(shared, dict) and all(
    isinstance(shared.get(name), str) for name in names
  )
  if shared is not None and not told:
    raise ValueError(f"{MODEL_FILE}: its `shared` does not say {', '.join(names)}")
  training = record.get("training")
  if training is None:
    return
  clips = training.get("clips") if isinstance(training, dict) else 0
  text = lambda clip: (
    isinstance(clip, dict)
    and all(isinstance(clip.get(name), str) for name in ("id", "sha256"))
  )
  if not (clips is None or (isinstance(clips, list) and all(map(text, clips)))):
    raise ValueError(f"{MODEL_FILE}: its training is no record of clips' id and sha256")


def find_model(name: str | pathlib.Path) -> pathlib.Path:
  """Returns the folder of an embedded model, or the folder that was named.

  Raises:
    CheckpointError: there is neither; lists the embedded models.
  """
  known = sorted(path.parent.name for path in _EMBEDDED.glob(f"*/{MODEL_FILE}"))
  if str(name) in known:
    return _EMBEDDED / name
  # Unlike pathlib's, it says no to a name that is too long.
  if os.path.isdir(name):
    return pathlib.Path(name)
  shown = printable(str(name)[:_LONGEST_REASON])
  raise CheckpointError(f"no model folder {shown}; embedded models: {', '.join(known)}")


def check_fit(params: Any, expected: Any, name: str) -> None:
  """Raises CheckpointError, with both lists, unless names and shapes agree."""
  have = {k: v.shape for k, v in flatten(params).items()}
  want = {k: v.shape for k, v in traverse_util.flatten_dict(expected, sep="/").items()}
  left_over = [k for k in have if k not in want]
  missing = [k for k in want if k not in have]
  shapes = [
    f"{k}: {have[k]}, expected {want[k]}"
    for k in have.keys() & want.keys()
    if have[k] != want[k]
  ]
  if left_over or missing or shapes:
    raise CheckpointError(
      f"{printable(name)}: weights do not fit the model;"
      f" left over: {tensors.shortened(left_over)};"
      f" missing: {tensors.shortened(missing)};"
      f" wrong shape: {tensors.shortened(shapes)}"
    )


def _sha256(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
