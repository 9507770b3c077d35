"""Working folders: what ties one to its settings, who has it, what ran in it."""

import fcntl
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import sys
from collections.abc import Collection
from typing import IO, Any

import jax
from absl import logging

from lsaprobe_jax import files, strict_json
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import open_own, temporary_beside, write_whole

_RUN, _ENVIRONMENT = "run.json", "environment.json"
# What an entry of environment.json has.
_OF_ENVIRONMENT = {"command": str, "python": str, "packages": dict, "devices": list}
# What scoring and training leave in a folder that run.json ties to its settings.
_MADE = (
  "scores.jsonl", "calibration.jsonl", "curves.jsonl", "shards/*.jsonl",
  "losses.jsonl", "checkpoints/*",
)  # fmt: skip


def claim(
  workdir: pathlib.Path, identity: dict[str, Any], free: Collection[str] = ()
) -> None:
  """Ties a working folder to what it is for, or refuses another use of it.

  Several processes may claim it at once, for the same: the first ties it.

  Args:
    workdir: created if missing.
    identity: everything that decides the results: settings, hashes of weights and
      data.
    free: dotted names of values that decide none of the rows and may change on the way.

  Raises:
    ArgumentError: the folder holds results of something else or of nobody knows
      what, or a file that is read at the end is damaged.
  """
  path = workdir / _RUN
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
      _check_unclaimed(workdir, path)
      _create(path, json.dumps(identity, indent=1, sort_keys=True) + "\n")
    before = strict_json.read(path, dict, "choose a new folder or restore the file")
    _environments(workdir)
  except (OSError, ValueError) as error:
    raise ArgumentError(f"workdir={workdir} cannot be used: {error}") from error
  differing = _differences(before, identity)
  if changed := [name for name in differing if name not in free]:
    raise ArgumentError(
      f"workdir={workdir} holds a run that differs in {', '.join(changed)}; choose"
      " a new folder or delete this one"
    )
  if differing:
    # What is read off it later, such as the resamples, is of this run.
    write_whole(path, json.dumps(identity, indent=1, sort_keys=True) + "\n")


def _check_unclaimed(workdir: pathlib.Path, path: pathlib.Path) -> None:
  """Refuses a folder whose rows no file says the settings of."""
  made = sorted(
    found
    for pattern in _MADE
    for found in workdir.glob(pattern)
    if found.is_dir() or found.stat().st_size
  )
  # Another process may have claimed the folder in the meantime, and begun.
  if made and not path.exists():
    raise ValueError(
      f"it holds rows or checkpoints ({made[0].relative_to(workdir)}) and no {_RUN}, so"
      " nobody knows by which settings they were made; delete them or restore"
      f" {_RUN}"
    )


_locks: dict[pathlib.Path, IO] = {}


def lock(workdir: pathlib.Path, share: str | None = None) -> None:
  """Keeps a second process off a working folder, or a share, while this one lives.

  The kernel lets go of the lock when the process ends, however it does. Where a
  network folder offers no locks there is a warning and none is held.

  Args:
    workdir: claimed already.
    share: processes that share a folder have shares of different names; None for one
      that has the folder alone.

  Raises:
    ArgumentError: another process has it, or the folder cannot be written.
  """
  # Those that share the folder hold this together, one that is alone against them.
  _hold(workdir, "alone", fcntl.LOCK_SH if share else fcntl.LOCK_EX)
  if share:
    _hold(workdir, share, fcntl.LOCK_EX)


def _hold(workdir: pathlib.Path, name: str, how: int) -> None:
  path = (workdir / f"{name}.lock").absolute()
  if path in _locks:
    return
  try:
    file = open_own(path, os.O_RDWR | os.O_CREAT, "r+")
    _lock(file, workdir, how)
    file.truncate(0)
    file.seek(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
  except OSError as error:
    raise ArgumentError(f"workdir={workdir} cannot be used: {error}") from error
  _locks[path] = file


def _lock(file: IO, workdir: pathlib.Path, how: int) -> None:
  try:
    files.lock(file, how, workdir)
  except BlockingIOError as error:
    who = os.pread(file.fileno(), 200, 0).decode("utf-8", "replace").strip()
    raise ArgumentError(
      f"workdir={workdir} is in use by {who or 'another process'};"
      " wait for it, end it, or choose a new folder"
    ) from error


def note_environment(workdir: pathlib.Path) -> None:
  """Adds this command and its versions to WORKDIR/environment.json, each once.

  It ties the folder to nothing: a run may go on under another version, and a reader
  should see that it did.
  """
  packages = ("lsaprobe_jax", "jax", "jaxlib", "flax", "numpy", "scipy", "librosa")
  now = {
    "command": _command(),
    "python": platform.python_version(),
    "packages": {name: _version(name) for name in packages},
    "devices": sorted({device.device_kind for device in jax.local_devices()}),
    "processor": platform.machine(),
  }
  try:
    before = _environments(workdir)
  except ValueError as error:
    raise ArgumentError(f"workdir: {error}") from error
  if now not in before:
    write_whole(workdir / _ENVIRONMENT, json.dumps([*before, now], indent=1) + "\n")


def _command() -> str:
  """The command of this process as it is typed; launchers are modules."""
  path = pathlib.Path(sys.argv[0])
  launched = path.parent.name == "launch"
  program = ["-m", f"launch.{path.stem}"] if launched else [path.name]
  return shlex.join(["python", *program, *sys.argv[1:]])


def _environments(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """What environment.json holds; ValueError where it is damaged."""
  path = workdir / _ENVIRONMENT
  found = strict_json.read(path, list) if path.exists() else []
  check_environments(path, found)
  return found


def check_environments(path: pathlib.Path, environments: list[Any]) -> None:
  """Refuses what a page could not show of the commands that ran in a folder.

  Raises:
    ValueError: it begins with the path.
  """
  for number, entry in enumerate(environments):
    for name, kind in _OF_ENVIRONMENT.items():
      if not isinstance(entry, dict) or not isinstance(entry.get(name), kind):
        raise ValueError(
          f"{path}: damaged (entry {number} has no {name}); delete it, and the same"
          " command writes it again"
        )


def _version(package: str) -> str:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return "not installed"


def _create(path: pathlib.Path, text: str) -> None:
  """Writes a file all at once, unless another process was first."""
  temporary = temporary_beside(path)
  temporary.write_text(text)
  try:
    # Unlike a rename, a link does not replace what is there.
    os.link(temporary, path)
  except FileExistsError:
    pass
  except OSError as error:
    # exFAT and some network disks have none; a process alone needs none.
    logging.warning("%s: no hard links (%s); give it to one process", path, error)
    if not path.exists():
      temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
  """Dotted names of the values in which two nested dicts differ."""
  if not (isinstance(before, dict) and isinstance(now, dict)):
    return [] if before == now else [name]
  return [
    difference
    for key in sorted(before.keys() | now.keys())
    for difference in _differences(
      before.get(key), now.get(key), f"{name}.{key}" if name else key
    )
  ]
