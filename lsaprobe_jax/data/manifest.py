"""The manifest of a built corpus: what is in it, from where, under which licence."""

import collections
import dataclasses
import hashlib
import json
import pathlib
import re

from lsaprobe_jax.data.border import AudioError, border
from lsaprobe_jax.data.decoding import RATES
from lsaprobe_jax.data.splits import GROUPS
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.text import first_line, printable, short

FILENAME = "manifest.json"
# No excerpt begins later, or is longer; the decoder refuses longer files.
MAX_SECONDS = 86400.0
# Parsed, it takes several times its size; 900 hours in segments of 4 s take 150 MB.
_MAX_BYTES = 1 << 30
_VERSION = 1
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segment:
  """An excerpt: where it starts in its source and how long it is, in seconds.

  `sha256` is that of a record's float32 samples; '' in a corpus of files.
  """

  start_seconds: float
  seconds: float
  sha256: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Track:
  """One file of a built corpus: its segments, one after the other.

  Attributes:
    id: unique, safe as a file name.
    title: untrusted text, as are `author` and `path`.
    author: composer, performer, arranger.
    package: where it was taken from.
    path: path inside the package.
    licence: SPDX-like name, or 'public-domain'.
    duplicates: tracks with the same value are versions of the same music.
    group: 'a', 'b', 'dev' or 'reference'.
    file: name inside the corpus folder.
    sha256: of the file's bytes.
    segments: in the order in which they stand in the file.
    changes: what was done to the source, for its licence.
  """

  id: str
  title: str
  author: str
  package: str
  path: str
  licence: str
  duplicates: str
  group: str
  file: str
  sha256: str
  segments: tuple[Segment, ...]
  changes: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
  """A built corpus: rate in Hz, segment length, how it was built, its tracks."""

  corpus: str
  sample_rate: int
  segment_seconds: float
  recipe: dict
  tracks: tuple[Track, ...]


def sha256(path) -> str:
  """Returns the hex digest of a file's bytes."""
  with pathlib.Path(path).open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder, manifest: Manifest) -> None:
  """Writes manifest.json, in the same order at every build."""
  record = {"version": _VERSION, **dataclasses.asdict(manifest, dict_factory=_fields)}
  text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
  write_whole(pathlib.Path(folder) / FILENAME, text)


def _fields(pairs) -> dict:
  """Returns the fields of a dataclass, without the hash that a file's segment lacks."""
  return {name: value for name, value in pairs if (name, value) != ("sha256", "")}


def read(folder) -> Manifest:
  """Reads and checks manifest.json of a corpus folder.

  Text in it that cannot be encoded (lone surrogates) becomes backslash escapes here.

  Raises:
    AudioError: missing, not JSON, another version, missing or unknown fields, values
      of a wrong type or out of range, a group that does not exist, or an id that is
      there twice.
  """
  path = pathlib.Path(folder) / FILENAME
  name = printable(path)
  with border(path, "build the corpus again"):
    if not path.exists():
      raise AudioError(f"{name}: no such file; build the corpus again")
    if path.stat().st_size > _MAX_BYTES:
      raise AudioError(f"{name}: larger than {_MAX_BYTES >> 20} MiB; build it again")
    try:
      manifest = _parse(path.read_text(encoding="utf-8"))
      _check(manifest)
    except (AudioError, OSError, MemoryError):
      raise
    # JSON may hold anything: another type, 10^400, lists a million deep.
    except Exception as error:
      what = error if isinstance(error, _DamagedError) else None
      reason = what or f"{type(error).__name__}: {first_line(error):.200}"
      raise AudioError(f"{name}: damaged ({reason}); build it again") from error
  return manifest


class _DamagedError(Exception):
  """What is wrong with a manifest."""


