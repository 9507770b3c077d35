"""The manifest of a built corpus: what is in it, from where, under which licence."""

import collections
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator

from lsaprobe_jax.data.audio import RATES, AudioError

FILENAME = "manifest.json"
GROUPS = ("a", "b", "dev", "reference")
# No excerpt begins later, or is longer; the decoder refuses longer files.
MAX_SECONDS = 86400.0
# Parsed, it takes several times its size; 900 hours in segments of 4 s take 150 MB.
_MAX_BYTES = 1 << 30
_VERSION = 1


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
  """Hex digest of a file's bytes."""
  with pathlib.Path(path).open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder, manifest: Manifest) -> None:
  """Writes manifest.json, in the same order at every build."""
  record = {"version": _VERSION, **dataclasses.asdict(manifest, dict_factory=_fields)}
  text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
  (pathlib.Path(folder) / FILENAME).write_text(text, encoding="utf-8")


def _fields(pairs) -> dict:
  """Fields of a dataclass, less the hash that a file's segment does not have."""
  return {name: value for name, value in pairs if (name, value) != ("sha256", "")}


def read(folder) -> Manifest:
  """Reads and checks manifest.json of a corpus folder.

  Raises:
    AudioError: missing, not JSON, another version, missing or unknown fields, a
      group that does not exist, or an id that is there twice.
  """
  path = pathlib.Path(folder) / FILENAME
  try:
    if path.stat().st_size > _MAX_BYTES:
      raise AudioError(f"{path}: larger than {_MAX_BYTES >> 20} MiB; build it again")
    record = json.loads(path.read_text(encoding="utf-8"))
    version = record.pop("version")
    if version != _VERSION:
      raise AudioError(
        f"{path}: version {version!r}, not {_VERSION}; build the corpus again"
      )
    record["tracks"] = tuple(_track(track) for track in record["tracks"])
    manifest = Manifest(**record)
  except AudioError:
    raise
  except FileNotFoundError as error:
    raise AudioError(f"{path}: no such file; build the corpus again") from error
  except (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OSError,
    RecursionError,
  ) as error:
    raise AudioError(
      f"{path}: damaged ({type(error).__name__}: {error}); build the corpus again"
    ) from error
  _check(manifest, path)
  return manifest


def _track(record: dict) -> Track:
  segments = tuple(Segment(**segment) for segment in record["segments"])
  return Track(**{**record, "segments": segments})


def _seconds(tracks) -> Iterator[float]:
  for track in tracks:
    for segment in track.segments:
      yield segment.start_seconds
      yield segment.seconds


def _check(manifest: Manifest, path: pathlib.Path) -> None:
  low, high = RATES
  if not (type(manifest.sample_rate) is int and low <= manifest.sample_rate <= high):
    raise AudioError(f"{path}: sample_rate {manifest.sample_rate!r}; build it again")
  try:
    count = collections.Counter(track.id for track in manifest.tracks)
    seconds = [manifest.segment_seconds, *_seconds(manifest.tracks)]
    if not all(0 <= value <= MAX_SECONDS for value in seconds):
      raise ValueError(f"a time outside [0, {MAX_SECONDS:g}] s")
    # (path, reason) each.
    for left_out in manifest.recipe.get("left_out", ()):
      _, _ = map(str, left_out)
  except (AttributeError, TypeError, ValueError) as error:
    raise AudioError(f"{path}: damaged ({error}); build it again") from error
  twice = sorted(name for name, number in count.items() if number > 1)
  if twice:
    raise AudioError(f"{path}: track {twice[0]!r} is there twice; build it again")
  for track in manifest.tracks:
    texts = (value for name, value in vars(track).items() if name != "segments")
    if not all(isinstance(text, str) for text in texts) or not track.segments:
      raise AudioError(f"{path}: track {track.id!r} is damaged; build it again")
    if track.group not in GROUPS:
      raise AudioError(
        f"{path}: track {track.id!r} is in group {track.group!r}, not one of {GROUPS}"
      )


def file_path(folder, track: Track) -> pathlib.Path:
  """The track's file, refused if the manifest points outside its folder."""
  folder = pathlib.Path(folder).resolve()
  path = (folder / track.file).resolve()
  if not path.is_relative_to(folder):
    raise AudioError(f"{track.file}: outside the corpus folder {folder}; fix manifest")
  return path
