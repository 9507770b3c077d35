"""Preparing audio: the one path that every clip of every group takes.

`prepare` reads a file (`decoding` says how, and how it is mixed to one channel),
resamples it, cuts it into segments, sets their loudness and drops what is silent. It is
not told which group a file belongs to, so members and non-members cannot be treated
differently.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyloudnorm
import soxr

from lsaprobe_jax.data import decoding
from lsaprobe_jax.data.border import AudioError, border
from lsaprobe_jax.data.decoding import RATES as RATES
from lsaprobe_jax.data.decoding import check_finite
from lsaprobe_jax.text import printable

TARGET_LUFS = -20.0
PEAK = 0.99
SILENCE_DBFS = -50.0
LOUDEST = 100.0  # no float file that means music passes full scale by so much
# ITU-R BS.1770 measures in blocks of 0.4 s; shorter clips get one block.
LOUDNESS_BLOCK = 0.4  # s
ON_WRONG_RATE = ("resample", "error")
# A click, resampled, rings for some tens of samples. Audio that is silent without its
# loudest samples, so many or 1% of it, has nothing else.
_CLICK_SAMPLES = 64
_SUM_SAMPLES = 1 << 20  # squared at a time


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
  """A track whole, as its source has it, read block by block.

  Attributes:
    source: the file, or the folder of the records that hold it.
    read: yields float32 [n] in order, mixed to one channel; each call begins anew.
    frames: samples in all.
    rate: Hz.
    channels: number of channels.
    format: container and coding, as libsndfile names them.
    remarks: one line each of what a user should know: cut short, channels that cancel.
  """

  source: str
  read: Callable[[], Iterable[np.ndarray]]
  frames: int
  rate: int
  channels: int
  format: str
  remarks: tuple[str, ...] = ()

  @functools.cached_property
  def samples(self) -> np.ndarray:
    """float32 [frames], all of it in memory."""
    return np.concatenate([*self.read(), np.zeros(0, np.float32)])


def read_recording(path) -> Recording:
  """Reads a file through and keeps nothing but how to read it; errors as `decode`."""
  found = decoding.survey(path)
  return Recording(
    source=printable(path),
    read=lambda: decoding.Reading(path, found).blocks(),
    frames=found.frames,
    rate=found.rate,
    channels=found.channels,
    format=found.format,
    remarks=found.remarks,
  )


def decode(path) -> tuple[np.ndarray, int]:
  """Reads an audio file whole.

  Args:
    path: a file of any format libsndfile reads: wav, flac, ogg, opus, mp3, aiff.

  Returns:
    float32 [samples] in about [-1, 1], mixed to one channel as `decoding.decode` says,
    and its rate in Hz.

  Raises:
    AudioError: missing, empty, undecodable, beyond the limits of `decoding`, or with
      NaN, infinite or absurd samples.
  """
  samples, found = decoding.decode(path)
  return samples, found.rate


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
  """float32 [samples] at `from_rate` Hz to float32 [samples'] at `to_rate` Hz."""
  if from_rate == to_rate:
    return audio
  return soxr.resample(audio, from_rate, to_rate, quality="HQ").astype(np.float32)


def resampled(
  blocks: Iterable[np.ndarray], from_rate: int, to_rate: int
) -> Iterator[np.ndarray]:
  """Yields what `resample` gives of the blocks together, bit by bit the same."""
  if from_rate == to_rate:
    yield from blocks
    return
  stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
  for block in blocks:
    yield stream.resample_chunk(np.ascontiguousarray(block, np.float32))
  yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def rms_dbfs(audio: np.ndarray) -> float:
  """Root mean square level of [samples], in dB below full scale; -inf for zeros."""
  return _dbfs(_energy(audio), np.size(audio))


def _energy(audio: np.ndarray, offset: float = 0.0) -> float:
  """Sum of squares of [samples] less `offset`, in float64 and little memory."""
  return sum(
    float(np.sum(np.square(audio[at : at + _SUM_SAMPLES] - np.float64(offset))))
    for at in range(0, len(audio), _SUM_SAMPLES)
  )


def _dbfs(energy: float, count: int) -> float:
  return 10 * np.log10(energy / count) if energy > 0 else -np.inf


def normalise_loudness(
  audio: np.ndarray, rate: int, target_lufs: float = TARGET_LUFS
) -> np.ndarray:
  """Scales [samples] to an integrated loudness, never clipping.

  Where the peak would pass 0.99 the gain is held back, so the result may be softer
  than `target_lufs`.

  Raises:
    AudioError: nothing in it is above the gate of BS.1770 (-70 LUFS).
  """
  block = min(LOUDNESS_BLOCK, len(audio) / rate)
  meter = pyloudnorm.Meter(rate, block_size=block)
  loudness = meter.integrated_loudness(audio.astype(np.float64))
  if not np.isfinite(loudness):
    raise AudioError("silent: nothing above -70 LUFS")
  gain = 10 ** ((target_lufs - loudness) / 20)
  gain = min(gain, PEAK / float(np.abs(audio).max()))
  return (audio * np.float32(gain)).astype(np.float32)


def check(audio: np.ndarray, name, *, min_samples: int = 1) -> None:
  """Refuses audio that no score can be trusted on.

  Args:
    audio: float [samples].
    name: the file or clip, for the message.
    min_samples: fewer than this is too short.

  Raises:
    AudioError: not 1-D, too short, not finite, beyond full scale by a factor of 100,
      softer than -50 dBFS, or so soft without its mean (constant) or without a few
      samples (a click).
  """
  name = printable(name)
  if np.ndim(audio) != 1:
    raise AudioError(f"{name}: shape {np.shape(audio)}; mix it to one channel")
  if len(audio) < min_samples:
    raise AudioError(
      f"{name}: too short, {len(audio)} samples of {min_samples} needed; "
      "use a smaller clip_seconds or remove it"
    )
  check_finite(audio, name)
  if len(audio) and (peak := float(np.max(np.abs(audio)))) > LOUDEST:
    raise AudioError(
      f"{name}: samples of up to {peak:.3g}, where [-1, 1] is full scale; they look"
      " like integers stored as floats: export it again"
    )
  energy, count = _energy(audio), len(audio)
  level = _dbfs(energy, count)
  below = f"below {SILENCE_DBFS:.0f}"
  if level < SILENCE_DBFS:
    raise AudioError(f"{name}: silent ({level:.0f} dBFS, {below}); remove it")
  mean = float(np.mean(audio, dtype=np.float64))
  level = _dbfs(_energy(audio, mean), count)
  if level < SILENCE_DBFS:
    raise AudioError(
      f"{name}: constant ({mean:.3g}, and {level:.0f} dBFS around it, {below});"
      " remove it"
    )
  level = _dbfs(_without_loudest(audio, energy), count)
  if level < SILENCE_DBFS:
    raise AudioError(
      f"{name}: a single click ({level:.0f} dBFS without it, {below}); remove it"
    )


def _without_loudest(audio: np.ndarray, energy: float) -> float:
  """Energy of [samples] without the loudest few; a lower bound where that is plenty."""
  few = min(_CLICK_SAMPLES, len(audio) // 100)
  most = few * float(np.max(np.abs(audio))) ** 2
  # Nearly always: so much is left that they need not be found.
  if not few or energy > 2 * most:
    return energy - most
  squares = np.square(audio, dtype=np.float64)
  return float(np.sum(np.partition(squares, len(squares) - few)[:-few]))


def segment_order(count: int) -> list[int]:
  """Visits `count` slots so that any first few are spread over the whole track.

  The van der Corput sequence 1/2, 1/4, 3/4, 1/8, ... comes first, the slots that it
  has not reached after that.
  """
  order = dict.fromkeys(
    int(int(f"{i:b}"[::-1], 2) / 2 ** i.bit_length() * count)
    for i in range(1, 2 * count + 1)
  )
  return [*order, *(slot for slot in range(count) if slot not in order)]


def prepare(
  path,
  *,
  sample_rate: int,
  segment_seconds: float,
  min_seconds: float | None = None,
  max_segments: int | None = None,
  on_wrong_rate: str = "resample",
) -> tuple[list[tuple[float, np.ndarray]], list[str]]:
  """One file as loudness-normalised segments, whatever group the file is in.

  Args:
    path: the file.
    sample_rate: rate of the result, Hz.
    segment_seconds: length of a segment; the track is cut without overlap.
    min_seconds: a file between this and `segment_seconds` becomes one shorter
      segment, a whole multiple of this; by default such a file is too short.
    max_segments: how many to take, spread over the track; a silent one is passed
      over for the next. None takes all.
    on_wrong_rate: 'resample', or 'error' to refuse a file at another rate.

  Returns:
    [(start in seconds, float32 [samples])] in the order of `segment_order`, and a
    one-line message for each remark on the file and each segment left out.

  Raises:
    AudioError: the file cannot be used at all.
  """
  if on_wrong_rate not in ON_WRONG_RATE:
    raise ValueError(f"on_wrong_rate is one of {ON_WRONG_RATE}, not {on_wrong_rate!r}")
  with border(path):
    audio, remarks = _at_rate(path, sample_rate, on_wrong_rate)
    return _segments(
      audio,
      printable(path),
      sample_rate=sample_rate,
      segment_seconds=segment_seconds,
      min_seconds=min_seconds,
      max_segments=max_segments,
      remarks=remarks,
    )


def _at_rate(
  path, sample_rate: int, on_wrong_rate: str
) -> tuple[np.ndarray, tuple[str, ...]]:
  """A file's samples at a rate, resampled as they come, and the remarks on it."""
  audio, found = _resampled_file(decoding.Reading(path), sample_rate, on_wrong_rate)
  if found.keep is not None:
    again = decoding.Reading(path, found)
    audio, found = _resampled_file(again, sample_rate, on_wrong_rate)
  return audio, found.remarks


def _resampled_file(
  reading: decoding.Reading, sample_rate: int, on_wrong_rate: str
) -> tuple[np.ndarray, decoding.Survey]:
  blocks = reading.blocks()
  first = next(blocks, None)
  if first is None:
    return np.zeros(0, np.float32), reading.survey()
  rate = reading.rate
  if rate != sample_rate and on_wrong_rate == "error":
    raise AudioError(
      f"{reading.name}: rate {rate} Hz where {sample_rate} Hz is wanted; resample "
      "the file, or open with on_wrong_rate='resample'"
    )
  parts = list(resampled(itertools.chain([first], blocks), rate, sample_rate))
  return np.concatenate(parts), reading.survey()


def _segments(
  audio: np.ndarray,
  name: str,
  *,
  sample_rate: int,
  segment_seconds: float,
  min_seconds: float | None,
  max_segments: int | None,
  remarks: tuple[str, ...],
) -> tuple[list[tuple[float, np.ndarray]], list[str]]:
  """What `prepare` returns, of samples at the wanted rate."""
  length = round(segment_seconds * sample_rate)
  if min_seconds is not None and len(audio) < length:
    unit = round(min_seconds * sample_rate)
    length = max(len(audio) // unit, 1) * unit
  check(audio, name, min_samples=length)
  segments, dropped = [], list(remarks)
  for slot in segment_order(len(audio) // length):
    if max_segments is not None and len(segments) == max_segments:
      break
    start = slot * length
    where = f"{name} at {start / sample_rate:.3f} s"
    segment = audio[start : start + length]
    try:
      check(segment, where)
      segments.append((start / sample_rate, normalise_loudness(segment, sample_rate)))
    except AudioError as error:
      message = str(error)
      dropped.append(message if message.startswith(where) else f"{where}: {message}")
  if not segments:
    raise AudioError(f"{name}: silent throughout; remove it")
  return segments, dropped
