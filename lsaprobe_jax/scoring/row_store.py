"""Rows of results as they come: in memory, or written whole to a file as well.

A `RowStore` keeps rows in memory. A `RowFile` writes them besides, so that a kill loses
none and a rerun finds what is there. Several processes share a folder by
`scoring.shared_rows`. All that score work on any of the three.
"""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from absl import logging

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import lock, open_own
from lsaprobe_jax.rows import (
  Row,
  RowError,
  check_row,
  has_score,
  key_of,
  parse_rows,
  row_lines,
)
from lsaprobe_jax.strict_json import to_json
from lsaprobe_jax.text import printable


class MissingRows(Exception):
  """Other processes have yet to write rows that are asked for."""


def read_rows(path: pathlib.Path) -> list[Row]:
  """Reads the rows with a score of a file that no one is writing.

  Raises:
    RowError: a line is not a row, or the last one is not whole.
    OSError: the file cannot be read.
  """
  data = path.read_bytes()
  if not data:
    raise RowError(f"{path}: holds no rows; let the evaluation finish")
  if not data.endswith(b"\n"):
    raise RowError(f"{path}: ends in half a row; let the evaluation finish")
  return [row for row in parse_rows(path, data).values() if has_score(row)]


class RowStore:
  """Rows in memory, each the only one of its kind (`rows.ROW_KEY`)."""

  def __init__(self):
    """Makes a store without rows."""
    self._rows: dict[tuple, Row] = {}
    # Everything asked for so far, by key: (row, position in its corpus).
    self._asked: dict[tuple, tuple[dict[str, Any], int]] = {}

  def __contains__(self, row: dict[str, Any]) -> bool:
    """Whether a row of this kind is there; `row` needs the keys of ROW_KEY."""
    return key_of(row) in self._rows

  @property
  def rows(self) -> list[Row]:
    """All rows, in the order they came."""
    return list(self._rows.values())

  @property
  def asked(self) -> list[Row]:
    """Rows with a score of all that was asked for, in that order."""
    found = (self.get(row) for row, _ in self._asked.values())
    return [row for row in found if row is not None]

  def get(self, row: dict[str, Any]) -> Row | None:
    """The stored row of this kind, or None where there is none or it has no score."""
    found = self._rows.get(key_of(row))
    return found if found is not None and has_score(found) else None

  def ask(self, rows: Sequence[dict[str, Any]]) -> None:
    """Counts these rows to what must be there in the end."""
    self._asked |= {key_of(row): (row, i) for i, row in enumerate(rows)}

  def to_score(self, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Positions of the rows that are not there yet and for this process to score.

    Args:
      rows: those of all clips of a corpus, in the corpus's order.
    """
    self.ask(rows)
    return [i for i, row in enumerate(rows) if row not in self]

  def keep(self, rows: Iterable[dict[str, Any]]) -> None:
    """Keeps rows that are results; the others are named in the log and left out."""
    sound, failed = [], []
    for row in rows:
      try:
        _require_score(row)
        sound.append(row)
      except RowError as error:
        logging.error("%s: %s; left out", printable(row["clip"]), error)
        failed.append(row)
    self.append(sound)
    self.leave_out(failed)

  def leave_out(self, rows: Iterable[dict[str, Any]]) -> None:
    """Takes note of rows that were tried and have no score; here none is kept."""

  def append(self, rows: Iterable[dict[str, Any]]) -> None:
    """Adds rows; a file has them on the disk when this returns.

    Raises:
      RowError: one is there already, or is not a result: its score is not finite, or
        another field is not what `rows` says. Nothing is added.
    """
    rows = list(rows)
    for row in rows:
      try:
        _require_score(row)
      except RowError as error:
        clip = printable(row.get("clip"))
        raise RowError(f"{self._name}: {clip}: {error}") from None
    self._add(rows)

  @property
  def _name(self) -> str:
    return "rows"

  def _add(self, rows: list[dict[str, Any]]) -> None:
    new: dict[tuple, dict[str, Any]] = {}
    for row in map(to_json, rows):
      if row in self or key_of(row) in new:
        raise RowError(f"{self._name}: a second row for {key_of(row)}")
      new[key_of(row)] = row
    self._write(list(new.values()))
    self._rows |= new

  def _write(self, rows: list[dict[str, Any]]) -> None:
    """Brings rows to the disk, before they count as there; in memory there is none."""

  def require(self) -> None:
    """MissingRows unless other processes have written all rows that were asked for."""

  def wait(self, poll_seconds: float = 1.0) -> None:
    """Waits until other processes have written all rows that were asked for."""

  def merge(self) -> None:
    """Brings the rows of all processes into one file."""


class RowFile(RowStore):
  """A JSON-lines file of result rows.

  Rows are appended a batch at a time and flushed to the disk. A line that a kill cut
  short is removed when the file is opened again, so that every line is whole.
  """

  def __init__(self, path: pathlib.Path):
    """Opens a file of rows, which need not be there yet."""
    super().__init__()
    self._path = path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() or path.is_symlink():
      self._read()

  @property
  def _name(self) -> str:
    return str(self._path)

  def _read(self) -> None:
    with open_own(self._path, os.O_RDWR, "r+b") as file:
      data = file.read()
      whole = whole_lines(data)
      self._rows |= parse_rows(self._path, data[:whole])
      if whole < len(data):
        file.truncate(whole)

  def _write(self, rows: list[dict[str, Any]]) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with open_own(self._path, flags, "a") as file:
      file.write(row_lines(rows))
      file.flush()
      os.fsync(file.fileno())


@contextlib.contextmanager
def alone(path: pathlib.Path) -> Iterator[None]:
  """Keeps other processes that would score into a file of rows off it.

  Two that append would both add a clip's row, and a file with two is refused.

  Raises:
    ArgumentError: another has it; it begins with `path`.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  with open_own(path, os.O_RDWR | os.O_CREAT, "r+b") as file:
    try:
      lock(file, fcntl.LOCK_EX, path)
    except BlockingIOError as error:
      raise ArgumentError(
        f"path={printable(path)}: another call scores into it; wait for that, or choose"
        " another file"
      ) from error
    yield


def whole_lines(data: bytes) -> int:
  """Length of the lines that are complete."""
  return data.rfind(b"\n") + 1


def _require_score(row: dict[str, Any]) -> None:
  """RowError unless a row may be kept as a result."""
  check_row(row)
  if not has_score(row):
    raise RowError(f"score is {row['score']}")
