"""Opens corpora: those embedded, those built, and any folder of audio files."""

import functools
import importlib.resources
import numbers
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Protocol

from absl import logging

from lsaprobe_jax.data import audio as audio_lib
from lsaprobe_jax.data import cutting, pieces, preparation
from lsaprobe_jax.data import folder as folder_lib
from lsaprobe_jax.data import manifest as manifest_lib
from lsaprobe_jax.data import records as records_lib
from lsaprobe_jax.data.border import AudioError, border
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.data.splits import GROUPS, check_groups
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.text import printable, short

SHIPPED = ("multigenre", "piano", "dose")
# Length of a clip where neither the caller nor the model says one.
CLIP_SECONDS = 4.0
CHANNELS = (1, 2)


class TakesClips(Protocol):
  """A model, as far as clips are made for it (`models.trained.TrainedModel`)."""

  @property
  def sample_rate(self) -> int:
    """Returns the rate in Hz."""
    ...

  @property
  def clip_seconds(self) -> float | None:
    """Returns the length of a training clip."""
    ...

  # `channels`, where there is no such attribute, is 1.


def load_audio(
  path: str | os.PathLike,
  *,
  like: TakesClips | None = None,
  sample_rate: int | None = None,
  channels: int | None = None,
  clip_seconds: float | None = None,
  clips_per_track: int | None = None,
  groups: Iterable[str] | None = None,
) -> Corpus:
  """Loads audio as clips of the rate, the channels and the length that a model takes.

  Args:
    path: an embedded corpus (`multigenre`, `piano`, `dose`), a folder of audio files, a
      single file, or a built corpus; see `open_corpus`.
    like: the model that the clips are for. It gives the rate, the channels and the
      length of its training clips, or 4 s where that is not recorded.
    sample_rate: Hz, in the place of the model's; needed without a model.
    channels: 1 or 2, in the place of the model's; 1 without a model.
    clip_seconds: length of a clip, in the place of the model's; 4 s without a model.
    clips_per_track: at most so many clips of a track, spread over it; None takes all.
    groups: names among `a`, `b`, `dev` and `reference`; None takes all.

  Returns:
    The clips, of equal length and loudness: [clips, samples], or [clips, 2, samples] of
    two channels. Its `errors` list what could not be used.

  Raises:
    AudioError: there is nothing that can be used.
    ArgumentError: an argument is out of range, or there is no rate.
  """
  if like is not None:
    sample_rate = like.sample_rate if sample_rate is None else sample_rate
    clip_seconds = like.clip_seconds if clip_seconds is None else clip_seconds
    channels = getattr(like, "channels", 1) if channels is None else channels
  if sample_rate is None:
    raise ArgumentError("sample_rate=None: give a rate in Hz, or like=MODEL")
  return open_corpus(
    path,
    sample_rate=sample_rate,
    clip_seconds=CLIP_SECONDS if clip_seconds is None else clip_seconds,
    clips_per_track=clips_per_track,
    groups=groups,
    channels=1 if channels is None else channels,
  )


def open_corpus(
  name_or_path: str | os.PathLike,
  *,
  sample_rate: int,
  clip_seconds: float,
  clips_per_track: int | None = None,
  groups: Iterable[str] | None = None,
  on_wrong_rate: str = "resample",
  channels: int = 1,
) -> Corpus:
  """Opens an embedded corpus, a built one, or any folder of audio files.

  A manifest.json stands for its folder, an audio file for one that holds it alone.

  Args:
    name_or_path: `multigenre` or `piano` (inside the package, no network); a folder
      with a manifest.json, of files or of records (`data.build`); or a folder with
      audio files at any depth, where top-level folders a, b, dev, reference (or
      members, non-members, calibration and the like) name the group and other files
      get one by a hash of their name.
    sample_rate: of the clips, Hz.
    clip_seconds: length of a clip; clips do not overlap.
    clips_per_track: take at most so many clips of a track, spread over it.
    groups: take only these; all by default.
    on_wrong_rate: `resample`, or `error` to refuse files at another rate.
    channels: 1 mixes the channels of a file to their mean. 2 keeps two as they are,
      takes one for both with a remark, and refuses a file of more.

  Returns:
    A corpus with at least one clip. Files that cannot be used, or only in part, and
    what a folder holds beside are logged and listed in its `errors`; they do not stop
    the others.

  Raises:
    AudioError: nothing can be used: no such folder, no audio in it, clips longer
      than the segments, or every file refused.
    ArgumentError: an argument out of range.
  """
  _check_arguments(sample_rate, clip_seconds, clips_per_track, on_wrong_rate)
  if channels not in CHANNELS:
    raise ArgumentError(f"channels={short(channels)}: 1 for mono, or 2 for stereo")
  wanted = pieces.Wanted(
    sample_rate=sample_rate,
    clip_seconds=clip_seconds,
    clips_per_track=clips_per_track,
    groups=check_groups(GROUPS if groups is None else groups),
    on_wrong_rate=on_wrong_rate,
    channels=channels,
  )
  name, path = _find(name_or_path)
  # Unlike pathlib's, these say no in a folder that may not be entered.
  if os.path.isfile(path / records_lib.MARK):
    return cutting.from_records(path, wanted)
  is_built = os.path.isfile(path / manifest_lib.FILENAME)
  read = pieces.built if is_built else pieces.raw
  errors: list[tuple[str, str]] = []
  corpus = cutting.from_pieces(name, read(path, wanted, errors), wanted, errors)
  for _, message in errors:
    logging.warning("%s", message)
  if not corpus.clips:
    first = f"; the first of {len(errors)}: {errors[0][1]}" if errors else ""
    raise AudioError(f"{printable(path)}: {wanted.nothing()}{first}")
  return corpus


