"""The versions of a canary audit: tracks as published, and those that were held back.

Before a release an artist draws which of two or more versions of each track is
published, and holds the others back. No training set holds these, and without training
the draw alone says which version scores highest. See arXiv 2409.19798 and 2601.12937.

Clips begin at the same place in every version of a track.
"""

import dataclasses
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from lsaprobe_jax.audit import sides
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import folder as folder_lib
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.text import printable

_VERSION = re.compile(r"v\d+", re.IGNORECASE)
_LISTED = 5


def version_folders(folder: str) -> dict[str, str]:
  """Finds the held-back versions of a folder: sub-folders v1, v2, ..., or itself.

  Returns:
    Folders by side: `held_back_1` and so on, in the order of their numbers.

  Raises:
    ArgumentError: it begins with `held_back`.
  """
  path = pathlib.Path(folder).expanduser()
  if not path.is_dir():
    raise ArgumentError(f"held_back={printable(folder)}: a folder of tracks is wanted")
  found = [p for p in path.iterdir() if p.is_dir() and _VERSION.fullmatch(p.name)]
  found.sort(key=lambda p: (int(p.name[1:]), p.name))
  return {f"held_back_{i}": str(p) for i, p in enumerate(found or [path], 1)}


def beside_versions(folder: str) -> list[str]:
  """Notes what lies beside the folders of versions, and so is not read."""
  path = pathlib.Path(folder).expanduser()
  taken = set(version_folders(folder).values())
  if taken == {str(path)}:
    return []
  beside = [p.name for p in path.iterdir() if str(p) not in taken]
  shown = [name for name in beside if not name.startswith(".")]
  said = f"held_back: beside the versions v1, v2, ..., and not read: {_listed(shown)}"
  return [said] if shown else []


def open_versions(
  suspects: str,
  folders: dict[str, str],
  *,
  sample_rate: int,
  channels: int = 1,
  clip_seconds: float,
  clips_per_track: int,
) -> tuple[dict[str, Corpus], list[str]]:
  """Opens the published and the held-back versions, cut at the same places.

  Args:
    suspects: folder of the published versions, or one file.
    folders: by side (`version_folders`).
    sample_rate: of the model, in Hz.
    channels: of the model, 1 or 2.
    clip_seconds: length of a clip.
    clips_per_track: at most so many clips of a track.

  Returns:
    (clips by side, those published under `suspect`; the clips of all sides correspond
    in their order; what to note of them).

  Raises:
    ArgumentError: names are missing or there are further ones, or no track can be used
      in all versions; it begins with `held_back` or `suspects`.
  """
  with sides.blaming("suspect"):
    if corpora.kind(suspects) != "files":
      raise ValueError("a folder of audio files is wanted beside versions held back")
  given = {"suspect": suspects, **folders}
  listed = {side: _listing(side, path) for side, path in given.items()}
  paths = {
    side: {file.track: file.path for file in own.files} for side, own in listed.items()
  }
  _check_names(paths, folders)
  how = {"sample_rate": sample_rate, "channels": channels, "clip_seconds": clip_seconds}
  parts: dict[str, list[Corpus]] = {side: [] for side in paths}
  notes = [f"{side}: {line}" for side, own in listed.items() for _, line in own.skipped]
  for track in paths["suspect"]:
    own, failed = _open_track(track, paths, clips_per_track, how)
    notes += failed
    for side, corpus in own.items():
      parts[side].append(corpus)
  if not parts["suspect"]:
    raise ArgumentError(f"suspects: no track can be used in all versions: {notes[-1]}")
  counts = [len(corpus) for corpus in parts["suspect"]]
  if min(counts) < clips_per_track:
    notes.append(
      f"{min(counts)} clips of {clip_seconds:g} s a track, not {clips_per_track}: a"
      " track holds no more at the same places of all versions"
    )
  least = lambda corpora: [corpus.take(range(min(counts))) for corpus in corpora]
  return {side: _joined(least(own)) for side, own in parts.items()}, notes


def _listing(side: str, path: str) -> folder_lib.Listing:
  with sides.blaming(side):
    listing = folder_lib.listing(path)
    if not listing.files:
      raise ValueError("there is no audio file in it")
    return listing


def _check_names(paths: dict[str, dict], folders: dict[str, str]) -> None:
  published = paths["suspect"]
  for side, folder in folders.items():
    missing = [published[t].name for t in published.keys() - paths[side].keys()]
    extra = [paths[side][t].name for t in paths[side].keys() - published.keys()]
    said = [
      f"{what} {_listed(names)}"
      for what, names in (("no version of", missing), ("nothing published as", extra))
      if names
    ]
    if said:
      raise ArgumentError(
        f"held_back={printable(folder)}: {'; '.join(said)}; name every version as the"
        " published track is named"
      )


def _listed(names: Sequence[str]) -> str:
  shown = ", ".join(printable(name) for name in sorted(names)[:_LISTED])
  return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown


def _open_track(
  track: str, paths: dict[str, dict], most: int, how: dict
) -> tuple[dict[str, Corpus], list[str]]:
  """(clips of a track by side, what to say where it is left out)."""
  opened, notes = {}, []
  for side, files in paths.items():
    try:
      opened[side] = corpora.open_corpus(files[track], **how)
    except AudioError as error:
      return {}, [*notes, f"left out: {printable(track)}: {error}"]
    notes += [f"{side}: {line}" for _, line in opened[side].errors]
  at = {
    side: {round(1000 * clip.start_seconds): i for i, clip in enumerate(corpus.clips)}
    for side, corpus in opened.items()
  }
  shared = set.intersection(*(set(starts) for starts in at.values()))
  # As the published version is spread over.
  starts = [start for start in at["suspect"] if start in shared][:most]
  if not starts:
    reason = "no clip at the same place of all versions"
    return {}, [*notes, f"left out: {printable(track)}: {reason}"]
  return {
    side: _named(corpus.take(at[side][start] for start in starts), f"{side}-{track}")
    for side, corpus in opened.items()
  }, notes


def _named(corpus: Corpus, track: str) -> Corpus:
  clips = tuple(
    dataclasses.replace(clip, id=f"{track}@{clip.id.rpartition('@')[2]}", track=track)
    for clip in corpus.clips
  )
  return dataclasses.replace(corpus, name="audit", clips=clips)


def _joined(parts: Sequence[Corpus]) -> Corpus:
  return dataclasses.replace(
    parts[0],
    clips=tuple(clip for part in parts for clip in part.clips),
    audio=np.concatenate([part.audio for part in parts]),
    errors=(),
  )
