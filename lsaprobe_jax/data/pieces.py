"""The tracks of a built corpus or of a plain folder, each read, checked and prepared.

One that cannot be used becomes a line in `errors`, whatever is wrong with it; the
others go on.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np

from lsaprobe_jax.data import audio as audio_lib
from lsaprobe_jax.data import decoding, preparation
from lsaprobe_jax.data import folder as folder_lib
from lsaprobe_jax.data import manifest as manifest_lib
from lsaprobe_jax.data.border import AudioError, border
from lsaprobe_jax.text import printable

# A raw folder is cut into segments as long as those of the embedded corpora.
FOLDER_SEGMENT_SECONDS = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piece:
  """A track and its segments, before it is cut into clips.

  `segments` are (start in seconds, float32 [samples]) at the rate that is wanted, or
  [samples, 2] where two channels are.
  """

  id: str
  group: str
  source: str
  title: str
  author: str
  licence: str
  segments: tuple[tuple[float, np.ndarray], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
  """Which clips are wanted.

  Attributes:
    sample_rate: Hz.
    clip_seconds: length of a clip.
    clips_per_track: at most so many of a track; None takes all.
    groups: names of groups.
    on_wrong_rate: `resample`, or `error` to refuse files at another rate.
    channels: how many a clip has, 1 or 2.
  """

  sample_rate: int
  clip_seconds: float
  clips_per_track: int | None
  groups: tuple[str, ...]
  on_wrong_rate: str
  channels: int = 1

  @property
  def samples(self) -> int:
    """The length of a clip in samples."""
    return round(self.clip_seconds * self.sample_rate)

  @property
  def shape(self) -> tuple[int, ...]:
    """The shape of a clip, [samples] or [channels, samples]."""
    return (self.samples,) if self.channels == 1 else (self.channels, self.samples)

  def nothing(self) -> str:
    """Returns what to say where there is no such clip."""
    return f"no clip of {self.clip_seconds:g} s in groups {self.groups}"


def built(
  path: pathlib.Path, wanted: Wanted, errors: list[tuple[str, str]]
) -> Iterator[Piece]:
  """Yields the tracks of a built corpus, which were prepared when it was built.

  Files are short and are read whole; `wanted.clips_per_track` is for who cuts them.

  Args:
    path: the folder.
    wanted: rate, length and groups of the clips.
    errors: (file, line) is added for each file that cannot be used, and once where two
      channels are wanted of files with one, as recipes write them.

  Raises:
    AudioError: the manifest is damaged, or can give no such clips.
  """
  manifest = manifest_lib.read(path)
  check_manifest(path, manifest, wanted)
  single = False
  for track in manifest.tracks:
    if track.group not in wanted.groups:
      continue
    try:
      with border(track.file, "build the corpus again"):
        segments, channels = _stored(path, track, manifest.sample_rate, wanted)
    except AudioError as error:
      errors.append((printable(track.file), str(error)))
      continue
    if channels < wanted.channels and not single:
      single = True
      errors.append(one_channel(path))
    yield Piece(
      id=track.id,
      group=track.group,
      source=track.package,
      title=track.title,
      author=track.author,
      licence=track.licence,
      segments=segments,
    )


def one_channel(path: pathlib.Path) -> tuple[str, str]:
  """Returns what to remark where a built corpus has one channel and two are wanted."""
  name = printable(path)
  return name, f"{name}: built with one channel, which stands for both"


def check_manifest(
  path: pathlib.Path, manifest: manifest_lib.Manifest, wanted: Wanted
) -> None:
  """Refuses a built corpus that cannot give such clips.

  Raises:
    AudioError: clips longer than the segments, or another rate where that is refused.
  """
  if wanted.clip_seconds > manifest.segment_seconds:
    raise AudioError(
      f"{printable(path)}: clips of {wanted.clip_seconds:g} s from segments of "
      f"{manifest.segment_seconds:g} s; use a smaller clip_seconds, or build the "
      "corpus with larger segment_seconds"
    )
  rates = manifest.sample_rate, wanted.sample_rate
  if wanted.on_wrong_rate == "error" and rates[0] != rates[1]:
    raise AudioError(
      f"{printable(path)}: rate {rates[0]} Hz where {rates[1]} Hz is wanted; build the"
      " corpus at that rate, or open it with on_wrong_rate='resample'"
    )


def _stored(
  path: pathlib.Path, track: manifest_lib.Track, from_rate: int, wanted: Wanted
) -> tuple[tuple[tuple[float, np.ndarray], ...], int]:
  """Returns the segments of one packed file, resampled whole, and its channels."""
  file = manifest_lib.file_path(path, track)
  if file.is_file() and manifest_lib.sha256(file) != track.sha256:
    raise AudioError(
      f"{printable(file)}: not the file of the manifest (SHA-256); build it again"
    )
  samples, found = decoding.decode(file, wanted.channels)
  rate = found.rate
  lengths = [round(segment.seconds * from_rate) for segment in track.segments]
  if rate != from_rate or len(samples) != sum(lengths):
    raise AudioError(
      f"{printable(file)}: {len(samples)} samples at {rate} Hz where the manifest has "
      f"{sum(lengths)} at {from_rate} Hz; build it again"
    )
  parts = np.split(samples, np.cumsum(lengths)[:-1])
  segments = tuple(
    (segment.start_seconds, audio_lib.resample(part, from_rate, wanted.sample_rate))
    for segment, part in zip(track.segments, parts, strict=True)
  )
  return segments, found.channels


def raw(
  path: pathlib.Path, wanted: Wanted, errors: list[tuple[str, str]]
) -> Iterator[Piece]:
  """Yields the files of a plain folder, prepared as a recipe prepares them.

  Args:
    path: the folder, or one file.
    wanted: rate, length, number and groups of the clips.
    errors: (file, line) is added for what cannot be used, and for each remark.

  Raises:
    AudioError: there is no audio file, or the folder cannot be listed.
  """
  listing = folder_lib.listing(path)
  errors += listing.skipped + listing.remarks
  if not listing.files:
    first = f"; {listing.skipped[0][1]}" if listing.skipped else ""
    raise AudioError(f"{printable(path)}: no audio files in it{first}; give another")
  for file in listing.files:
    if file.group not in wanted.groups:
      continue
    segments, messages = preparation.prepare_or_say(
      file.path,
      sample_rate=wanted.sample_rate,
      segment_seconds=max(FOLDER_SEGMENT_SECONDS, wanted.clip_seconds),
      min_seconds=wanted.clip_seconds,
      max_segments=wanted.clips_per_track,
      on_wrong_rate=wanted.on_wrong_rate,
      channels=wanted.channels,
    )
    errors += [(printable(file.path), message) for message in messages]
    if segments:
      name = file.path.name if path.is_file() else file.path.relative_to(path)
      yield Piece(
        id=file.track,
        group=file.group,
        source=printable(name),
        title=file.title,
        author="",
        licence="",
        segments=tuple(segments),
      )
