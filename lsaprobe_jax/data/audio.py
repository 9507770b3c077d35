"""Decoding and preparing audio: the one path that every clip of every group takes.

`prepare` reads a file, mixes it to mono, resamples it, cuts it into segments, sets
their loudness and drops what is silent. It is not told which group a file belongs
to, so members and non-members cannot be treated differently.
"""

import dataclasses
import pathlib

import numpy as np
import pyloudnorm
import soundfile
import soxr

from lsaprobe_jax.results import first_line

TARGET_LUFS = -20.0
PEAK = 0.99
SILENCE_DBFS = -50.0
# Limits of what is read. A header that claims more is taken for a damaged one; so is a
# rate at which a small file would be resampled into a huge one.
MAX_HOURS = 4.0
MAX_BYTES = 8 << 30
RATES = (2_000, 768_000)  # Hz
_BLOCK_SAMPLES = 1 << 20  # of all channels, decoded at a time
# ITU-R BS.1770 measures in blocks of 0.4 s; shorter clips get one block.
_LOUDNESS_BLOCK = 0.4
ON_WRONG_RATE = ("resample", "error")


class AudioError(ValueError):
  """A bad input; one line that names the file and the mend."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
  """A track whole, as its source has it.

  Attributes:
    source: the file, or the folder of the records that hold it.
    samples: float32 [n], the mean of the channels.
    rate: Hz.
    channels: number of channels.
    format: container and coding, as libsndfile names them.
  """

  source: str
  samples: np.ndarray
  rate: int
  channels: int
  format: str


def read_recording(path) -> Recording:
  """Decodes a file; AudioError as by `decode`."""
  samples, rate = decode(path)
  header = soundfile.info(path)
  return Recording(
    source=str(path),
    samples=samples,
    rate=rate,
    channels=header.channels,
    format=f"{header.format} {header.subtype}",
  )


def decode(path) -> tuple[np.ndarray, int]:
  """Reads an audio file whole.

  Args:
    path: a file of any format libsndfile reads: wav, flac, ogg, opus, mp3, aiff.

  Returns:
    float32 [samples] in about [-1, 1], the mean of the channels, and its rate in Hz.

  Raises:
    AudioError: missing, empty, undecodable, beyond the limits above, or with NaN or
      infinite samples.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise AudioError(f"{path}: no such file; check the path")
  if path.stat().st_size == 0:
    raise AudioError(f"{path}: empty file (0 bytes); copy or download it again")
  if path.stat().st_size > MAX_BYTES:
    raise AudioError(f"{path}: larger than {MAX_BYTES >> 30} GiB; split the file")
  try:
    with soundfile.SoundFile(path) as file:
      _check_header(file, path)
      rate = file.samplerate
      # Not one array of what the header claims: it may claim anything.
      size = max(_BLOCK_SAMPLES // file.channels, 1)
      blocks = [
        block.mean(axis=1, dtype=np.float32)
        for block in file.blocks(size, dtype="float32", always_2d=True)
      ]
    mono = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
  except MemoryError as error:
    raise AudioError(
      f"{path}: decodes to more than fits in memory; damaged header, or split the file"
    ) from error
  except (soundfile.SoundFileError, OSError, RuntimeError) as error:
    reason = first_line(error).removeprefix(f"Error opening {str(path)!r}: ")
    raise AudioError(
      f"{path}: cannot be decoded ({reason.rstrip('.')}); "
      "re-encode it as wav or flac, or remove it"
    ) from error
  if not mono.size:
    raise AudioError(f"{path}: empty, no audio samples; remove it")
  check_finite(mono, path)
  return mono, rate


def _check_header(file: soundfile.SoundFile, path: pathlib.Path) -> None:
  low, high = RATES
  if not low <= file.samplerate <= high:
    raise AudioError(
      f"{path}: claims a rate of {file.samplerate} Hz, outside {low} to {high}; "
      "damaged header, or resample the file"
    )
  hours = file.frames / file.samplerate / 3600
  if hours > MAX_HOURS:
    raise AudioError(
      f"{path}: claims {hours:.3g} h of audio; damaged header, or split the file"
    )


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
  """float32 [samples] at `from_rate` Hz to float32 [samples'] at `to_rate` Hz."""
  if from_rate == to_rate:
    return audio
  return soxr.resample(audio, from_rate, to_rate, quality="HQ").astype(np.float32)


def rms_dbfs(audio: np.ndarray) -> float:
  """Root mean square level of [samples], in dB below full scale; -inf for zeros."""
  mean_square = float(np.mean(np.square(audio, dtype=np.float64)))
  return 10 * np.log10(mean_square) if mean_square > 0 else -np.inf


def normalise_loudness(
  audio: np.ndarray, rate: int, target_lufs: float = TARGET_LUFS
) -> np.ndarray:
  """Scales [samples] to an integrated loudness, never clipping.

  Where the peak would pass 0.99 the gain is held back, so the result may be softer
  than `target_lufs`.

  Raises:
    AudioError: nothing in it is above the gate of BS.1770 (-70 LUFS).
  """
  block = min(_LOUDNESS_BLOCK, len(audio) / rate)
  meter = pyloudnorm.Meter(rate, block_size=block)
  loudness = meter.integrated_loudness(audio.astype(np.float64))
  if not np.isfinite(loudness):
    raise AudioError("silent: nothing above -70 LUFS")
  gain = 10 ** ((target_lufs - loudness) / 20)
  gain = min(gain, PEAK / float(np.abs(audio).max()))
  return (audio * np.float32(gain)).astype(np.float32)


def check_finite(audio: np.ndarray, name) -> None:
  """Raises AudioError if [samples] holds NaN or infinity."""
  bad = int(np.size(audio) - np.count_nonzero(np.isfinite(audio)))
  if bad:
    raise AudioError(f"{name}: {bad} NaN or infinite samples; export it again")


def check(audio: np.ndarray, name, *, min_samples: int = 1) -> None:
  """Refuses audio that no score can be trusted on.

  Args:
    audio: float [samples].
    name: the file or clip, for the message.
    min_samples: fewer than this is too short.

  Raises:
    AudioError: not 1-D, too short, not finite, or softer than -50 dBFS.
  """
  if np.ndim(audio) != 1:
    raise AudioError(f"{name}: shape {np.shape(audio)}; mix it to one channel")
  if len(audio) < min_samples:
    raise AudioError(
      f"{name}: too short, {len(audio)} samples of {min_samples} needed; "
      "use a smaller clip_seconds or remove it"
    )
  check_finite(audio, name)
  level = rms_dbfs(audio)
  if level < SILENCE_DBFS:
    raise AudioError(
      f"{name}: silent ({level:.0f} dBFS, below {SILENCE_DBFS:.0f}); remove it"
    )


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
    one-line message for each segment left out.

  Raises:
    AudioError: the file cannot be used at all.
  """
  if on_wrong_rate not in ON_WRONG_RATE:
    raise ValueError(f"on_wrong_rate is one of {ON_WRONG_RATE}, not {on_wrong_rate!r}")
  audio, rate = decode(path)
  if rate != sample_rate and on_wrong_rate == "error":
    raise AudioError(
      f"{path}: rate {rate} Hz where {sample_rate} Hz is wanted; resample the file, "
      "or open with on_wrong_rate='resample'"
    )
  audio = resample(audio, rate, sample_rate)
  length = round(segment_seconds * sample_rate)
  if min_seconds is not None and len(audio) < length:
    unit = round(min_seconds * sample_rate)
    length = max(len(audio) // unit, 1) * unit
  check(audio, path, min_samples=length)
  segments, dropped = [], []
  for slot in segment_order(len(audio) // length):
    if max_segments is not None and len(segments) == max_segments:
      break
    start = slot * length
    name = f"{path} at {start / sample_rate:.3f} s"
    segment = audio[start : start + length]
    try:
      check(segment, name)
      segments.append((start / sample_rate, normalise_loudness(segment, sample_rate)))
    except AudioError as error:
      message = str(error)
      dropped.append(message if message.startswith(name) else f"{name}: {message}")
  if not segments:
    raise AudioError(f"{path}: silent throughout; remove it")
  return segments, dropped
