"""The two sides of an audit, opened and looked at before any model. Reads no flags."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator

import numpy as np
from absl import app, logging
from ml_collections import ConfigDict
from tqdm import tqdm

from lsaprobe_jax.data import albums as album_lib
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.models import checkpoints, conversion
from lsaprobe_jax.text import printable

_CLIP_SECONDS = 4.0
_LONGEST_CLIP = 3600.0
# What tests exchange: whole albums where they are known, or tracks in any case.
ALBUMS = ("known", "tracks")


def open_sides(
  given: dict[str, str], groups, rate: int, seconds: float, config: ConfigDict
) -> tuple[dict[str, Corpus], list[str]]:
  """Both sides with as many clips of every track, and what to note of that."""
  _check_alike(given)
  opened = {
    side: _open(side, path, groups.get(side), rate, seconds, config)
    for side, path in given.items()
  }
  notes = [message for side in opened.values() for _, message in side.errors]
  each = min(clips_of_tracks(side).min() for side in opened.values())
  if each < config.corpus.clips_per_track:
    notes.append(
      f"{each} clips of {seconds:g} s a track, not {config.corpus.clips_per_track}:"
      " a track holds no more, and all must have the same number"
    )
  return {side: corpus.per_track(each) for side, corpus in opened.items()}, notes


def inspect_sides(
  given: dict[str, str], opened: dict[str, Corpus]
) -> tuple[dict[str, list[inspection.Facts]], dict[str, Corpus], list[str]]:
  """Looks at the tracks of both sides.

  Args:
    given: path by side.
    opened: clips by side.

  Returns:
    (facts by side, clips by side, notes), less tracks that cannot be read any more,
    and less those that hold the same recording as another one of their side.

  Raises:
    app.UsageError: no track of a side is left.
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
      raise app.UsageError(f"--{_plural(side)}: no track can be read: {failed[0]}")
    names = {fact.track for fact in facts[side]}
    kept[side] = opened[side].take(
      i for i, clip in enumerate(opened[side].clips) if clip.track in names
    )
  return facts, kept, notes


def _inspect(
  side: str, path: str, corpus: Corpus
) -> tuple[list[inspection.Facts], list[str]]:
  """(facts of the tracks that have clips, what to say of those that failed)."""
  with _blaming(side):
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


def albums_of(config: ConfigDict, given: dict[str, str]) -> dict[str, str] | None:
  """Albums by track of both sides; None where none is known or none is asked for."""
  if config.albums == "tracks":
    return None
  found = {}
  for side, path in given.items():
    with _blaming(side):
      own = album_lib.of_tracks(path, side)
    found |= {f"{side}-{track}": album for track, album in own.items()}
  return found or None


def trained_seconds(model: str) -> float:
  """Length of the clips that a model was trained on, as its folder says, or 4 s."""
  path = conversion.find_model(model) / checkpoints.MODEL_FILE
  found = json.loads(path.read_text())
  for name in ("training", "config", "corpus", "clip_seconds"):
    found = found.get(name) if isinstance(found, dict) else None
  usable = isinstance(found, int | float) and 0 < found <= _LONGEST_CLIP
  return float(found) if usable else _CLIP_SECONDS


def _check_alike(given: dict[str, str]) -> None:
  """Refuses sides of different kinds, which would be decoded by different code."""
  kinds = {}
  for side, path in given.items():
    with _blaming(side):
      kinds[side] = corpora.kind(path)
  if len(set(kinds.values())) > 1:
    side = next(side for side, kind in kinds.items() if kind != "files")
    raise app.UsageError(
      f"--{_plural(side)}={given[side]} is a built corpus and the other side is not, or"
      " not in the same form: loudness and rate were set by other code; give plain"
      " audio files on both sides, or build both (launch.corpus)"
    )


@contextlib.contextmanager
def _blaming(side: str) -> Iterator[None]:
  """Makes what cannot be used of a side an error that names its flag."""
  try:
    yield
  except ValueError as error:
    raise app.UsageError(f"--{_plural(side)}: {error}") from error


def _plural(side: str) -> str:
  return "suspects" if side == "suspect" else side


def _open(
  side: str, path: str, groups, rate: int, seconds: float, config: ConfigDict
) -> Corpus:
  """Clips of one side, its tracks and clips named so that no name is on both sides."""
  with _blaming(side):
    corpus = corpora.open_corpus(
      path,
      sample_rate=rate,
      clip_seconds=seconds,
      clips_per_track=config.corpus.clips_per_track,
      groups=groups,
    )
    # Of records too: a few clips of a track fit in memory, and gates need them at once.
    audio = corpus.audio[:]
  named = [
    dataclasses.replace(clip, id=f"{side}-{clip.id}", track=f"{side}-{clip.track}")
    for clip in corpus.clips
  ]
  return dataclasses.replace(corpus, name="audit", clips=tuple(named), audio=audio)


def clips_of_tracks(corpus: Corpus) -> np.ndarray:
  """How many clips each track has, [tracks]."""
  return np.unique([clip.track for clip in corpus.clips], return_counts=True)[1]
