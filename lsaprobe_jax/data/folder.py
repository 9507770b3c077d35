"""Any folder of audio files as a corpus: which files, in which group, called what."""

import collections
import dataclasses
import hashlib
import pathlib

from lsaprobe_jax.data import sources
from lsaprobe_jax.data.audio import AudioError

# What libsndfile reads, and what people have and should be told about (m4a, ...).
SUFFIXES = frozenset(
  (
    *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"),
    *(".au", ".caf", ".w64", ".rf64", ".m4a", ".aac", ".wma"),
  )
)
# Top-level folders that say which group their files are in.
GROUP_FOLDERS = {
  "a": "a",
  "member": "a",
  "members": "a",
  "b": "b",
  "nonmember": "b",
  "nonmembers": "b",
  "dev": "dev",
  "development": "dev",
  "calib": "dev",
  "reference": "reference",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
  """An audio file of a folder: the track it makes and the group that is in."""

  path: pathlib.Path
  track: str
  title: str
  group: str


def listing(folder) -> tuple[File, ...]:
  """Audio files below `folder`, or this one file, one track each, ordered by track.

  The group is the top-level folder's, where that is named for one (`GROUP_FOLDERS`),
  and otherwise a hash of the track's name: 40/40/12/8 for a/b/dev/reference. The
  group's folder is no part of the track's name, so that ids do not tell the group.

  Raises:
    AudioError: a folder went away meanwhile, or may not be read.
  """
  folder = pathlib.Path(folder)
  if folder.is_file():
    track = sources.slug(folder.stem)
    group = sources.hashed_group(track)
    return (File(path=folder, track=track, title=folder.stem, group=group),)
  try:
    paths = sorted(
      path
      for path in folder.rglob("*")
      if path.suffix.lower() in SUFFIXES and path.is_file()
      if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
  except OSError as error:
    raise AudioError(
      f"{folder}: cannot be listed ({error}); check the folder"
    ) from error
  names = {path: _name(path.relative_to(folder)) for path in paths}
  count = collections.Counter(sources.slug(name) for _, name in names.values())
  files = []
  for path, (group, name) in names.items():
    track = sources.slug(name)
    if count[track] > 1:
      # The whole path tells namesakes apart; the hash keeps it short and safe.
      whole = path.relative_to(folder).as_posix().encode()
      track = f"{track}-{hashlib.sha256(whole).hexdigest()[:8]}"
    group = group or sources.hashed_group(track)
    files.append(File(path=path, track=track, title=path.stem, group=group))
  return tuple(sorted(files, key=lambda file: file.track))


def _name(relative: pathlib.Path) -> tuple[str | None, str]:
  """Group of the top-level folder, if it is one, and the rest as a track name."""
  parts = relative.with_suffix("").parts
  group = GROUP_FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None
  return group, "/".join(parts[1:] if group else parts)
