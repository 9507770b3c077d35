"""Opens corpora: those shipped, those built, and any folder of audio files."""

import collections
import functools
import hashlib
import importlib.resources
import numbers
import os
import pathlib
from collections.abc import Callable, Iterable

import numpy as np
from absl import logging

from lsaprobe_jax.data import audio as audio_lib
from lsaprobe_jax.data import folder as folder_lib
from lsaprobe_jax.data import manifest as manifest_lib
from lsaprobe_jax.data import records as records_lib
from lsaprobe_jax.data.border import AudioError, border
from lsaprobe_jax.data.build import pieces as pieces_lib
from lsaprobe_jax.data.clips import Clip, Corpus, check_groups
from lsaprobe_jax.data.manifest import GROUPS
from lsaprobe_jax.text import printable

SHIPPED = ("multigenre", "piano")


def open_corpus(
  name_or_path,
  *,
  sample_rate: int,
  clip_seconds: float,
  clips_per_track: int | None = None,
  groups: Iterable[str] | None = None,
  on_wrong_rate: str = "resample",
) -> Corpus:
  """Opens a shipped corpus, a built one, or any folder of audio files.

  A manifest.json stands for its folder, an audio file for one that holds it alone.

  Args:
    name_or_path: 'multigenre' or 'piano' (inside the package, no network); a folder
      with a manifest.json, of files or of records (`launch.corpus`); or a folder with
      audio files at any depth, where top-level folders a, b, dev, reference (or
      member, nonmember, calib) name the group and other files get one by a hash of
      their name.
    sample_rate: of the clips, Hz.
    clip_seconds: length of a clip; clips do not overlap.
    clips_per_track: take at most so many clips of a track, spread over it.
    groups: take only these; all by default.
    on_wrong_rate: 'resample', or 'error' to refuse files at another rate.

  Returns:
    A corpus with at least one clip. Files that cannot be used, or only in part, and
    what a folder holds beside are logged and listed in its `errors`; they do not stop
    the others.

  Raises:
    AudioError: nothing can be used: no such folder, no audio in it, clips longer
      than the segments, or every file refused.
    ValueError: an argument out of range.
  """
  _check_settings(sample_rate, clip_seconds, clips_per_track, on_wrong_rate)
  wanted = check_groups(GROUPS if groups is None else groups)
  name, path = _find(name_or_path)
  errors: list[tuple[str, str]] = []
  if (path / records_lib.MARK).is_file():
    return _in_records(
      path, sample_rate, clip_seconds, clips_per_track, wanted, on_wrong_rate
    )
  reader = (
    pieces_lib.built if (path / manifest_lib.FILENAME).is_file() else pieces_lib.raw
  )
  pieces = reader(
    path,
    sample_rate=sample_rate,
    clip_seconds=clip_seconds,
    clips_per_track=clips_per_track,
    groups=wanted,
    on_wrong_rate=on_wrong_rate,
    errors=errors,
  )
  corpus = _assemble(name, pieces, sample_rate, clip_seconds, clips_per_track, errors)
  for _, message in errors:
    logging.warning("%s", message)
  if not corpus.clips:
    first = f"; the first of {len(errors)}: {errors[0][1]}" if errors else ""
    raise AudioError(
      f"{printable(path)}: no clip of {clip_seconds:g} s in groups {wanted}{first}"
    )
  return corpus


def _check_settings(sample_rate, clip_seconds, clips_per_track, on_wrong_rate):
  _, highest = audio_lib.RATES
  if not (_is_whole(sample_rate) and 0 < sample_rate <= highest):
    raise ValueError(
      "sample_rate is a positive whole number of Hz, of at most"
      f" {highest}, not {_short(sample_rate)}"
    )
  longest = manifest_lib.MAX_SECONDS
  if not (
    isinstance(clip_seconds, numbers.Real)
    and 0 < clip_seconds <= longest
    and round(clip_seconds * sample_rate) > 0
  ):
    raise ValueError(
      f"clip_seconds is at least one sample and at most {longest:g} s, not"
      f" {_short(clip_seconds)}"
    )
  if clips_per_track is not None and not (
    _is_whole(clips_per_track) and clips_per_track >= 1
  ):
    raise ValueError(
      f"clips_per_track is a whole number of at least 1, not {_short(clips_per_track)}"
    )
  if on_wrong_rate not in audio_lib.ON_WRONG_RATE:
    raise ValueError(
      f"on_wrong_rate is one of {audio_lib.ON_WRONG_RATE}, not {_short(on_wrong_rate)}"
    )


