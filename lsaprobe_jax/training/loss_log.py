"""The losses of a training as JSON lines."""

import json
import os
import pathlib
from typing import Any

from lsaprobe_jax import strict_json
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.files import open_own, write_whole


class LossLog:
  """Losses as JSON lines; a resumed run cuts what lies after its checkpoint."""

  def __init__(self, path: pathlib.Path, resume_step: int):
    """Opens the log, which is created if it is missing.

    Args:
      path: the file.
      resume_step: rows of later steps are cut.

    Raises:
      LsaProbeError: a whole line is not a row of losses.
    """
    self._path = path
    rows = _rows_until(path, resume_step) if path.exists() else []
    write_whole(path, "".join(f"{line}\n" for line in rows))

  def write(self, **row: Any) -> None:
    """Appends one row; it must hold `step`."""
    with open_own(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, "a") as file:
      file.write(json.dumps(strict_json.to_json(row)) + "\n")


def _rows_until(path: pathlib.Path, last_step: int) -> list[str]:
  # What stands behind the last line's end was cut short by a kill.
  *lines, _ = path.read_bytes().split(b"\n")
  rows = []
  for number, line in enumerate(lines, 1):
    try:
      if strict_json.loads(line)["step"] <= last_step:
        rows.append(line.decode())
    except (ValueError, TypeError, LookupError) as error:
      raise LsaProbeError(
        f"{path}: line {number} is not a row of losses; mend or remove it"
      ) from error
  return rows
