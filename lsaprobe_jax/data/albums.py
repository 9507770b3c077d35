"""Which album a track is of: as its tags say, its package, or the folder it lies in.

Tracks of an album are alike for reasons that have nothing to do with training (one
band, one session, one mastering). A test that takes them for independent finds likeness
to album-mates that were trained on, and calls it evidence.
"""

import pathlib
import re
import unicodedata

import soundfile

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import folder as folder_lib
from lsaprobe_jax.data import manifest as manifest_lib

# What players write where there is no album, and folders that name no album.
_NO_ALBUM = frozenset(
  ("unknown album", "unknown", "untitled", "no album", "none", "various", "singles")
)
# So many artists of one title in one folder are a compilation.
_COMPILED = 3
# What stands between an artist and a guest on one track.
_GUEST = re.compile(r" [(\[]?(?:feat|ft|featuring|with)\b")
_NO_FOLDER = re.compile(
  r"(cd|dis[ck]|vol(ume)?|side|part)([ _.-]+\w{0,2}|\d{0,2}|[a-d])|"
  r"mp3s?|flacs?|wavs?|ogg|opus|m4a|audio|music|tracks?|songs?|files?|suspects?|"
  r"references?|downloads?",
  re.IGNORECASE,
)


def of_tracks(name_or_path, side: str = "") -> dict[str, str]:
  """Finds the albums of what `corpus.open_corpus` opens, by the id of the track.

  A built corpus says which package a track was taken from. A plain file's album is that
  of its tags, with the artist, whatever the case and the guests, or else its folder. A
  folder counts within its side only, and not where it lies at the top or is named for a
  group (`folder.GROUP_FOLDERS`), a disc or a format.

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
  files = folder_lib.listing(path).files
  tags = {file.track: _tagged(file.path) for file in files}
  artists: dict[tuple[pathlib.Path, str], set[str]] = {}
  for file in files:
    if tags[file.track]:
      artist, title = tags[file.track]
      artists.setdefault((file.path.parent, title), set()).add(artist)
  found = {}
  for file in files:
    folder = _folder(file.path, path)
    if tags[file.track]:
      artist, title = tags[file.track]
      several = len(artists[file.path.parent, title]) >= _COMPILED
      found[file.track] = f"{'various' if several else artist}: {title}"
    elif folder:
      found[file.track] = f"{side}/{folder}"
  return found


def _tagged(path: pathlib.Path) -> tuple[str, str] | None:
  """Reads artist and album, as `_plain`; None where libsndfile finds no album."""
  try:
    with soundfile.SoundFile(path) as file:
      tags = file.copy_metadata()
  # Whatever a damaged file raises, decoding it says so; here it has no tag.
  except Exception:
    return None
  artist, album = (_plain(tags.get(name, "")) for name in ("artist", "album"))
  artist = _GUEST.split(artist, maxsplit=1)[0]
  return None if not album or album in _NO_ALBUM else (artist, album)


def _plain(text: str) -> str:
  """One spelling of a name: case and spaces differ from file to file."""
  return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _folder(path: pathlib.Path, root: pathlib.Path) -> str | None:
  if path == root:
    return None
  parts = list(path.relative_to(root).parts[:-1])
  if parts and folder_lib.group_of(parts[0]):
    del parts[0]
  while parts and _NO_FOLDER.fullmatch(parts[-1].strip()):
    del parts[-1]
  return "/".join(parts) or None