def _is_whole(value) -> bool:
  """Whether a value is a whole number, of whatever type; NaN and True are not."""
  if isinstance(value, bool) or not isinstance(value, numbers.Real):
    return False
  # The bound comes first: larger numbers than floats hold cannot be asked more.
  return abs(value) < 2**63 and value == int(value)


def _short(value) -> str:
  """A value for a message; numbers may have any number of digits."""
  if isinstance(value, int) and value.bit_length() > 100:
    return "a huge number"
  return f"{printable(repr(value)):.80}"


def _find(name_or_path) -> tuple[str, pathlib.Path]:
  if name_or_path in SHIPPED:
    package = importlib.resources.files("lsaprobe_jax.data")
    return name_or_path, pathlib.Path(str(package)) / "shipped" / name_or_path
  if not str(name_or_path):
    raise AudioError(f"no folder is named; give a path, or one of {SHIPPED}")
  name = printable(name_or_path)
  with border(name, f"give a path, or one of {SHIPPED}"):
    path = pathlib.Path(name_or_path).expanduser()
    # Unlike pathlib's, this says no to a name that is too long.
    if not os.path.exists(path):
      raise AudioError(f"{name}: no such folder; give a path, or one of {SHIPPED}")
    if path.name == manifest_lib.FILENAME:
      path = path.parent
    if not (path.is_dir() or path.suffix.lower() in folder_lib.SUFFIXES):
      raise AudioError(f"{name}: not a folder; give the folder that holds the audio")
    return printable(path.resolve().name), path


def root_of(name_or_path) -> pathlib.Path:
  """The folder, or the file, that `open_corpus` reads; AudioError if there is none."""
  return _find(name_or_path)[1]


def recordings(name_or_path) -> dict[str, Callable[[], audio_lib.Recording]]:
  """What reads each track of what `open_corpus` opens, by the track's id.

  Raises:
    AudioError: there is nothing to open, or a manifest is damaged; from a reader, where
      the track cannot be read.
  """
  _, path = _find(name_or_path)
  if not (path / manifest_lib.FILENAME).is_file():
    files = folder_lib.listing(path).files
    return {
      file.track: functools.partial(audio_lib.read_recording, file.path)
      for file in files
    }
  manifest = manifest_lib.read(path)
  if (path / records_lib.MARK).is_file():
    read = records_lib.Records(path, manifest).read_track
    return {track.id: functools.partial(read, track.id) for track in manifest.tracks}

  def read_packed(track: manifest_lib.Track) -> audio_lib.Recording:
    # Only when it is read: one bad entry is no reason to refuse the others.
    with border(track.file, "build the corpus again"):
      return audio_lib.read_recording(manifest_lib.file_path(path, track))

  return {track.id: functools.partial(read_packed, track) for track in manifest.tracks}


def kind(name_or_path) -> str:
  """What prepared the audio of what `open_corpus` opens: 'files', 'corpus', 'records'.

  Plain files are prepared when they are opened; a built corpus of either form was
  when it was built.

  Raises:
    AudioError: there is nothing to open.
  """
  _, path = _find(name_or_path)
  if (path / records_lib.MARK).is_file():
    return "records"
  return "corpus" if (path / manifest_lib.FILENAME).is_file() else "files"


