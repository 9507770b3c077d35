"""Rows and records by their fields: the one pivot, and the names it is made by.

A setting is a corpus, a method, a distance, a t over T, and by what the difficulty of a
clip was taken off; its rows differ by model and clip. Models named A and B are a
cross-over. The model named `reference` saw neither side of it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

CROSS_OVER = ("A", "B")
REFERENCE = "reference"
BLIND = "blind"
# Behind the name of a method that spends as much as the probe (docs/evaluation.md,
# rule 4).
NFE_MATCHED = "_nfe_matched"

SETTING = ("corpus", "method", "distance", "t_ratio", "difficulty_calibration")
# Splits of the clips that a figure is about; others are development clips.
JUDGED = ("member", "nonmember")

# What rows are told apart by: a field, several fields, or a function of a row.
Level = str | tuple[str, ...] | Callable[[Mapping[str, Any]], Any]


def pivot(rows: Iterable[Mapping], *levels: Level) -> dict:
  """Rows in nested dictionaries, one level for each of `levels`.

  Args:
    rows: rows or records, each the only one of its kind.
    *levels: what to tell them apart by, outermost first.

  Returns:
    `{first: {second: ... row}}`, keys in the order in which they were first met.

  Raises:
    ValueError: two rows are alike in all levels; the message has their keys.
  """
  table: dict = {}
  for row in rows:
    path = [_value(row, level) for level in levels]
    inner = table
    for key in path[:-1]:
      inner = inner.setdefault(key, {})
    if path[-1] in inner:
      raise ValueError(f"two rows for {', '.join(map(str, path))}")
    inner[path[-1]] = row
  return table


def groups(rows: Iterable[Mapping], level: Level) -> dict[Any, list]:
  """Lists of the rows that are alike in one level, in the order they came."""
  found: dict[Any, list] = {}
  for row in rows:
    found.setdefault(_value(row, level), []).append(row)
  return found


def setting_of(item: Mapping[str, Any]) -> tuple:
  """The values of `SETTING` in a row or a record."""
  return tuple(item[name] for name in SETTING)


def targets_only(rows: Iterable[Mapping]) -> list:
  """Rows of judged clips under the targets: no development clips, no null control."""
  return [r for r in rows if r["split"] in JUDGED and r["model"] != REFERENCE]


def headline(records: list[dict]) -> list[dict]:
  """The cross-over means; where there is one target only, its own records."""
  means = [r for r in records if r["model"] == "mean"]
  return means or [r for r in records if r["model"] != REFERENCE]


def _value(row: Mapping[str, Any], level: Level) -> Any:
  if callable(level):
    return level(row)
  if isinstance(level, tuple):
    return tuple(row[name] for name in level)
  return row[level]
