"""Bach's chorales in music21, for a user's own build: tracks grouped by melody.

Bach set the same tune several times. Settings of a tune must not stand in two groups,
so they are clustered by their soprano lines before they are split.
"""

import collections
import dataclasses
import hashlib
import itertools
import pathlib

from lsaprobe_jax import optional
from lsaprobe_jax.data import splits
from lsaprobe_jax.data.build import sources
from lsaprobe_jax.text import slug

_SUFFIXES = (".mxl", ".xml", ".krn")
_FIGURE = 8
# Share of the shorter melody's 8-note figures found in the other, from which on the
# two count as one tune. It errs towards joining: with music21 10.5.1, 413 files fall
# into 221 tunes of at most 11 files. With 6-note figures, runs of a scale joined
# most of them into one.
_SAME_TUNE = 0.4


# Tunes of a half of `dose`, and of what its halves are compared with.
_DOSE_HALF, _DOSE_DEV = 48, 24


def listing(corpus_folder) -> list[sources.Source]:
  """Lists sources for the chorales below music21's corpus folder.

  Reading their melodies takes about a minute.
  """
  corpus_folder = pathlib.Path(corpus_folder)
  paths = [
    path
    for path in sorted((corpus_folder / "bach").iterdir())
    if path.suffix in _SUFFIXES
  ]
  melodies = [soprano(path) for path in paths]
  listed = []
  for path, cluster in zip(paths, clusters(melodies), strict=True):
    tune = f"chorale-{slug(paths[cluster].stem)}"
    listed.append(
      sources.Source(
        track=f"bach-{slug(path.name)}",
        package="music21",
        path=path.relative_to(corpus_folder).as_posix(),
        title=f"Chorale {path.stem}",
        author="Johann Sebastian Bach",
        licence="see music21 corpus/license.txt",
        duplicates=tune,
        group=splits.hashed_group(tune),
      )
    )
  return listed


def dose(listed: list[sources.Source]) -> list[sources.Source]:
  """Draws fine-tunes' halves from chorales that no evaluation had read as test tracks.

  Args:
    listed: as `listing` gives them.

  Returns:
    One chorale of each tune that is taken, in the order given: 48 a half, all of tunes
    that were in no test part, and 24 to compare with, some of which were. Ids begin
    with `dose-`, so that their parts are drawn anew (`splits.part_of`).
  """
  tunes = collections.defaultdict(list)
  for source in listed:
    tunes[source.duplicates].append(source)
  read = lambda source: (
    source.group in ("a", "b") and splits.part_of(source.track) == "test"
  )
  mark = lambda tune: hashlib.sha256(f"dose {tune}".encode()).hexdigest()
  order = sorted(tunes, key=mark)
  unread = [tune for tune in order if not any(map(read, tunes[tune]))]
  halves = unread[: 2 * _DOSE_HALF]
  others = [tune for tune in order if tune not in halves]
  groups = dict.fromkeys(others[:_DOSE_DEV], "dev")
  groups |= {tune: "ab"[i % 2] for i, tune in enumerate(halves)}
  first = {own[0].track for own in tunes.values()}
  return [
    dataclasses.replace(s, track=f"dose-{s.track}", group=groups[s.duplicates])
    for s in listed
    if s.duplicates in groups and s.track in first
  ]


def soprano(path) -> list[int]:
  """Reads the MIDI pitches of a score's soprano, or of its top part, repeats kept."""
  music21 = optional.require("music21", "corpora")
  score = music21.converter.parse(path)
  parts = list(score.parts) or [score]
  named = [part for part in parts if "sopran" in (part.partName or "").lower()]
  part = (named or parts)[0]
  return [note.pitches[-1].midi for note in part.flatten().notes if note.pitches]


def clusters(melodies: list[list[int]]) -> list[int]:
  """Returns for each melody (MIDI pitches) the index of the first of its cluster.

  Two melodies are linked if they share enough figures of eight notes, whatever their
  keys; a cluster is what links connect.
  """
  figures = [_figures(melody) for melody in melodies]
  first = list(range(len(melodies)))

  def root(i: int) -> int:
    while first[i] != i:
      i = first[i]
    return i

  for i, mine in enumerate(figures):
    for j in range(i):
      shorter = min(len(mine), len(figures[j]))
      if shorter and len(mine & figures[j]) >= _SAME_TUNE * shorter:
        low, high = sorted((root(i), root(j)))
        first[high] = low
  return [root(i) for i in range(len(melodies))]


def _figures(melody: list[int]) -> set[tuple[int, ...]]:
  """Returns runs of intervals between different pitches, whatever the key."""
  moves = [b - a for a, b in itertools.pairwise(melody) if a != b]
  size = _FIGURE - 1
  return {tuple(moves[i : i + size]) for i in range(len(moves) - size + 1)}
