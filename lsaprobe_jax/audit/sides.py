"""The two sides of an audit, opened and looked at before any model."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from absl import logging
from tqdm import tqdm

from lsaprobe_jax.data import albums as album_lib
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.text import printable

# The argument of `audit` that gives a side.
ARGUMENTS = {"suspect": "suspects", "reference": "reference"}
_HELD_BACK = "held_back"

Groups = Mapping[str, Sequence[str] | None]


def open_sides(
  given: Mapping[str, str],
  *,
  groups: Groups,
  sample_rate: int,
  channels: int = 1,
  clip_seconds: float,
  clips_per_track: int,
) -> tuple[dict[str, Corpus], list[str]]:
  """Opens one side or both, with as many clips of every track.

  Args:
    given: path by side, `suspect` and perhaps `reference`.
    groups: groups of tracks by side; all of a side that is not there.
    sample_rate: of the model, in Hz.
    channels: of the model, 1 or 2.
    clip_seconds: length of a clip.
    clips_per_track: at most so many clips of a track.

  Returns:
    (clips by side, what to note of them).

  Raises:
    ArgumentError: it begins with `suspects` or `reference`.
  """
  _check_alike(given)
  opened = {
    side: _open(
      side,
      path,
      groups=groups.get(side),
      sample_rate=sample_rate,
      channels=channels,
      clip_seconds=clip_seconds,
      clips_per_track=clips_per_track,
    )
    for side, path in given.items()
  }
  notes = [message for side in opened.values() for _, message in side.errors]
  each = min(clips_of_tracks(side).min() for side in opened.values())
  if each < clips_per_track:
    notes.append(
      f"{each} clips of {clip_seconds:g} s a track, not {clips_per_track}: a track"
      " holds no more, and all must have the same number"
    )
  return {side: corpus.per_track(each) for side, corpus in opened.items()}, notes


def inspect_sides(
  given: Mapping[str, str], opened: Mapping[str, Corpus]
) -> tuple[dict[str, list[inspection.Facts]], dict[str, Corpus], list[str]]:
  """Looks at the tracks of both sides, and leaves some out.

  Args:
    given: path by side.
    opened: clips by side.

  Returns:
    (facts by side, clips by side, notes), without tracks that cannot be read any more,
    and without those that hold the same recording as another one of their side.

  Raises:
    ArgumentError: no track of a side is left.
  """
  facts, kept, notes = {}, {}, []
  for side, path in given.items():
    found, failed = _inspect(side, path, opened[side])
    notes += failed
    doubled = {pair.second: pair.first for pair in inspection.duplicates(found)}
    notes += [
      f"left out: {second} holds the same recording as {first}"
      for second, first in doubled.items()
    ]
    facts[side] = [fact for fact in found if fact.track not in doubled]
    if not facts[side]:
      raise ArgumentError(f"{argument(side)}: no track can be read: {failed[0]}")
    names = {fact.track for fact in facts[side]}
    kept[side] = opened[side].take(
      i for i, clip in enumerate(opened[side].clips) if clip.track in names
    )
  return facts, kept, notes


def known_albums(given: Mapping[str, str]) -> dict[str, str] | None:
  """Looks up the albums of both sides, by track; None where none is known."""
  found = {}
  for side, path in given.items():
    with blaming(side):
      own = album_lib.of_tracks(path, side)
    found |= {f"{side}-{track}": album for track, album in own.items()}
  return found or None


def clips_of_tracks(corpus: Corpus) -> np.ndarray:
  """Counts the clips of each track, [tracks]."""
  return np.unique([clip.track for clip in corpus.clips], return_counts=True)[1]


def _inspect(
  side: str, path: str, corpus: Corpus
) -> tuple[list[inspection.Facts], list[str]]:
  """(facts of the tracks that have clips, what to say of those that failed)."""
  with blaming(side):
    readers = corpora.recordings(path)
  facts, failed = [], []
  for track in tqdm(corpus.tracks, unit="track", desc=f"reading {side}"):
    try:
      read = readers[track.removeprefix(f"{side}-")]
      facts.append(inspection.inspect(track, read()))
    except (AudioError, KeyError) as error:
      reason = "it went away" if isinstance(error, KeyError) else str(error)
      failed.append(f"left out: {printable(track)}: {reason}")
      logging.error("%s", failed[-1])
  return facts, failed


def _check_alike(given: Mapping[str, str]) -> None:
  """Refuses sides of different kinds, which would be decoded by different code."""
  kinds = {}
  for side, path in given.items():
    with blaming(side):
      kinds[side] = corpora.kind(path)
  if len(set(kinds.values())) > 1:
    side = next(side for side, kind in kinds.items() if kind != "files")
    raise ArgumentError(
      f"{ARGUMENTS[side]}={given[side]} is a built corpus and the other side is not, or"
      " not in the same form: loudness and rate were set by other code; give plain"
      " audio files on both sides, or build both (launch.corpus)"
    )


@contextlib.contextmanager
def blaming(side: str) -> Iterator[None]:
  """Makes what cannot be used of a side an error that names its argument."""
  try:
    yield
  except ValueError as error:
    raise ArgumentError(f"{argument(side)}: {error}") from error


def argument(side: str) -> str:
  """The argument of `audit` that gives a side."""
  return ARGUMENTS.get(side, _HELD_BACK)


def _open(side: str, path: str, **how) -> Corpus:
  """Clips of one side, its tracks and clips named so that no name is on both sides."""
  with blaming(side):
    corpus = corpora.open_corpus(path, **how)
    # Records are read too: a few clips of a track fit in memory, and gates need them
    # at once.
    audio = corpus.audio[:]
  named = [
    dataclasses.replace(clip, id=f"{side}-{clip.id}", track=f"{side}-{clip.track}")
    for clip in corpus.clips
  ]
  return dataclasses.replace(corpus, name="audit", clips=tuple(named), audio=audio)
