"""Rows on disk: written whole as they come, kept through a kill, skipped on a rerun."""

import json
import math
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

# What makes a row the only one of its kind.
ROW_KEY = ("clip", "model", "corpus", "method", "distance", "t_ratio", "seed")


def to_json(value: Any) -> Any:
  """NumPy scalars as Python's, NaN and infinities as None."""
  if isinstance(value, dict):
    return {key: to_json(item) for key, item in value.items()}
  if isinstance(value, list):
    return [to_json(item) for item in value]
  if isinstance(value, np.ndarray | np.generic):
    value = value.item()
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


class RowFile:
  """A JSON-lines file of result rows.

  Rows are appended a batch at a time and flushed to the disk. A line that a kill cut
  short is removed when the file is opened again, so that every line is whole.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._rows: dict[tuple, dict[str, Any]] = {}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
      self._read()

  def _read(self):
    data = self._path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    for number, line in enumerate(whole.splitlines(), 1):
      try:
        row = json.loads(line)
        self._rows[_key(row)] = row
      except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
          f"{self._path}: line {number} is not a result row; mend or remove it"
        ) from error
    if len(whole) < len(data):
      with self._path.open("r+b") as file:
        file.truncate(len(whole))

  def __contains__(self, row: dict[str, Any]) -> bool:
    """Whether a row of this kind is there; `row` needs the keys of ROW_KEY."""
    return _key(row) in self._rows

  def get(self, row: dict[str, Any]) -> dict[str, Any] | None:
    """The stored row of this kind, or None."""
    return self._rows.get(_key(row))

  @property
  def rows(self) -> list[dict[str, Any]]:
    """All rows, in the order they came."""
    return list(self._rows.values())

  def append(self, rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows and waits until they are on the disk; ValueError on a double."""
    rows = [to_json(row) for row in rows]
    for row in rows:
      if row in self:
        raise ValueError(f"{self._path}: a second row for {_key(row)}")
      self._rows[_key(row)] = row
    with self._path.open("a") as file:
      file.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
      file.flush()
      os.fsync(file.fileno())


def _key(row: dict[str, Any]) -> tuple:
  return tuple(row[name] for name in ROW_KEY)
