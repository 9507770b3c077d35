"""Which group and which part a track is of.

A corpus has four groups: the halves `a` and `b` of the cross-over, `dev` (development,
which no model has seen) and `reference` (what the reference model is trained on). Who
is a member follows from the model that is audited. Its tracks are also in two parts:
choices are made on `tune`, and `test` is scored once.
"""

import hashlib
from collections.abc import Iterable, Sequence

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.text import short

GROUPS = ("a", "b", "dev", "reference")
# The share of each group, of the tracks or of the recorded time.
SHARES = dict(zip(GROUPS, (0.40, 0.40, 0.12, 0.08), strict=True))
PARTS = ("tune", "test", "all")


def check_groups(groups: Iterable[str] | str) -> tuple[str, ...]:
  """Returns the names of groups as a tuple.

  Args:
    groups: names, or one name.

  Raises:
    ArgumentError: one is no group, or there is none.
  """
  groups = (groups,) if isinstance(groups, str) else tuple(groups)
  unknown = [group for group in groups if group not in GROUPS]
  if unknown or not groups:
    raise ArgumentError(f"groups={short(unknown or groups)}: groups are among {GROUPS}")
  return groups


def hashed_group(name: str) -> str:
  """Returns a group for a track that nobody assigned, by a hash of its name.

  The shares are 40/40/12/8 for a/b/dev/reference (`SHARES`).
  """
  position = int(hashlib.sha256(name.encode()).hexdigest(), 16) % 100
  for group, limit in (("a", 40), ("b", 80), ("dev", 92)):
    if position < limit:
      return group
  return "reference"


def part_of(track: str) -> str:
  """Returns `tune` for one track in three, by its id alone, and `test` for others."""
  digest = hashlib.sha256(f"tune or test? {track}".encode()).digest()
  return "tune" if digest[0] % 3 == 0 else "test"


def keep(clips: Sequence, part: str, limit: int | None = None) -> list[int]:
  """Returns the indices of the clips of a part, at most `limit` of each group.

  Args:
    clips: `clips.Clip`s.
    part: `tune`, `test` or `all`.
    limit: None for all.

  Raises:
    ArgumentError: there is no such part.
  """
  if part not in PARTS:
    raise ArgumentError(f"part={short(part)}: one of {', '.join(PARTS)}")
  kept, count = [], {}
  for i, clip in enumerate(clips):
    if part in ("all", part_of(clip.track)):
      count[clip.group] = count.get(clip.group, 0) + 1
      if limit is None or count[clip.group] <= limit:
        kept.append(i)
  return kept
