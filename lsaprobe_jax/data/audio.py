"""Audio in memory: decoded, resampled, set to a loudness, and refused if unusable.

Time comes first here, as in libsndfile: one channel is [samples] and two are
[samples, 2]. A corpus (`clips.Corpus`) and models have channels first.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyloudnorm
import soxr

from lsaprobe_jax.data import decoding
from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.data.decoding import RATES as RATES
from lsaprobe_jax.data.mixing import check_finite
from lsaprobe_jax.text import printable

TARGET_LUFS = -20.0
PEAK = 0.99
SILENCE_DBFS = -50.0
LOUDEST = 100.0  # no float file that means music passes full scale by so much
# ITU-R BS.1770 measures in blocks of 0.4 s; shorter clips get one block.
LOUDNESS_BLOCK = 0.4  # s
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
      Length, loudness, bandwidth and fingerprints of stereo are those of the mix.
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


def decode(path, channels: int = 1) -> tuple[np.ndarray, int]:
  """Reads an audio file whole.

  Args:
    path: a file of any format libsndfile reads: wav, flac, ogg, opus, mp3, aiff.
    channels: how many are wanted, 1 or 2.

  Returns:
    float32 [samples] or [samples, 2] in about [-1, 1], mixed or kept as
    `decoding.decode` says, and its rate in Hz.

  Raises:
    AudioError: missing, empty, undecodable, beyond the limits of `decoding`, with NaN,
      infinite or absurd samples, or with more than two channels where two are wanted.
  """
  samples, found = decoding.decode(path, channels)
  return samples, found.rate


def resample(audio: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
  """Resamples float32 [samples] or [samples, 2] from one rate in Hz to another."""
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
  blocks = iter(blocks)
  first = next(blocks, np.zeros(0, np.float32))
  end = np.zeros((0, *first.shape[1:]), np.float32)
  count = 1 if first.ndim == 1 else first.shape[1]
  how = {"dtype": "float32", "quality": "HQ"}
  stream = soxr.ResampleStream(from_rate, to_rate, count, **how)
  for block in itertools.chain([first], blocks):
    yield stream.resample_chunk(np.ascontiguousarray(block, np.float32))
  yield stream.resample_chunk(end, last=True)


def rms_dbfs(audio: np.ndarray) -> float:
  """Returns the root mean square level of all samples in dBFS; -inf for zeros."""
  return _dbfs(_energy(audio), np.size(audio))


def _energy(audio: np.ndarray, offset: float | np.ndarray = 0.0) -> float:
  """Sums the squares of samples less `offset`, in float64 and little memory."""
  offset = np.asarray(offset, np.float64)
  return sum(
    float(np.sum(np.square(audio[at : at + _SUM_SAMPLES] - offset)))
    for at in range(0, len(audio), _SUM_SAMPLES)
  )


def _dbfs(energy: float, count: int) -> float:
  return 10 * np.log10(energy / count) if energy > 0 else -np.inf


def normalise_loudness(
  audio: np.ndarray, rate: int, target_lufs: float = TARGET_LUFS
) -> np.ndarray:
  """Scales [samples] or [samples, 2] to an integrated loudness, never clipping.

  Two channels have one loudness, that of BS.1770 for stereo, and one gain, so that the
  balance between them stays. Where the peak would pass 0.99 the gain is held back, so
  the result may be softer than `target_lufs`.

  Raises:
    AudioError: nothing in it is above the gate of BS.1770 (-70 LUFS).
  """
  block = min(LOUDNESS_BLOCK, len(audio) / rate)
  if block * rate > len(audio):  # By rounding, and then it would be refused.
    block = np.nextafter(block, 0)
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
    audio: float [samples], or [samples, 2], of which levels are over both channels.
    name: the file or clip, for the message.
    min_samples: fewer than this is too short.

  Raises:
    AudioError: of another shape, too short, not finite, beyond full scale by a factor
      of 100, softer than -50 dBFS, or so soft without its mean (constant) or without a
      few samples (a click).
  """
  name = printable(name)
  if np.ndim(audio) != 1 and np.shape(audio)[1:] != (2,):
    raise AudioError(
      f"{name}: shape {np.shape(audio)}; mix it to one channel, or give [samples, 2]"
    )
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
  energy, count = _energy(audio), np.size(audio)
  level = _dbfs(energy, count)
  below = f"below {SILENCE_DBFS:.0f}"
  if level < SILENCE_DBFS:
    raise AudioError(f"{name}: silent ({level:.0f} dBFS, {below}); remove it")
  mean = np.mean(audio, axis=0, dtype=np.float64)
  level = _dbfs(_energy(audio, mean), count)
  if level < SILENCE_DBFS:
    means = " and ".join(f"{value:.3g}" for value in np.atleast_1d(mean))
    raise AudioError(
      f"{name}: constant ({means}, and {level:.0f} dBFS around it, {below}); remove it"
    )
  level = _dbfs(_without_loudest(audio, energy), count)
  if level < SILENCE_DBFS:
    raise AudioError(
      f"{name}: a single click ({level:.0f} dBFS without it, {below}); remove it"
    )


def _without_loudest(audio: np.ndarray, energy: float) -> float:
  """Returns the energy of samples without the loudest few, or a lower bound of it.

  The bound is returned where it is plenty, so that the loudest need not be found.
  """
  # A click is as long in two channels as in one.
  few = min(_CLICK_SAMPLES, len(audio) // 100) * (np.size(audio) // max(len(audio), 1))
  most = few * float(np.max(np.abs(audio))) ** 2
  # Nearly always so much is left that the bound is enough.
  if not few or energy > 2 * most:
    return energy - most
  squares = np.square(audio, dtype=np.float64).ravel()
  return float(np.sum(np.partition(squares, len(squares) - few)[:-few]))