def _check_arguments(
  sample_rate: int, clip_seconds: float, clips_per_track: int | None, on_wrong_rate: str
) -> None:
  _, highest = audio_lib.RATES
  if not (_is_whole(sample_rate) and 0 < sample_rate <= highest):
    raise ArgumentError(
      f"sample_rate={short(sample_rate)}: a positive whole number of Hz, of at most"
      f" {highest}"
    )
  longest = manifest_lib.MAX_SECONDS
  if not (
    isinstance(clip_seconds, numbers.Real)
    and 0 < clip_seconds <= longest
    and round(clip_seconds * sample_rate) > 0
  ):
    raise ArgumentError(
      f"clip_seconds={short(clip_seconds)}: at least one sample and at most"
      f" {longest:g} s"
    )
  if clips_per_track is not None and not (
    _is_whole(clips_per_track) and clips_per_track >= 1
  ):
    raise ArgumentError(
      f"clips_per_track={short(clips_per_track)}: a whole number of at least 1, or None"
    )
  if on_wrong_rate not in preparation.ON_WRONG_RATE:
    raise ArgumentError(
      f"on_wrong_rate={short(on_wrong_rate)}: one of {preparation.ON_WRONG_RATE}"
    )


def _is_whole(value) -> bool:
  """Returns whether a value is a whole number of any type; NaN and True are not."""
  if isinstance(value, bool) or not isinstance(value, numbers.Real):
    return False
  # The bound comes first: larger numbers than floats hold cannot be asked more.
  return abs(value) < 2**63 and value == int(value)


def _find(name_or_path) -> tuple[str, pathlib.Path]:
  """Returns the name of what is opened, and the folder or file that holds it."""
  if name_or_path in SHIPPED:
    if os.path.isdir(name_or_path):
      raise AudioError(
        f"{name_or_path}: a folder here, and a corpus of the package; for the folder"
        f" write ./{name_or_path}, for the corpus give the folder another name"
      )
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


def root_of(name_or_path: str | os.PathLike) -> pathlib.Path:
  """Returns the folder, or the file, that `open_corpus` reads.

  Raises:
    AudioError: there is none.
  """
  return _find(name_or_path)[1]


def recordings(
  name_or_path: str | os.PathLike,
) -> dict[str, Callable[[], audio_lib.Recording]]:
  """Returns what reads each track of what `open_corpus` opens, by the track's id.

  Raises:
    AudioError: there is nothing to open, or a manifest is damaged; from a reader, where
      the track cannot be read.
  """
  _, path = _find(name_or_path)
  if not (path / manifest_lib.FILENAME).is_file():
    return {
      file.track: functools.partial(audio_lib.read_recording, file.path)
      for file in folder_lib.listing(path).files
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


def kind(name_or_path: str | os.PathLike) -> str:
  """Returns what prepared the audio of a corpus: `files`, `corpus` or `records`.

  Plain files are prepared when they are opened; a built corpus of either form was
  prepared when it was built.

  Raises:
    AudioError: there is nothing to open.
  """
  _, path = _find(name_or_path)
  if (path / records_lib.MARK).is_file():
    return "records"
  return "corpus" if (path / manifest_lib.FILENAME).is_file() else "files"