def _parse(text: str) -> Manifest:
  record = json.loads(text)
  # What is decoded from UTF-8 has no surrogates but those that JSON's escapes make.
  if _SURROGATE.search(text):
    record = _encodable(record)
  if not isinstance(record, dict):
    raise _DamagedError("no object")
  version = record.pop("version", None)
  if version != _VERSION or type(version) is not int:
    raise _DamagedError(f"version {short(version)}, not {_VERSION}")
  if not isinstance(record.get("tracks"), list):
    raise _DamagedError("tracks is no list")
  tracks = []
  for number, track in enumerate(record["tracks"]):
    try:
      tracks.append(_track(track))
    except Exception as error:
      raise _DamagedError(
        f"track {number}: {type(error).__name__}: {first_line(error):.200}"
      ) from error
  return Manifest(**{**record, "tracks": tuple(tracks)})


def _encodable(value):
  """Returns a JSON value with text that every encoding of Unicode can write."""
  if isinstance(value, str):
    return (
      value if value.isascii() else value.encode(errors="backslashreplace").decode()
    )
  if isinstance(value, list):
    return [_encodable(item) for item in value]
  if isinstance(value, dict):
    return {_encodable(name): _encodable(item) for name, item in value.items()}
  return value


def _track(record: dict) -> Track:
  segments = tuple(Segment(**segment) for segment in record["segments"])
  # Ids name rows, files and lines of every table.
  name = record["id"]
  name = printable(name) if isinstance(name, str) else name
  return Track(**{**record, "id": name, "segments": segments})


def _is_time(value) -> bool:
  """Returns whether a value is a number of seconds within what is read."""
  return type(value) in (int, float) and 0 <= value <= MAX_SECONDS


def _check(manifest: Manifest) -> None:
  """Refuses values that cannot be what they are called."""
  low, high = RATES
  if not (type(manifest.sample_rate) is int and low <= manifest.sample_rate <= high):
    raise _DamagedError(f"sample_rate {short(manifest.sample_rate)}")
  if not isinstance(manifest.corpus, str):
    raise _DamagedError(f"corpus {short(manifest.corpus)}")
  if not isinstance(manifest.recipe, dict):
    raise _DamagedError(f"recipe {short(manifest.recipe)}")
  # (path, reason) each.
  for left_out in manifest.recipe.get("left_out", ()):
    if not (isinstance(left_out, list) and [type(x) for x in left_out] == [str, str]):
      raise _DamagedError(f"left_out {short(left_out)}")
  if not _is_time(manifest.segment_seconds):
    raise _DamagedError(f"segment_seconds {short(manifest.segment_seconds)}")
  for track in manifest.tracks:
    texts = (value for name, value in vars(track).items() if name != "segments")
    if not all(isinstance(text, str) for text in texts) or not track.segments:
      raise _DamagedError(f"track {short(track.id)}: a field is no text, or no segment")
    if track.group not in GROUPS:
      raise _DamagedError(
        f"track {short(track.id)} is in group {short(track.group)}, not one of {GROUPS}"
      )
    for segment in track.segments:
      if not (_is_time(segment.start_seconds) and _is_time(segment.seconds)):
        raise _DamagedError(
          f"track {short(track.id)}: a time outside [0, {MAX_SECONDS:g}] s"
        )
      if not isinstance(segment.sha256, str):
        raise _DamagedError(f"track {short(track.id)}: sha256 is no text")
  count = collections.Counter(track.id for track in manifest.tracks)
  twice = sorted(name for name, number in count.items() if number > 1)
  if twice:
    raise _DamagedError(f"track {short(twice[0])} is there twice")


def file_path(folder, track: Track) -> pathlib.Path:
  """Returns the track's file; AudioError where that is outside its folder."""
  folder = pathlib.Path(folder).resolve()
  path = (folder / track.file).resolve()
  if not path.is_relative_to(folder):
    raise AudioError(
      f"{printable(track.file)}: outside the corpus folder {printable(folder)};"
      " fix manifest"
    )
  return path
