"""Groups of a corpus that share neither music nor performers.

A recording belongs to a work (a composition, or the recordings found to be the same
music) and to a performer (pianist, artist). Works and performers form a graph whose
edges are the recordings, and no group of the corpus may share a node with another.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lsaprobe_jax.data.splits import GROUPS, SHARES

# A connected part of the graph that is larger is cut, and what crosses the cut lost.
_LARGEST_WHOLE = 0.2
# Above this share of everything a unit is placed by the room left, before the others.
_LARGE = 0.02


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recording:
  """An edge of the graph.

  Attributes:
    track: unique id.
    work: what is played.
    performer: who plays.
    stratum: groups get the same share of each (a year, a genre).
    seconds: its length.
  """

  track: str
  work: str
  performer: str
  stratum: str
  seconds: float


def merge(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
  """Joins names that pairs connect, directly or through others.

  Args:
    names: unique.
    pairs: of names.

  Returns:
    Name -> the first, in alphabetical order, of all that it is connected with.
  """
  ordered = sorted(names)
  place = {name: i for i, name in enumerate(ordered)}
  edges = np.array([(place[a], place[b]) for a, b in pairs], np.int64).reshape(-1, 2)
  labels = _label(len(ordered), edges)
  first: dict[int, str] = {}
  return {
    name: first.setdefault(label, name)
    for name, label in zip(ordered, labels, strict=True)
  }


def assign(recordings: Sequence[Recording]) -> dict[str, str | None]:
  """Assigns groups so that no work and no performer stands in two.

  A connected part of the graph goes to one group whole, unless it is more than 20%
  of the recorded time: with a few popular works most of a competition's recordings
  hang together. Such a part is dealt out by performer; each of its works goes where
  most of its time is, and recordings whose work and performer stand in different
  groups are left out. Units are dealt in order of stratum and of a hash of their
  name, each to the group that has least of its share: 40/40/12/8 of the time for
  a/b/dev/reference. The order of `recordings` does not matter.

  Returns:
    Track -> group, or None for those that are left out.
  """
  units = _units(recordings)
  group_of_unit = _deal(units)
  by_track = {
    recording.track: group_of_unit[name]
    for name, members in units.items()
    for recording in members
  }
  time: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
  for recording in recordings:
    time[recording.work][by_track[recording.track]] += recording.seconds
  home = {
    work: min(seconds, key=lambda group: (-round(seconds[group], 6), group))
    for work, seconds in time.items()
  }
  fits = lambda recording: by_track[recording.track] == home[recording.work]
  return {r.track: by_track[r.track] if fits(r) else None for r in recordings}


def _units(recordings: Sequence[Recording]) -> dict[str, list[Recording]]:
  """Returns what is dealt out: connected parts, or performers of a large one."""
  nodes = sorted(
    {("work", r.work) for r in recordings}
    | {("performer", r.performer) for r in recordings}
  )
  place = {node: i for i, node in enumerate(nodes)}
  edges = np.array(
    [(place["work", r.work], place["performer", r.performer]) for r in recordings],
    np.int64,
  ).reshape(-1, 2)
  labels = _label(len(nodes), edges)
  parts = collections.defaultdict(list)
  for recording in sorted(recordings, key=lambda recording: recording.track):
    parts[labels[place["performer", recording.performer]]].append(recording)
  total = sum(recording.seconds for recording in recordings)
  units = collections.defaultdict(list)
  for members in parts.values():
    if sum(recording.seconds for recording in members) <= _LARGEST_WHOLE * total:
      units[min(recording.performer for recording in members)] = members
    else:
      for recording in members:
        units[recording.performer].append(recording)
  return units


def _deal(units: dict[str, list[Recording]]) -> dict[str, str]:
  """Returns the group of each unit."""
  seconds = {name: sum(r.seconds for r in members) for name, members in units.items()}
  total = sum(seconds.values())

  def order(name):
    strata = collections.Counter()
    for recording in units[name]:
      strata[recording.stratum] += recording.seconds
    main = min(strata, key=lambda stratum: (-strata[stratum], stratum))
    digest = hashlib.sha256(name.encode()).hexdigest()
    return (seconds[name] <= _LARGE * total, main, digest)

  have = dict.fromkeys(GROUPS, 0.0)
  groups = {}
  for name in sorted(units, key=order):
    large = seconds[name] > _LARGE * total
    planned = total if large else sum(have.values()) + seconds[name]
    room = {group: SHARES[group] * planned - have[group] for group in GROUPS}
    groups[name] = max(GROUPS, key=lambda group: round(room[group], 6))
    have[groups[name]] += seconds[name]
  return groups


def _label(count: int, edges: np.ndarray) -> np.ndarray:
  """Numbers the connected part that each of `count` nodes is in."""
  ones = np.ones(len(edges), np.int8)
  graph = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(count, count))
  return connected_components(graph, directed=False)[1]
