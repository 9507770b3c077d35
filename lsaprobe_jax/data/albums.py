"""Which album a track is of: as its tags say, its package, or the folder it lies in.

Tracks of an album are alike for reasons that have nothing to do with training (one
band, one session, one mastering). A test that takes them for independent finds likeness
to album-mates that were trained on, and calls it evidence.
"""

import pathlib
import re

import soundfile

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import folder as folder_lib
from lsaprobe_jax.data import manifest as manifest_lib

# What players write where there is no album, and folders that name no album.
_NO_ALBUM = frozenset(
  ("unknown album", "unknown", "untitled", "no album", "none", "various", "singles")
)
_NO_FOLDER = re.compile(
  r"(cd|dis[ck]|vol(ume)?|side|part)([ _.-]+\w{0,2}|\d{0,2}|[a-d])|"
  r"mp3s?|flacs?|wavs?|ogg|opus|m4a|audio|music|tracks?|songs?|files?|suspects?|"
  r"references?|downloads?",
  re.IGNORECASE,
)


def of_tracks(name_or_path, side: str = "") -> dict[str, str]:
  """Finds the albums of what `corpus.open_corpus` opens, by the id of the track.

  A built corpus says which package a track was taken from. A plain file's album is that
  of its tags, with the artist, or else its folder. A folder counts within its side
  only, and not where it lies at the top or is named for a group
  (`folder.GROUP_FOLDERS`), a disc or a format.

  Args:
    name_or_path: a shipped corpus, a built one, a folder of audio files, or a file.
    side: what tells folders of one side from those of another.

  Returns:
    Albums of the tracks that have one; names are untrusted text.

  Raises:
    AudioError: there is nothing to open, or a manifest is damaged.
  """
  path = corpora.root_of(name_or_path)
  if (path / manifest_lib.FILENAME).is_file():
    tracks = manifest_lib.read(path).tracks
    return {track.id: track.package for track in tracks if track.package}
  found = {}
  for file in folder_lib.listing(path).files:
    folder = _folder(file.path, path)
    album = _tagged(file.path) or (folder and f"{side}/{folder}")
    if album:
      found[file.track] = album
  return found


def _tagged(path: pathlib.Path) -> str | None:
  """Reads the tags `artist` and `album`; None where libsndfile finds no album."""
  try:
    with soundfile.SoundFile(path) as file:
      tags = file.copy_metadata()
  # Whatever a damaged file raises, decoding it says so; here it has no tag.
  except Exception:
    return None
  artist, album = (tags.get(name, "").strip() for name in ("artist", "album"))
  return None if not album or album.lower() in _NO_ALBUM else f"{artist}: {album}"


def _folder(path: pathlib.Path, root: pathlib.Path) -> str | None:
  if path == root:
    return None
  parts = list(path.relative_to(root).parts[:-1])
  if parts and parts[0].lower() in folder_lib.GROUP_FOLDERS:
    del parts[0]
  while parts and _NO_FOLDER.fullmatch(parts[-1].strip()):
    del parts[-1]
  return "/".join(parts) or None
