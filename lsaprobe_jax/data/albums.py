"""Which album a track is of: as its tags say, its package, or the folder it lies in.

Tracks of an album are alike for reasons that have nothing to do with training (one
band, one session, one mastering). A test that takes them for independent finds likeness
to album-mates that were trained on, and calls it evidence.
"""

import pathlib

import soundfile

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import folder as folder_lib
from lsaprobe_jax.data import manifest as manifest_lib


def of_tracks(name_or_path) -> dict[str, str]:
  """Album by the id of the track, of what `corpus.open_corpus` opens.

  A built corpus says which package a track was taken from. A plain file's album is that
  of its tags, or else its folder, unless it lies at the top or in a folder that only
  names a group (`folder.GROUP_FOLDERS`).

  Args:
    name_or_path: a shipped corpus, a built one, a folder of audio files, or a file.

  Returns:
    Albums of the tracks that have one; names are untrusted text.

  Raises:
    AudioError: there is nothing to open, or a manifest is damaged.
  """
  path = corpora.root_of(name_or_path)
  if (path / manifest_lib.FILENAME).is_file():
    tracks = manifest_lib.read(path).tracks
    return {track.id: track.package for track in tracks if track.package}
  found = {
    file.track: _of_file(file.path, path) for file in folder_lib.listing(path).files
  }
  return {track: album for track, album in found.items() if album}


def _of_file(path: pathlib.Path, root: pathlib.Path) -> str | None:
  return _tagged(path) or _folder(path, root)


def _tagged(path: pathlib.Path) -> str | None:
  """The tag `album`, where libsndfile reads one."""
  try:
    with soundfile.SoundFile(path) as file:
      return file.copy_metadata().get("album", "").strip() or None
  # Whatever a damaged file raises, decoding it says so; here it has no tag.
  except Exception:
    return None


def _folder(path: pathlib.Path, root: pathlib.Path) -> str | None:
  if path == root:
    return None
  parts = path.relative_to(root).parts[:-1]
  if parts and parts[0].lower() in folder_lib.GROUP_FOLDERS:
    parts = parts[1:]
  return "/".join(parts) or None
