"""Rows on disk: written whole as they come, kept through a kill, skipped on a rerun.

Several processes may bring the rows of one evaluation together in one folder: each
appends to a file of its own and reads those of the others (`SharedRows`).
"""

import dataclasses
import json
import math
import os
import pathlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging

from lsaprobe_jax.files import open_own, temporary_beside, write_whole
from lsaprobe_jax.rows import (
  ROW_KEY,
  RowError,
  check_row,
  failed_row,
  has_score,
  key_of,
  parse_rows,
  row_lines,
)
from lsaprobe_jax.text import printable

__all__ = [
  "ALONE",
  "ROW_KEY",
  "MissingRows",
  "RowError",
  "RowFile",
  "Shard",
  "SharedRows",
  "first_line",
  "open_own",
  "read_rows",
  "rows_to_json",
  "temporary_beside",
  "to_json",
  "write_whole",
]


def to_json(value: Any) -> Any:
  """NumPy scalars as Python's, NaN and infinities as None."""
  if isinstance(value, dict):
    return {key: to_json(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [to_json(item) for item in value]
  if isinstance(value, np.ndarray | np.generic):
    value = value.item()
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def rows_to_json(rows: list[dict]) -> str:
  """JSON text of rows or records.

  Args:
    rows: dicts of plain Python values.

  Returns:
    An indented JSON list that ends with a newline.

  Raises:
    ValueError: naming the first NaN or infinity, which JSON does not have.
    TypeError: for values that JSON cannot hold.
  """
  for i, row in enumerate(rows):
    for path, value in _leaves(row, f"row {i}"):
      if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}, which JSON cannot hold")
  return json.dumps(rows, indent=2, allow_nan=False) + "\n"


def first_line(error: BaseException) -> str:
  """What an error says, as part of a one-line message; its kind if it says nothing."""
  lines = str(error).strip().splitlines()
  return lines[0] if lines else type(error).__name__


def read_rows(path: pathlib.Path) -> list[dict[str, Any]]:
  """Rows with a score of a file that no one is writing, which stays as it is.

  Raises:
    RowError: a line is not a row, or the last one is not whole.
    OSError: the file cannot be read.
  """
  data = path.read_bytes()
  if not data:
    raise RowError(f"{path}: holds no rows; let launch.eval finish")
  if not data.endswith(b"\n"):
    raise RowError(f"{path}: ends in half a row; let launch.eval finish")
  return [row for row in parse_rows(path, data).values() if _scored(row)]


class RowFile:
  """A JSON-lines file of result rows (`row_schema`).

  Rows are appended a batch at a time and flushed to the disk. A line that a kill cut
  short is removed when the file is opened again, so that every line is whole.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._rows: dict[tuple, dict[str, Any]] = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() or path.is_symlink():
      self._read()

  def _read(self):
    with open_own(self._path, os.O_RDWR, "r+b") as file:
      data = file.read()
      whole = _whole(data)
      self._rows |= parse_rows(self._path, data[:whole])
      if whole < len(data):
        file.truncate(whole)

  def __contains__(self, row: dict[str, Any]) -> bool:
    """Whether a row of this kind is there; `row` needs the keys of ROW_KEY."""
    return key_of(row) in self._rows

  def get(self, row: dict[str, Any]) -> dict[str, Any] | None:
    """The stored row of this kind, or None where there is none or it has no score."""
    found = self._rows.get(key_of(row))
    return found if found is not None and _scored(found) else None

  def to_score(self, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Positions of the rows that are not there yet and for this process to score."""
    return [i for i, row in enumerate(rows) if row not in self]

  def keep(self, rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows that are results; the others are named in the log and left out."""
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

  @property
  def rows(self) -> list[dict[str, Any]]:
    """All rows, in the order they came."""
    return list(self._rows.values())

  def append(self, rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows and waits until they are on the disk.

    Raises:
      RowError: one is there already, or is not a result: its score is not finite, or
        another field is not what `row_schema` says. Nothing is written.
    """
    rows = list(rows)
    for row in rows:
      try:
        _require_score(row)
      except RowError as error:
        raise RowError(f"{self._path}: {printable(row.get('clip'))}: {error}") from None
    self._write(rows)

  def _write(self, rows: list[dict[str, Any]]) -> None:
    new: dict[tuple, dict[str, Any]] = {}
    for row in map(to_json, rows):
      if row in self or key_of(row) in new:
        raise RowError(f"{self._path}: a second row for {key_of(row)}")
      new[key_of(row)] = row
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with open_own(self._path, flags, "a") as file:
      self._rows |= new
      file.write(row_lines(list(new.values())))
      file.flush()
      os.fsync(file.fileno())


def _scored(row: dict[str, Any]) -> bool:
  return has_score(row)


def _require_score(row: dict[str, Any]) -> None:
  """RowError unless a row may be written as a result."""
  check_row(row)
  if not _scored(row):
    raise RowError(f"score is {row['score']}")


def _leaves(value, path: str) -> Iterator[tuple[str, object]]:
  if isinstance(value, dict):
    for key, item in value.items():
      yield from _leaves(item, f"{path}, {key}")
  elif isinstance(value, list | tuple):
    for i, item in enumerate(value):
      yield from _leaves(item, f"{path}[{i}]")
  else:
    yield path, value


def _whole(data: bytes) -> int:
  """Length of the lines that are complete."""
  return data.rfind(b"\n") + 1


@dataclasses.dataclass(frozen=True)
class Shard:
  """The share of one process: every `count`-th clip, from the clip `index` on."""

  index: int = 0
  count: int = 1

  def owner(self, position: int) -> int:
    """Index of the shard that a clip at this position of its corpus belongs to."""
    return position % self.count


ALONE = Shard()


class MissingRows(Exception):
  """Other processes have yet to write rows that are asked for."""


class SharedRows(RowFile):
  """Rows that several processes bring together in one folder.

  A process alone appends to FOLDER/NAME.jsonl. One of several appends to
  FOLDER/shards/NAME-00001-of-00004.jsonl, and to no other file: no lock is needed.
  A row counts as there when it is in any of these files, so that what is missing can
  be scored by any number of processes. Rows that were tried in vain stand in the
  shard's file with a score of null, lest the others wait for them.
  """

  def __init__(self, folder: pathlib.Path, name: str, shard: Shard):
    self.shard = shard
    self._merged = folder / f"{name}.jsonl"
    self._pattern = f"{name}-*-of-*.jsonl"
    self._shards = folder / "shards"
    # Bytes read of a file: by inode too, for a merge puts a new one in its place.
    self._offsets: dict[tuple[pathlib.Path, int], int] = {}
    # Everything asked for so far, by key: (row, position in its corpus).
    self._asked: dict[tuple, tuple[dict[str, Any], int]] = {}
    own = f"{name}-{shard.index:05d}-of-{shard.count:05d}.jsonl"
    super().__init__(self._merged if shard.count == 1 else self._shards / own)
    self.refresh()

  def _others(self) -> list[pathlib.Path]:
    paths = [self._merged, *sorted(self._shards.glob(self._pattern))]
    return [path for path in paths if path != self._path and path.exists()]

  def refresh(self) -> None:
    """Reads what other processes have written since."""
    for path in self._others():
      with path.open("rb") as file:
        seen = (path, os.fstat(file.fileno()).st_ino)
        first = self._offsets.get(seen, 0)
        file.seek(first)
        data = file.read()
      # Another process's last line may still be on its way; it is left for later.
      whole = _whole(data)
      for key, row in parse_rows(path, data[:whole], first).items():
        self._rows.setdefault(key, row)
      self._offsets[seen] = first + whole

  def ask(self, rows: Sequence[dict[str, Any]]) -> None:
    """Counts these rows, given with all others of their kind, to what must be there."""
    self.refresh()
    self._asked |= {key_of(row): (row, i) for i, row in enumerate(rows)}

  def to_score(self, rows: Sequence[dict[str, Any]]) -> list[int]:
    """See RowFile; of the rows that are missing, those of this process's shard.

    Args:
      rows: of all clips of a corpus, in the corpus's order.
    """
    self.ask(rows)
    missing = super().to_score(rows)
    return [i for i in missing if self.shard.owner(i) == self.shard.index]

  def leave_out(self, rows: Iterable[dict[str, Any]]) -> None:
    """See RowFile; notes none where this process is alone: a rerun tries again."""
    if self.shard.count > 1:
      self._write([failed_row(row) for row in rows])

  @property
  def asked(self) -> list[dict[str, Any]]:
    """Rows with a score of all that was asked for, in that order."""
    found = (self.get(row) for row, _ in self._asked.values())
    return [row for row in found if row is not None]

  def missing_shards(self) -> list[int]:
    """Other shards of which rows asked for are not there yet."""
    self.refresh()
    owners = {
      self.shard.owner(position)
      for row, position in self._asked.values()
      if row not in self
    }
    return sorted(owners - {self.shard.index})

  def require(self) -> None:
    """MissingRows unless the other processes have written all rows asked for."""
    if missing := self.missing_shards():
      raise MissingRows(f"rows of shards {missing} of {self.shard.count} are missing")

  def wait(self, poll_seconds: float = 1.0) -> None:
    """Waits until the other processes have written all rows asked for."""
    missing = self.missing_shards()
    if missing:
      logging.info(
        "%s: waiting for rows of shards %s of %d",
        self._path.name,
        missing,
        self.shard.count,
      )
    while missing:
      time.sleep(poll_seconds)
      missing = self.missing_shards()

  def merge(self) -> None:
    """Brings all rows into FOLDER/NAME.jsonl, once each, in the order asked for.

    That is the order in which a process alone writes them. Rows not asked for come
    last. Several processes may do this at once: they replace the file by its like.
    """
    if not any(self._shards.glob(self._pattern)):
      return
    rest = sorted(self._rows.keys() - self._asked.keys(), key=str)
    others = [self._rows[key] for key in rest]
    rows = self.asked + [row for row in others if _scored(row)]
    write_whole(self._merged, row_lines(rows))
