"""Files of a working folder: replaced whole, and never by way of a link."""

import errno
import fcntl
import os
import pathlib
import uuid
from typing import IO, Any


def write_whole(path: pathlib.Path, data: str | bytes) -> None:
  """Replaces a file at once: who reads it, or is killed, sees all of it or none.

  A link in its place is replaced and not followed. Text is written in UTF-8, lone
  surrogates in it as backslash escapes.
  """
  temporary = temporary_beside(path)
  if isinstance(data, str):
    data = data.encode("utf-8", "backslashreplace")
  try:
    with temporary.open("wb") as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def temporary_beside(path: pathlib.Path) -> pathlib.Path:
  """Returns a name in the same folder that no other process uses, on any host."""
  return path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")


def from_home(value: Any) -> Any:
  """Returns an option's text with `~` as a shell has it, also behind `A=`.

  A shell leaves it alone where it is not the first character of a word, and nobody
  wants a folder that is called `~`.

  Args:
    value: text, or a list of texts; anything else comes back as it is.
  """
  if isinstance(value, list):
    return [from_home(item) for item in value]
  if not isinstance(value, str):
    return value
  # What stands behind the first `=` alone: a path may have others.
  name, given, path = ("", "", value) if value[:1] == "~" else value.partition("=")
  home = path == "~" or path.startswith("~/")
  return f"{name}{given}{os.path.expanduser(path)}" if home else value


def lock(file: IO, how: int, name: object) -> None:
  """Locks an open file without waiting; where a disk offers no locks it warns.

  Args:
    file: held until it is closed, or the process ends.
    how: `fcntl.LOCK_SH` or `fcntl.LOCK_EX`.
    name: what the warning calls it.

  Raises:
    BlockingIOError: another has it.
  """
  try:
    fcntl.flock(file, how | fcntl.LOCK_NB)
  except BlockingIOError:
    raise
  except OSError as error:
    # The command line reads this module before it knows whether it will log.
    from absl import logging

    logging.warning("%s cannot be locked: %s", name, error)


def open_own(path: pathlib.Path, flags: int, mode: str) -> IO:
  """Opens a file of a working folder to write in it, and follows no link in its place.

  Whoever can put a link there could otherwise have another file written.

  Args:
    path: the file, created where it is not there and `flags` say so.
    flags: of `os.open`.
    mode: of `open`.

  Raises:
    OSError: names the file; also where it is a link.
  """
  try:
    return os.fdopen(os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644), mode)
  except OSError as error:
    if error.errno == errno.ELOOP:
      text = "is a link, which is not followed; delete it"
      raise OSError(error.errno, text, str(path)) from error
    raise
