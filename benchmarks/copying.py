"""The copies of a recording that `copies` judges, each made of an excerpt."""

import io
from collections.abc import Callable

import numpy as np
import soundfile
from scipy import signal

from lsaprobe_jax import optional
from lsaprobe_jax.data.audio import resample

AS_TRAINED, INVERTED = "as trained", "polarity inverted"
MP3 = (320, 128, 64)
_SEED = 0
# The rate of the shipped excerpts, and the one at which music is sold.
RATE, _CD_RATE = 16_000, 44_100
# Before the clip, so that no edge of a codec or of a phase vocoder lies in it.
_LEAD = RATE // 2

# Takes an excerpt at RATE and gives another that begins at the same place.
Copy = Callable[[np.ndarray], np.ndarray]


def led(change: Callable[[np.ndarray], np.ndarray], rate: float = 1.0) -> Copy:
  """A copy made with half a second before it, the excerpt's beginning backwards.

  Args:
    change: of the longer excerpt.
    rate: of the copy's tempo over the excerpt's.
  """

  def copy(audio):
    longer = np.concatenate([audio[_LEAD:0:-1], audio])
    return change(longer)[round(_LEAD / rate) :]

  return copy


def encoded(audio: np.ndarray, rate: int, form: str, level: float) -> bytes:
  """Audio as a file of a lossy format, at one of libsndfile's levels of compression."""
  buffer = io.BytesIO()
  how = {"format": form, "compression_level": level}
  if form == "MP3":
    how |= {"subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
  soundfile.write(buffer, audio, rate, **how)
  return buffer.getvalue()


def mp3_level(kilobits: int) -> float:
  """libsndfile's level of compression for a constant bitrate of MPEG-1."""
  return (320 - kilobits) / (320 - 32)


def through_codec(form: str, level: float) -> Copy:
  """A copy that was encoded at 44.1 kHz, decoded, and aligned to the excerpt."""

  def change(audio):
    wide = resample(audio, RATE, _CD_RATE)
    data = encoded(wide, _CD_RATE, form, level)
    decoded, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return resample(aligned(decoded, wide), _CD_RATE, RATE)

  return led(change)


def aligned(audio: np.ndarray, like: np.ndarray) -> np.ndarray:
  """Audio without the delay by which it correlates best, as long as the other."""
  size = len(audio) + len(like)
  product = np.fft.rfft(audio, size) * np.conj(np.fft.rfft(like, size))
  lag = int(np.argmax(np.fft.irfft(product, size)))
  lag = lag - size if lag > size // 2 else lag
  moved = audio[lag:] if lag >= 0 else np.pad(audio, (-lag, 0))
  return np.pad(moved, (0, max(0, len(like) - len(moved))))[: len(like)]


def bitrate(kilobits: int) -> int:
  """The kilobits per second that the first frame of such an MP3 file says."""
  rates = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
  data = encoded(np.zeros(_CD_RATE), _CD_RATE, "MP3", mp3_level(kilobits))
  return rates[data[data.index(b"\xff\xfb") + 2] >> 4]


def pitched(semitones: float) -> Copy:
  """A copy at another pitch and the same tempo (librosa), as loud as before."""
  effects = optional.require("librosa", "audio").effects
  shift = lambda x: effects.pitch_shift(x, sr=RATE, n_steps=semitones)
  return led(lambda x: matched(shift(x), x))


def stretched(rate: float) -> Copy:
  """A copy at another tempo and the same pitch (librosa), as loud as before."""
  effects = optional.require("librosa", "audio").effects
  return led(lambda x: matched(effects.time_stretch(x, rate=rate), x), rate)


def sped(rate: float) -> Copy:
  """A copy at another speed: tempo and pitch go together, as of a tape."""
  return led(lambda x: resample(x, round(RATE * rate), RATE), rate)


def shelf(gain_db: float, corner: float, high: bool) -> np.ndarray:
  """A shelf filter of slope 1 at RATE, as one second-order section.

  The coefficients are those of Bristow-Johnson's Audio EQ Cookbook.
  """
  a, w = 10 ** (gain_db / 40), 2 * np.pi * corner / RATE
  cos, alpha = np.cos(w), np.sin(w) / np.sqrt(2)
  root, sign = 2 * np.sqrt(a) * alpha, -1 if high else 1
  up, down = (a + 1) + root, (a + 1) - root
  tilt = sign * (a - 1) * cos
  b = [a * (up - tilt), sign * 2 * a * ((a - 1) - sign * (a + 1) * cos)]
  b.append(a * (down - tilt))
  den = [up + tilt, -sign * 2 * ((a - 1) + sign * (a + 1) * cos), down + tilt]
  return np.array([*b, *den])[None] / den[0]


def remastered(audio: np.ndarray) -> np.ndarray:
  """Bass and treble up by 3 dB, compressed 2:1, limited softly, as loud as before."""
  sections = np.concatenate([shelf(3, 150, high=False), shelf(3, 2500, high=True)])
  shaped = signal.sosfilt(sections, audio)
  # The level of 10 ms, of which what is above -20 dBFS is halved in decibels.
  smoothing = [1 - np.exp(-1 / (0.01 * RATE))], [1, -np.exp(-1 / (0.01 * RATE))]
  level = np.sqrt(np.maximum(signal.lfilter(*smoothing, shaped**2), 1e-12))
  pressed = shaped * np.minimum(1, np.sqrt(0.1 / level))
  limited = np.tanh(2 * pressed) / 2
  return matched(limited, audio)


def matched(audio: np.ndarray, like: np.ndarray) -> np.ndarray:
  """Audio at the root mean square of another."""
  size = lambda x: np.sqrt(np.mean(np.square(x)))
  return (audio * (size(like) / size(audio))).astype(np.float32)


def noisy(audio: np.ndarray) -> np.ndarray:
  """White noise at -30 dB below the excerpt's level."""
  noise = np.random.default_rng(_SEED).normal(size=audio.shape)
  return (audio + 10 ** (-30 / 20) * matched(noise, audio)).astype(np.float32)


def make_copies() -> dict[str, Copy]:
  """Copies by name, in the order of the table."""
  mp3 = lambda kilobits: through_codec("MP3", mp3_level(kilobits))
  return {
    AS_TRAINED: lambda x: x,
    **{f"MP3, {kilobits} kbit/s": mp3(kilobits) for kilobits in MP3},
    "Ogg Vorbis, quality 0": through_codec("OGG", 1.0),
    "3 dB softer": lambda x: x * np.float32(10 ** (-3 / 20)),
    "remastered": led(remastered),
    "noise at -30 dB": noisy,
    "10 ms later": lambda x: x[RATE // 100 :],
    "50 ms later": lambda x: x[RATE // 20 :],
    "0.5% faster, speed": sped(1.005),
    "0.5% faster, tempo alone": stretched(1.005),
    "3% faster, speed": sped(1.03),
    "3% faster, tempo alone": stretched(1.03),
    "half a semitone up": pitched(0.5),
    "half a semitone down": pitched(-0.5),
    "a semitone up": pitched(1),
    "a semitone down": pitched(-1),
    INVERTED: lambda x: -x,
  }
