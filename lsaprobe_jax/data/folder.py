"""Any folder of audio files as a corpus: which files, in which group, called what.

What is not taken is said: an audit of fewer tracks than were given would be another
audit. Links to folders are not followed, so that nothing is found twice or for ever.
"""

import collections
import dataclasses
import hashlib
import os
import pathlib
import re
import stat
import unicodedata
from collections.abc import Iterable

from lsaprobe_jax.data import sniffing
from lsaprobe_jax.data.border import border
from lsaprobe_jax.data.splits import hashed_group
from lsaprobe_jax.text import first_line, printable, slug

# What libsndfile reads, and what people have and should be told about (m4a, ...).
SUFFIXES = frozenset(
  (
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus"),
    *(".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
    *(".m4a", ".aac", ".wma"),
  )
)
_LOSSY = frozenset((".ogg", ".oga", ".opus", ".mp3", ".mp2", ".m4a", ".aac", ".wma"))
# Top-level folders that say which group their files are in, without regard to case and
# to what stands between words: `Non-Members` is `nonmembers`.
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
  "calibration": "dev",
  "reference": "reference",
  "references": "reference",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
  """An audio file of a folder: the track it makes and the group that is in."""

  path: pathlib.Path
  track: str
  title: str
  group: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
  """What a folder holds.

  Attributes:
    files: audio files, one track each, ordered by track.
    skipped: (path, one line) for what is not taken: one for each folder, link or
      audio file, and one for all hidden files and for all that is no audio.
    remarks: (path, one line) on what is taken and may not be what was meant: files
      outside the folders of groups that others lie in.
  """

  files: tuple[File, ...]
  skipped: tuple[tuple[str, str], ...] = ()
  remarks: tuple[tuple[str, str], ...] = ()


def listing(folder) -> Listing:
  """Lists audio files below `folder`, or this one file, one track each, by track.

  The group is the top-level folder's, where that is named for one (`GROUP_FOLDERS`),
  and otherwise a hash of the track's name: 40/40/12/8 for a/b/dev/reference. The
  group's folder is no part of the track's name, so that ids do not tell the group.
  Files of a folder that differ in their suffix alone are one recording in several
  formats: one is taken, and the others are among what is skipped.

  Raises:
    AudioError: the folder went away meanwhile, or may not be read.
  """
  folder = pathlib.Path(folder)
  if folder.is_file():
    track = _track(folder.stem)
    title, group = printable(folder.stem), hashed_group(track)
    return Listing(files=(File(path=folder, track=track, title=title, group=group),))
  with border(folder, "check the folder"):
    found = _Found(folder)
    found.skip_formats()
    files, remarks = _named(folder, found.audio)
    return Listing(files=files, skipped=found.skipped(), remarks=remarks)


class _Found:
  """What lies below a folder, sorted into what is taken and what is not."""

  def __init__(self, folder: pathlib.Path):
    """Walks the folder; OSError where it cannot be listed itself."""
    self._folder = folder
    self.audio: list[pathlib.Path] = []
    self._single: list[tuple[str, str]] = []
    self._hidden: list[str] = []
    self._other: list[str] = []
    waiting = [folder]
    while waiting:
      here = waiting.pop()
      try:
        with os.scandir(here) as entries:
          listed = sorted(entries, key=lambda entry: entry.name)
      except OSError as error:
        if here == folder:
          raise
        self._skip(here, f"a folder that cannot be listed ({_reason(error)})")
        continue
      for entry in listed:
        try:
          if self._is_folder(entry):
            waiting.append(here / entry.name)
        except OSError as error:
          self._skip(here / entry.name, f"cannot be looked at ({_reason(error)})")

  def _is_folder(self, entry: os.DirEntry) -> bool:
    """Returns whether to go into this; sorts it in where it is something else."""
    path, suffix = pathlib.Path(entry.path), pathlib.Path(entry.name).suffix.lower()
    sounds = suffix in SUFFIXES or suffix in sniffing.UNREAD
    if entry.name.startswith("."):
      if sounds or entry.is_dir(follow_symlinks=False):
        self._hidden.append(self._relative(path))
      return False
    if entry.is_dir(follow_symlinks=False):
      return True
    if entry.is_symlink() and not os.path.exists(path):
      self._skip(path, "a link to nothing")
    elif entry.is_symlink() and entry.is_dir():
      self._skip(path, "a link to a folder; links to folders are not followed")
    elif not sounds:
      self._other.append(self._relative(path))
    elif not stat.S_ISREG(entry.stat().st_mode):
      self._skip(path, "no plain file")
    elif suffix in sniffing.UNREAD:
      kind = sniffing.UNREAD[suffix]
      self._skip(path, f"{kind} is not read; convert it to flac or wav")
    else:
      self.audio.append(path)
    return False

  def _relative(self, path: pathlib.Path) -> str:
    return str(path.relative_to(self._folder))

  def skip_formats(self) -> None:
    """Leaves one of the files that differ in their suffix alone, lossless if any is."""
    alike = collections.defaultdict(list)
    for path in self.audio:
      alike[path.with_suffix("")].append(path)
    self.audio = []
    for paths in alike.values():
      first, *others = sorted(paths, key=lambda p: (_loses(p.suffix), p.suffix))
      self.audio.append(first)
      for path in others:
        self._skip(path, f"left out, as {printable(first.name)} beside it is taken")

  def _skip(self, path: pathlib.Path, reason: str) -> None:
    self._single.append((printable(path), f"{printable(path)}: {reason}"))

  def skipped(self) -> tuple[tuple[str, str], ...]:
    """Returns (path, line) for what is not taken."""
    name = printable(self._folder)
    counted = (
      (self._hidden, "hidden by a leading dot, not read"),
      (self._other, "no audio by their suffix, not read"),
    )
    return (
      *sorted(self._single),
      *(
        (name, f"{name}: {len(names)} {reason}: {_first(names)}")
        for names, reason in counted
        if names
      ),
    )


def _loses(suffix: str) -> bool:
  """Whether a format leaves out what is hard to hear."""
  return suffix.lower() in _LOSSY


def _reason(error: OSError) -> str:
  return printable(error.strerror) if error.strerror else first_line(error)


def _first(names: list[str], most: int = 3) -> str:
  """Returns the first few of some names."""
  shown = ", ".join(printable(name) for name in sorted(names)[:most])
  return f"{shown}, ..." if len(names) > most else shown


def _named(
  folder: pathlib.Path, paths: Iterable[pathlib.Path]
) -> tuple[tuple[File, ...], tuple[tuple[str, str], ...]]:
  """Returns files with the tracks that they make, by track, and remarks on them."""
  names = {path: _name(path.relative_to(folder)) for path in sorted(paths)}
  count = collections.Counter(_track(name) for _, name in names.values())
  files = []
  for path, (group, name) in names.items():
    track = _track(name)
    if count[track] > 1:
      # The whole path tells namesakes apart; the hash keeps it short and safe.
      whole = os.fsencode(path.relative_to(folder).as_posix())
      track = f"{track}-{hashlib.sha256(whole).hexdigest()[:8]}"
    group = group or hashed_group(track)
    files.append(File(path=path, track=track, title=printable(path.stem), group=group))
  remarks = tuple(_outside(folder, names))
  return tuple(sorted(files, key=lambda file: file.track)), remarks


def _outside(folder: pathlib.Path, names: dict) -> Iterable[tuple[str, str]]:
  """Says which files lie in no group's folder, where others do."""
  outside = [path for path, (group, _) in names.items() if group is None]
  if 0 < len(outside) < len(names):
    shown = _first([str(path.relative_to(folder)) for path in outside])
    yield (
      printable(folder),
      f"{printable(folder)}: {len(outside)} files are in groups by a hash of their"
      f" names, as they lie in none of the folders {', '.join(GROUP_FOLDERS)}, in which"
      f" others lie: {shown}",
    )


def group_of(folder: str) -> str | None:
  """Returns the group that a folder's name says, if it says one."""
  return GROUP_FOLDERS.get(re.sub(r"[-_ .]", "", folder.lower()))


def _track(name: str) -> str:
  """Returns the track that a file's name makes: ASCII, and its own.

  Of a name in another alphabet, of signs or of bytes that are no text too little is
  left to tell tracks apart, and a hash stands behind it.
  """
  kept = unicodedata.normalize("NFKD", name)
  lost = (
    not letter.isascii() and unicodedata.category(letter)[0] in "LNSC"
    for letter in kept
  )
  if any(letter.isascii() and letter.isalnum() for letter in kept) and not any(lost):
    return slug(name)
  whole = unicodedata.normalize("NFC", name).encode("utf-8", "surrogatepass")
  return f"{slug(name)}-{hashlib.sha256(whole).hexdigest()[:8]}"


def _name(relative: pathlib.Path) -> tuple[str | None, str]:
  """Returns the top-level folder's group, if any, and the rest as a track name."""
  parts = relative.with_suffix("").parts
  group = group_of(parts[0]) if len(parts) > 1 else None
  return group, "/".join(parts[1:] if group else parts)
