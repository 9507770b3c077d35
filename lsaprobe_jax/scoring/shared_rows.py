"""Rows that several processes bring together in one folder."""

import dataclasses
import os
import pathlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

from absl import logging

from lsaprobe_jax.files import write_whole
from lsaprobe_jax.rows import failed_row, has_score, parse_rows, row_lines
from lsaprobe_jax.scoring.row_store import MissingRows, RowFile, whole_lines


@dataclasses.dataclass(frozen=True)
class Shard:
  """The share of one process: every `count`-th clip, from the clip `index` on."""

  index: int = 0
  count: int = 1

  def owner(self, position: int) -> int:
    """Index of the shard that a clip at this position of its corpus belongs to."""
    return position % self.count


ALONE = Shard()


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
      whole = whole_lines(data)
      for key, row in parse_rows(path, data[:whole], first).items():
        known = self._rows.setdefault(key, row)
        if has_score(row) and not has_score(known):
          self._rows[key] = row
      self._offsets[seen] = first + whole

  def ask(self, rows: Sequence[dict[str, Any]]) -> None:
    """Counts these rows, given with all others of their kind, to what must be there."""
    self.refresh()
    super().ask(rows)

  def to_score(self, rows: Sequence[dict[str, Any]]) -> list[int]:
    """See RowFile; of the rows that are missing, those of this process's shard.

    Args:
      rows: of all clips of a corpus, in the corpus's order.
    """
    missing = super().to_score(rows)
    return [i for i in missing if self.shard.owner(i) == self.shard.index]

  def leave_out(self, rows: Iterable[dict[str, Any]]) -> None:
    """See RowFile; notes none where this process is alone: a rerun tries again.

    What another process noted is tried again once its line is deleted.
    """
    if self.shard.count > 1:
      self._add([failed_row(row) for row in rows])

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
    rows = self.asked + [row for row in others if has_score(row)]
    write_whole(self._merged, row_lines(rows))
