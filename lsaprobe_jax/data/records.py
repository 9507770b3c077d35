"""Clips in the records that `data.build.tfds` writes: read one by one, when asked for.

A corpus of 900 hours is a list of clips and a file handle. `RecordAudio` stands where
other corpora have an array [n, samples] and reads a row when it is indexed.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from lsaprobe_jax.data import audio as audio_lib
from lsaprobe_jax.data import manifest as manifest_lib
from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.text import first_line, printable

# Every folder of a builder has it, and no other corpus.
MARK = "dataset_info.json"
_SCALE = 32768.0


def to_int16(audio: np.ndarray) -> np.ndarray:
  """Rounds float [samples] in [-1, 1] to 16-bit numbers."""
  return np.clip(np.round(audio * _SCALE), -_SCALE, _SCALE - 1).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
  """Returns 16-bit numbers as little-endian float32 in [-1, 1)."""
  return samples.astype("<f4") / np.float32(_SCALE)


def spread(samples: np.ndarray, channels: int) -> np.ndarray:
  """Returns [samples] as they are, or as each of several channels."""
  return samples if channels == 1 else np.tile(samples, (channels, 1))


class Records:
  """The records of a builder's folder, by group and position.

  Attributes:
    path: the folder.
    sample_rate: Hz.
  """

  def __init__(self, path: pathlib.Path, manifest: manifest_lib.Manifest):
    self.path = path
    self.sample_rate = manifest.sample_rate
    self._length = round(manifest.segment_seconds * manifest.sample_rate)
    self._hashes: dict[str, list[str]] = {group: [] for group in manifest_lib.GROUPS}
    # Group and positions of a track's segments.
    self._places: dict[str, tuple[str, range]] = {}
    for track in manifest.tracks:
      own = self._hashes[track.group]
      first = len(own)
      own += [segment.sha256 for segment in track.segments]
      self._places[track.id] = track.group, range(first, len(own))
    self._builder = _open_builder(path)
    self._sources: dict[str, Sequence] = {}

  def _source(self, group: str) -> Sequence:
    if group not in self._sources:
      self._sources[group] = self._builder.as_data_source(split=group)
      count = len(self._sources[group])
      if count != len(self._hashes[group]):
        raise AudioError(
          f"{printable(self.path)}: {count} records of group {group} where the manifest"
          f" has {len(self._hashes[group])}; build it again"
        )
    return self._sources[group]

  def read(self, group: str, position: int) -> np.ndarray:
    """Reads float32 [samples] of one record.

    Raises:
      AudioError: it cannot be read, or is not what the manifest says.
    """
    try:
      samples = to_float(self._source(group)[int(position)]["audio"])
    except AudioError:
      raise
    # The reader is C++: a lost file or a flipped bit comes as almost anything.
    except Exception as error:
      raise AudioError(
        f"{printable(self.path)}: record {position} of group {group} cannot be read "
        f"({first_line(error)}); is the folder still there? Else build it again"
      ) from error
    if samples.shape != (self._length,):
      raise AudioError(
        f"{printable(self.path)}: records of shape {samples.shape} where the manifest"
        f" has {self._length} samples; build it again"
      )
    if hashlib.sha256(samples.tobytes()).hexdigest() != self._hashes[group][position]:
      raise AudioError(
        f"{printable(self.path)}: record {position} of group {group} is not the one of"
        " the manifest (SHA-256); build it again"
      )
    return samples

  def read_track(self, track: str) -> audio_lib.Recording:
    """Returns what reads a track, segment after segment; AudioError as by `read`."""
    group, positions = self._places[track]
    return audio_lib.Recording(
      source=printable(self.path),
      read=lambda: (self.read(group, i) for i in positions),
      frames=len(positions) * self._length,
      rate=self.sample_rate,
      channels=1,
      format="records",
    )


def _open_builder(path: pathlib.Path):
  try:
    import tensorflow_datasets as tfds
  except ImportError as error:
    raise AudioError(
      f"{printable(path)}: made by tensorflow-datasets, which is not installed; "
      "pip install 'lsaprobe_jax[datasets]'"
    ) from error
  try:
    return tfds.builder_from_directory(path)
  except Exception as error:
    raise AudioError(
      f"{printable(path)}: damaged ({first_line(error)}); build it again"
    ) from error


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RecordAudio:
  """Clips in records, as far as they are used like an array.

  It is [n, samples], or [n, channels, samples] where the one channel of records stands
  for several.

  Attributes:
    records: where they are.
    groups: [n] names.
    positions: int64 [n] of the records in their groups.
    starts: int64 [n], first sample of each clip in its record, at `sample_rate`.
    sample_rate: of the clips, Hz; records at another rate are resampled whole.
    samples: length of a clip.
    channels: how many a clip has, all the same.
  """

  records: Records
  groups: np.ndarray
  positions: np.ndarray
  starts: np.ndarray
  sample_rate: int
  samples: int
  channels: int = 1

  dtype = np.dtype(np.float32)

  def __len__(self) -> int:
    return len(self.positions)

  @property
  def ndim(self) -> int:
    """Number of axes."""
    return len(self.shape)

  @property
  def shape(self) -> tuple[int, ...]:
    """(clips, samples), or (clips, channels, samples)."""
    each = (self.samples,) if self.channels == 1 else (self.channels, self.samples)
    return len(self), *each

  def head(self, samples: int) -> "RecordAudio":
    """Returns the first samples of every clip, unread."""
    return dataclasses.replace(self, samples=samples)

  def take(self, indices: Iterable[int], axis: int = 0) -> "RecordAudio":
    """Returns some of the clips, unread.

    Raises:
      ValueError: along another axis than that of the clips.
    """
    if axis:
      raise ValueError("clips in records are taken along axis 0")
    indices = np.asarray(indices, np.intp)
    return dataclasses.replace(
      self,
      groups=self.groups[indices],
      positions=self.positions[indices],
      starts=self.starts[indices],
    )

  def __getitem__(self, key) -> np.ndarray:
    """Reads one clip, or those of a slice or of indices; float32."""
    if isinstance(key, int | np.integer):
      return self._read(int(key))
    chosen = np.arange(len(self))[key]
    out = np.empty((len(chosen), *self.shape[1:]), np.float32)
    last = None
    for row, index in enumerate(chosen):
      # Padding repeats the last clip of a batch.
      out[row] = out[row - 1] if index == last else self._read(index)
      last = index
    return out

  def _read(self, index: int) -> np.ndarray:
    audio = self.records.read(str(self.groups[index]), int(self.positions[index]))
    audio = audio_lib.resample(audio, self.records.sample_rate, self.sample_rate)
    start = int(self.starts[index])
    return spread(audio[start : start + self.samples], self.channels)
