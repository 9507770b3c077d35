"""Weights and training states on disk. The only module that imports Orbax.

A *model folder* holds `model.json` (architecture, schedule, how it was trained, the
clips it saw) and `weights.safetensors`. Neither can run code when read.
"""

import hashlib
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from lsaprobe_jax.results import write_whole

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"
# Parsed, it takes several times its size; clips of 900 hours take 150 MB.
_MAX_RECORD_BYTES = 1 << 30


class CheckpointError(ValueError):
  """A model folder that cannot be used; the message names it and the mend."""


def flatten(params: Any) -> dict[str, np.ndarray]:
  """Nested parameters -> `{"layer/kernel": array}`."""
  return {
    name: np.asarray(value)
    for name, value in traverse_util.flatten_dict(params, sep="/").items()
  }


def save_model(
  folder: str | pathlib.Path, params: Any, model: dict[str, Any], training: Any
) -> None:
  """Writes a model folder.

  Args:
    folder: created if missing.
    params: the network's parameters.
    model: the model configuration (`models.generator.build_generator`).
    training: JSON-able record of where the weights come from.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  flat = {k: np.ascontiguousarray(v) for k, v in flatten(params).items()}
  # The record last: one that is there describes weights that are whole.
  (folder / MODEL_FILE).unlink(missing_ok=True)
  save_file(flat, folder / WEIGHTS_FILE)
  record = {
    "model": model,
    "training": training,
    "weights_sha256": _sha256(folder / WEIGHTS_FILE),
  }
  write_whole(folder / MODEL_FILE, json.dumps(record, indent=1) + "\n")


def load_model(folder: str | pathlib.Path) -> tuple[Any, dict[str, Any]]:
  """Reads a model folder; weights that are stored in half precision become float32.

  Returns:
    (parameters, the record in model.json).

  Raises:
    CheckpointError: a file is missing or damaged, or the weights are not those that
      model.json was written for.
  """
  folder = pathlib.Path(folder)
  for name in (MODEL_FILE, WEIGHTS_FILE):
    if not (folder / name).is_file():
      raise CheckpointError(
        f"{folder}: no {name}; a model folder comes from launch.train or launch.convert"
      )
  if (folder / MODEL_FILE).stat().st_size > _MAX_RECORD_BYTES:
    raise CheckpointError(f"{folder / MODEL_FILE}: too large; export it again")
  try:
    record = json.loads((folder / MODEL_FILE).read_text())
    flat = load_file(folder / WEIGHTS_FILE)
    _check_record(record)
    _check_names(flat)
  # A lone surrogate, a number of 5,000 digits, a nesting of 100,000: all ValueErrors
  # or one of the others.
  except (ValueError, RecursionError, OSError, SafetensorError) as error:
    raise CheckpointError(f"{folder}: damaged ({error}); export it again") from error
  missing = {"model", "training", "weights_sha256"} - set(record)
  if missing:
    raise CheckpointError(f"{folder / MODEL_FILE}: lacks {sorted(missing)}")
  if _sha256(folder / WEIGHTS_FILE) != record["weights_sha256"]:
    raise CheckpointError(
      f"{folder}: {WEIGHTS_FILE} is not the file that {MODEL_FILE} describes;"
      " export the model again"
    )
  flat = {
    name: value.astype(np.float32) if value.dtype == np.float16 else value
    for name, value in flat.items()
  }
  return traverse_util.unflatten_dict(flat, sep="/"), record


def _check_record(record: Any) -> None:
  """Refuses a record of which what is read is not what it should be."""
  if not (isinstance(record, dict) and isinstance(record.get("model", {}), dict)):
    raise ValueError(f"{MODEL_FILE} describes no model")
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


def _check_names(flat: dict[str, np.ndarray]) -> None:
  """Refuses a tensor that stands where others are nested."""
  for name in flat:
    parts = name.split("/")
    for count in range(1, len(parts)):
      if "/".join(parts[:count]) in flat:
        raise ValueError(f"{WEIGHTS_FILE} has {name} below another tensor")


def find_model(name: str | pathlib.Path) -> pathlib.Path:
  """The folder of an embedded model by its name, or the path that was given.

  Raises:
    CheckpointError: there is neither; lists the embedded models.
  """
  embedded = pathlib.Path(__file__).parent / "weights"
  known = sorted(path.parent.name for path in embedded.glob(f"*/{MODEL_FILE}"))
  if str(name) in known:
    return embedded / name
  # Unlike pathlib's, it says no to a name that is too long.
  if os.path.isdir(name):
    return pathlib.Path(name)
  raise CheckpointError(f"no model folder {name}; embedded models: {', '.join(known)}")


def check_fit(params: Any, expected: Any, name: str) -> None:
  """Raises CheckpointError, with both lists, unless names and shapes agree."""
  have = {k: v.shape for k, v in flatten(params).items()}
  want = {k: v.shape for k, v in traverse_util.flatten_dict(expected, sep="/").items()}
  left_over = sorted(k for k in have if k not in want)
  missing = sorted(k for k in want if k not in have)
  shapes = [
    f"{k}: {have[k]}, expected {want[k]}"
    for k in sorted(have.keys() & want.keys())
    if have[k] != want[k]
  ]
  if left_over or missing or shapes:
    raise CheckpointError(
      f"{name}: weights do not fit the model; left over: {left_over};"
      f" missing: {missing}; wrong shape: {shapes}"
    )


def _sha256(path: pathlib.Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


class TrainingCheckpoints:
  """Training states by step, through Orbax's CheckpointManager."""

  def __init__(self, folder: str | pathlib.Path, max_to_keep: int = 2):
    options = ocp.CheckpointManagerOptions(max_to_keep=max_to_keep)
    self._manager = ocp.CheckpointManager(
      pathlib.Path(folder).absolute(), options=options
    )

  def save(self, step: int, state: Any) -> None:
    """Saves and waits: a step that is listed is whole on disk."""
    self._manager.save(step, args=ocp.args.StandardSave(state))
    self._manager.wait_until_finished()

  def restore_latest(self, like: Any) -> tuple[int, Any] | None:
    """(step, state) of the newest checkpoint, or None; `like` gives the structure."""
    step = self._manager.latest_step()
    if step is None:
      return None
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    return step, self._manager.restore(step, args=ocp.args.StandardRestore(abstract))

  def close(self) -> None:
    """Releases Orbax's threads."""
    self._manager.close()
