"""What several shares of an evaluation leave in a folder, against one that is alone."""

import pathlib

from stored_rows import read_rows, untimed, untimed_summary


def _kind(row: dict) -> tuple[str, str, str]:
  return row["method"], row["model"], row["clip"]


def assert_like_one(folder: pathlib.Path, alone: pathlib.Path) -> None:
  """Asserts the same files, rows, order of scores and summary in two folders."""
  names = {path.name for path in alone.glob("*.jsonl")}
  assert {path.name for path in folder.glob("*.jsonl")} == names
  for name in names:
    assert untimed(read_rows(folder / name)) == untimed(read_rows(alone / name))
  ours, theirs = (read_rows(where / "scores.jsonl") for where in (folder, alone))
  assert list(map(_kind, ours)) == list(map(_kind, theirs))
  assert untimed_summary(folder) == untimed_summary(alone)


def kinds_by_share(folder: pathlib.Path, name: str) -> dict[str, set]:
  """For each share's file, the kinds of rows in it."""
  paths = sorted((folder / "shards").glob(f"{name}-*"))
  return {path.name: set(map(_kind, read_rows(path))) for path in paths}
