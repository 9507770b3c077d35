"""Tune and test: which tracks choices may be made on, and which are scored once."""

import hashlib

PARTS = ("tune", "test", "all")


def part_of(track: str) -> str:
  """'tune' for one track in three and 'test' for the others, by its id alone."""
  digest = hashlib.sha256(f"tune or test? {track}".encode()).digest()
  return "tune" if digest[0] % 3 == 0 else "test"


def keep(clips, part: str, limit: int | None = None) -> list[int]:
  """Indices of the clips of a part, at most `limit` of each group.

  Args:
    clips: `corpus.Clip`s.
    part: 'tune', 'test' or 'all'.
    limit: None for all.

  Raises:
    ValueError: there is no such part.
  """
  if part not in PARTS:
    raise ValueError(f"unknown part {part!r}; known: {', '.join(PARTS)}")
  kept, count = [], {}
  for i, clip in enumerate(clips):
    if part in ("all", part_of(clip.track)):
      count[clip.group] = count.get(clip.group, 0) + 1
      if limit is None or count[clip.group] <= limit:
        kept.append(i)
  return kept
