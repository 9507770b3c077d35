"""JSON from files that anyone may have written: what is not plain JSON is refused."""

import collections
import json
import math
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

# Nothing that the project writes is nested deeper than eight levels.
MAX_DEPTH = 64


def loads(data: bytes | str) -> Any:
  """Reads one JSON value.

  Beyond `json.loads` it refuses NaN and infinities, numbers that overflow to them, a
  key that stands twice in one object, and nesting deeper than `MAX_DEPTH`.

  Args:
    data: text, or its bytes in UTF-8.

  Raises:
    ValueError: one line that says why.
  """
  try:
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)
  except UnicodeDecodeError as error:
    raise ValueError(f"not UTF-8 text at byte {error.start}") from error
  except json.JSONDecodeError as error:
    raise ValueError(f"no JSON at character {error.pos}: {error.msg}") from error
  except RecursionError as error:
    raise ValueError(_TOO_DEEP) from error
  _check_leaves(value)
  return value


def read(path: pathlib.Path, kind: type, mend: str = "delete it") -> Any:
  """Reads a file that holds one JSON value of a kind.

  Args:
    path: the file, which must be there.
    kind: `dict`, or `list` for a list of dicts.
    mend: what the reader of the error should do.

  Raises:
    ValueError: one line that names the file and the mend.
    OSError: the file cannot be read.
  """
  data = path.read_bytes()
  try:
    value = loads(data)
    if not isinstance(value, kind):
      raise ValueError(f"holds a {type(value).__name__}, not a {kind.__name__}")
    if kind is list and not all(isinstance(item, dict) for item in value):
      raise ValueError("holds a list of other things than objects")
  except ValueError as error:
    raise ValueError(f"{path}: damaged ({error}); {mend}") from error
  return value


_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"


def _refuse(constant: str) -> None:
  raise ValueError(f"holds {constant}, which is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    count = collections.Counter(name for name, _ in pairs)
    twice = max(count, key=count.get)
    raise ValueError(f"the key {twice!r} is there twice")
  return found


def _check_leaves(value: Any) -> None:
  """Refuses numbers that are not finite, and deep nesting, level by level."""
  level, depth = [value], 0
  while level:
    depth += 1
    if depth > MAX_DEPTH:
      raise ValueError(_TOO_DEEP)
    inner = []
    for item in level:
      if isinstance(item, dict):
        inner.extend(item.values())
      elif isinstance(item, list):
        inner.extend(item)
      elif isinstance(item, float) and not math.isfinite(item):
        raise ValueError("holds a number too large for a float")
    level = inner


def to_json(value: Any) -> Any:
  """Returns JSON-like data without NumPy scalars, and None for NaN and infinities."""
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
  """Writes rows or records as JSON text.

  Args:
    rows: dicts of plain Python values.

  Returns:
    An indented JSON list that ends with a newline.

  Raises:
    ValueError: naming the first NaN or infinity, which JSON does not have.
    TypeError: for values that JSON cannot hold.
  """
  for i, row in enumerate(rows):
    for path, value in _named_leaves(row, f"row {i}"):
      if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}, which JSON cannot hold")
  return json.dumps(rows, indent=2, allow_nan=False) + "\n"


def _named_leaves(value, path: str) -> Iterator[tuple[str, object]]:
  if isinstance(value, dict):
    for key, item in value.items():
      yield from _named_leaves(item, f"{path}, {key}")
  elif isinstance(value, list | tuple):
    for i, item in enumerate(value):
      yield from _named_leaves(item, f"{path}[{i}]")
  else:
    yield path, value
