"""Rows of a file, read without the package's own reader."""

import json
import pathlib
from collections.abc import Iterable, Mapping


def read_rows(path: pathlib.Path) -> list[dict]:
  """Whole lines of a JSON-lines file, none if there is no file yet."""
  text = path.read_text() if path.exists() else ""
  return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def untimed(rows: Iterable[Mapping]) -> list[str]:
  """Rows in an order of their own, without the time they took."""
  kept = [{key: row[key] for key in row if not key.endswith("seconds")} for row in rows]
  return sorted(json.dumps(row, sort_keys=True) for row in kept)


def untimed_summary(folder: pathlib.Path) -> list[dict]:
  """The records of FOLDER/summary.json, without the time that they took."""
  records = json.loads((folder / "summary.json").read_text())
  return [
    {k: v for k, v in record.items() if not k.endswith("seconds")} for record in records
  ]
