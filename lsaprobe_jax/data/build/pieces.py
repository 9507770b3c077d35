"""The tracks of a built corpus or of a plain folder, each read, checked and prepared.

One that cannot be used becomes a line in `errors`, whatever is wrong with it; the
others go on.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from lsaprobe_jax.data import audio as audio_lib
from lsaprobe_jax.data import folder as folder_lib
from lsaprobe_jax.data import manifest as manifest_lib
from lsaprobe_jax.data.border import AudioError, border
from lsaprobe_jax.text import printable

# A raw folder is cut into segments as long as those of the shipped corpora.
_FOLDER_SEGMENT_SECONDS = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piece:
  """A track and its segments, before it is cut into clips."""

  id: str
  group: str
  source: str
  title: str
  author: str
  licence: str
  segments: tuple[tuple[float, np.ndarray], ...]


def built(
  path: pathlib.Path,
  *,
  sample_rate: int,
  clip_seconds: float,
  clips_per_track: int | None,
  groups: Sequence[str],
  on_wrong_rate: str,
  errors: list,
) -> Iterator[Piece]:
  """Tracks of a built corpus, prepared when it was built."""
  del clips_per_track  # The files are short: read whole, cut afterwards.
  manifest = manifest_lib.read(path)
  check_manifest(path, manifest, sample_rate, clip_seconds, on_wrong_rate)
  for track in manifest.tracks:
    if track.group not in groups:
      continue
    try:
      with border(track.file, "build the corpus again"):
        segments = _stored_segments(path, track, manifest.sample_rate, sample_rate)
    except AudioError as error:
      errors.append((printable(track.file), str(error)))
      continue
    yield Piece(
      id=track.id,
      group=track.group,
      source=track.package,
      title=track.title,
      author=track.author,
      licence=track.licence,
      segments=segments,
    )


def check_manifest(path, manifest, sample_rate, clip_seconds, on_wrong_rate) -> None:
  """Raises AudioError where a built corpus cannot give such clips."""
  if clip_seconds > manifest.segment_seconds:
    raise AudioError(
      f"{printable(path)}: clips of {clip_seconds:g} s from segments of "
      f"{manifest.segment_seconds:g} s; use a smaller clip_seconds, or build the "
      "corpus with a larger --segment_seconds"
    )
  if sample_rate != manifest.sample_rate and on_wrong_rate == "error":
    raise AudioError(
      f"{printable(path)}: rate {manifest.sample_rate} Hz where {sample_rate} Hz is"
      " wanted; build the corpus at that rate, or open it with on_wrong_rate='resample'"
    )


def _stored_segments(path, track: manifest_lib.Track, from_rate: int, to_rate: int):
  """Segments of one packed file, resampled whole, before they are cut."""
  file = manifest_lib.file_path(path, track)
  if file.is_file() and manifest_lib.sha256(file) != track.sha256:
    raise AudioError(
      f"{printable(file)}: not the file of the manifest (SHA-256); build it again"
    )
  samples, rate = audio_lib.decode(file)
  lengths = [round(segment.seconds * from_rate) for segment in track.segments]
  if rate != from_rate or len(samples) != sum(lengths):
    raise AudioError(
      f"{printable(file)}: {len(samples)} samples at {rate} Hz where the manifest has "
      f"{sum(lengths)} at {from_rate} Hz; build it again"
    )
  parts = np.split(samples, np.cumsum(lengths)[:-1])
  return tuple(
    (segment.start_seconds, audio_lib.resample(part, from_rate, to_rate))
    for segment, part in zip(track.segments, parts, strict=True)
  )


def raw(
  path: pathlib.Path,
  *,
  sample_rate: int,
  clip_seconds: float,
  clips_per_track: int | None,
  groups: Sequence[str],
  on_wrong_rate: str,
  errors: list,
) -> Iterator[Piece]:
  """Files of a plain folder, prepared as a recipe prepares them."""
  listing = folder_lib.listing(path)
  errors += listing.skipped
  if not listing.files:
    first = f"; {listing.skipped[0][1]}" if listing.skipped else ""
    raise AudioError(f"{printable(path)}: no audio files in it{first}; give another")
  for file in listing.files:
    if file.group not in groups:
      continue
    name = printable(file.path)
    try:
      segments, dropped = audio_lib.prepare(
        file.path,
        sample_rate=sample_rate,
        segment_seconds=max(_FOLDER_SEGMENT_SECONDS, clip_seconds),
        min_seconds=clip_seconds,
        max_segments=clips_per_track,
        on_wrong_rate=on_wrong_rate,
      )
    except AudioError as error:
      errors.append((name, str(error)))
      continue
    errors += [(name, message) for message in dropped]
    yield Piece(
      id=file.track,
      group=file.group,
      source=printable(
        file.path.name if path.is_file() else file.path.relative_to(path)
      ),
      title=file.title,
      author="",
      licence="",
      segments=tuple(segments),
    )