def _in_records(
  path, sample_rate, clip_seconds, clips_per_track, groups, on_wrong_rate
) -> Corpus:
  """Clips in records, the first of every segment of a track, then the second, ...

  A clip that is a whole record as it stands needs no reading: its hash is in the
  manifest. Others are read once, one at a time, to be hashed.
  """
  manifest = manifest_lib.read(path)
  pieces_lib.check_manifest(path, manifest, sample_rate, clip_seconds, on_wrong_rate)
  records = records_lib.Records(path, manifest)
  length = round(clip_seconds * sample_rate)
  whole = round(manifest.segment_seconds * sample_rate)
  as_stored = sample_rate == manifest.sample_rate and length == whole
  clips, places, seen = [], [], collections.Counter()
  for track in manifest.tracks:
    first, count = seen[track.group], len(track.segments)
    seen[track.group] += count
    if track.group not in groups:
      continue
    for index in range(min(whole // length * count, clips_per_track or whole * count)):
      window, k = divmod(index, count)
      segment, start = track.segments[k], window * length
      place = (track.group, first + k, start)
      sha256 = segment.sha256
      if not as_stored:
        samples = records.read(track.group, first + k)
        samples = audio_lib.resample(samples, manifest.sample_rate, sample_rate)
        sha256 = _sha256(samples[start : start + length])
      seconds = segment.start_seconds + start / sample_rate
      clips.append(_clip(track, track.path, seconds, clip_seconds, sha256))
      places.append(place)
  if not clips:
    raise AudioError(
      f"{printable(path)}: no clip of {clip_seconds:g} s in groups {groups}"
    )
  named, positions, starts = zip(*places, strict=True)
  audio = records_lib.RecordAudio(
    records=records,
    groups=np.array(named),
    positions=np.array(positions),
    starts=np.array(starts),
    sample_rate=sample_rate,
    samples=length,
  )
  return Corpus(
    name=manifest.corpus,
    sample_rate=sample_rate,
    clip_seconds=clip_seconds,
    clips=tuple(clips),
    audio=audio,
    errors=tuple(
      tuple(map(printable, pair)) for pair in manifest.recipe.get("left_out", ())
    ),
  )


def _clip(
  track: pieces_lib.Piece | manifest_lib.Track,
  source: str,
  seconds: float,
  length: float,
  sha256: str,
) -> Clip:
  """A clip of `length` seconds of a track."""
  return Clip(
    id=f"{track.id}@{round(1000 * seconds):07d}+{round(1000 * length)}",
    track=track.id,
    group=track.group,
    source=source,
    title=track.title,
    author=track.author,
    licence=track.licence,
    start_seconds=seconds,
    sha256=sha256,
  )


def _sha256(samples: np.ndarray) -> str:
  return hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest()


def _assemble(
  name: str,
  pieces: Iterable[pieces_lib.Piece],
  sample_rate: int,
  clip_seconds: float,
  clips_per_track: int | None,
  errors: list,
) -> Corpus:
  length = round(clip_seconds * sample_rate)
  clips, windows = [], []
  for piece in pieces:
    cut = _cut(piece, length, sample_rate, errors)
    for clip, window in cut[:clips_per_track]:
      clips.append(clip)
      windows.append(window)
  return Corpus(
    name=name,
    sample_rate=sample_rate,
    clip_seconds=clip_seconds,
    clips=tuple(clips),
    audio=np.stack(windows) if windows else np.zeros((0, length), np.float32),
    errors=tuple(errors),
  )


def _cut(
  piece: pieces_lib.Piece, length: int, sample_rate: int, errors: list
) -> list[tuple[Clip, np.ndarray]]:
  """Windows of `length` samples: the first of every segment, then the second, ..."""
  cut = []
  most = max((len(samples) // length for _, samples in piece.segments), default=0)
  for index in range(most):
    for start, samples in piece.segments:
      window = samples[index * length : (index + 1) * length]
      if len(window) < length:
        continue
      seconds = start + index * length / sample_rate
      sha256 = _sha256(window)
      clip = _clip(piece, piece.source, seconds, length / sample_rate, sha256)
      try:
        audio_lib.check(window, clip.id, min_samples=length)
      except AudioError as error:
        errors.append((clip.id, str(error)))
        continue
      cut.append((clip, window))
  return cut
