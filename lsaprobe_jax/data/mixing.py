"""Mixing channels to one, or keeping two, and noticing where they cancel.

The mix is the mean of all channels, a low-frequency one included. Where it is 20 dB
softer than the channels are, they have cancelled, and one channel is kept instead.
For a stereo model (`Pair`) two channels stay as they are, and one becomes both.
"""

import numpy as np

from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.text import printable

# A mean that is softer than the channels by this much, in power, has cancelled: of n
# channels that have nothing in common it is softer by a factor of n only.
CANCELLED = 0.01
# No format has larger numbers than of 32 bits, even where they stand as floats.
MAX_PEAK = 2.0**31
_AUDIBLE = 1e-5  # -50 dBFS, as a mean square
# A channel that is softer than the other by this much, in power, has nothing in it.
_DEAD = 1e-6


class Mixer:
  """Mixes the blocks of one file, and counts where its channels cancel."""

  def __init__(self, keep: int | None = None):
    """Begins a file.

    Args:
      keep: the channel to keep in the place of the mean, as an earlier pass found.
    """
    self._keep = keep
    self._own = self._mixed = 0.0  # energy of the channels' average, and of their mean
    self._cancelling = 0  # frames of whole seconds in which the mean cancels
    self._loud: int | None = None

  def mix(self, block: np.ndarray, rate: int, name: str) -> np.ndarray:
    """Returns one channel float32 [n] of float32 [n, channels].

    Args:
      block: the next samples.
      rate: Hz.
      name: of the file, for the error.

    Raises:
      AudioError: samples are NaN, infinite or absurd.
    """
    # What overflows, or is infinite, is refused below.
    with np.errstate(over="ignore", invalid="ignore"):
      mean = block.mean(axis=1, dtype=np.float32)
    mono = mean
    if block.shape[1] > 1:
      energy = np.einsum("nc,nc->c", block, block, dtype=np.float64)
      self._own += float(energy.mean())
      self._mixed += float(np.einsum("n,n->", mean, mean, dtype=np.float64))
      self._cancelling += _cancelling(block, mean, rate)
      if self._loud is None and energy.any():
        self._loud = int(np.argmax(energy >= 0.5 * energy.mean()))
      if self._keep is not None:
        mono = np.ascontiguousarray(block[:, min(self._keep, block.shape[1] - 1)])
    check_finite(mono, name)
    return mono

  def cancelled(self) -> int | None:
    """Returns the first loud channel where the mean has cancelled, and else None."""
    return self._loud if self._mixed < CANCELLED * self._own else None

  def remarks(self, keep: int | None, channels: int, rate: int) -> list[str]:
    """Returns what a user should know of the mix.

    Args:
      keep: the channel that is kept in the place of the mean.
      channels: number of channels.
      rate: Hz.
    """
    if keep is not None:
      return [f"its channels cancel in their mean; channel {keep + 1} alone is used"]
    if self._cancelling:
      seconds = f"{self._cancelling / max(rate, 1):.1f}"
      return [
        f"its channels cancel in {seconds} s of it, which are silent in their mean"
      ]
    if channels > 2:
      return [f"{channels} channels, all averaged, a low-frequency one included"]
    return []


class Pair:
  """Passes on the two channels of one file, and makes two of one."""

  def __init__(self):
    """Begins a file."""
    self._energy = np.zeros(2)
    self._mixed = 0.0
    self._single = False

  def mix(self, block: np.ndarray, rate: int, name: str) -> np.ndarray:
    """Returns float32 [n, 2] of float32 [n, 1] or [n, 2].

    Args:
      block: the next samples.
      rate: Hz; not used.
      name: of the file, for the error.

    Raises:
      AudioError: samples are NaN, infinite or absurd, or there are more channels. Which
        of more than two are left and right depends on the format, and is not guessed.
    """
    del rate
    if block.shape[1] > 2:
      raise AudioError(
        f"{name}: {block.shape[1]} channels where two are wanted; mix it down to"
        " stereo, or remove it"
      )
    check_finite(block, name)
    if block.shape[1] == 1:
      self._single = True
      return np.repeat(block, 2, axis=1)
    self._energy += np.einsum("nc,nc->c", block, block, dtype=np.float64)
    mean = block.mean(axis=1, dtype=np.float32)
    self._mixed += float(np.einsum("n,n->", mean, mean, dtype=np.float64))
    return block

  def cancelled(self) -> None:
    """Returns None: both channels are kept, whatever their mean is."""
    return

  def remarks(self, keep: int | None, channels: int, rate: int) -> list[str]:
    """Returns what a user should know of the channels; takes what `Mixer` does."""
    del keep, channels, rate
    said = []
    if self._single:
      said.append("one channel, which stands for both")
    own = self._energy.mean()
    if own and self._energy.min() < _DEAD * own:
      silent = ("left", "right")[int(np.argmin(self._energy))]
      said.append(f"its {silent} channel is silent; both are used as they are")
    elif self._mixed < CANCELLED * own:
      said.append("its channels cancel in their mean; both are used as they are")
    return said


def channels_of(count: int, keep: int | None = None) -> Mixer | Pair:
  """Returns what makes one channel of a file's, or two.

  Args:
    count: 1 or 2.
    keep: the channel to keep in the place of the mean of one, as an earlier pass found.
  """
  return Pair() if count == 2 else Mixer(keep)


def _cancelling(block: np.ndarray, mean: np.ndarray, rate: int) -> int:
  """Returns how many frames of [n, channels] are in seconds whose mean [n] cancels."""
  seconds = len(mean) // rate
  if not seconds:
    return 0
  whole = seconds * rate
  power = lambda x: np.einsum("sn,sn->s", x, x, dtype=np.float64) / rate
  own = power(block[:whole].reshape(seconds, -1)) / block.shape[1]
  mixed = power(mean[:whole].reshape(seconds, -1))
  return rate * int(np.sum((mixed < CANCELLED * own) & (own > _AUDIBLE)))


def check_finite(audio: np.ndarray, name) -> None:
  """Refuses float samples that hold what no recording does.

  Args:
    audio: the samples, of any shape.
    name: the file or clip, for the message.

  Raises:
    AudioError: NaN, infinity, or a number beyond 2^31, the most that any format has.
  """
  # One pass where all is well, which is nearly always.
  if np.size(audio) and not np.max(np.abs(audio)) <= MAX_PEAK:
    bad = int(np.size(audio) - np.count_nonzero(np.isfinite(audio)))
    if bad:
      what = f"{bad} NaN or infinite samples"
    else:
      what = f"samples of up to {np.max(np.abs(audio)):.1g}, far beyond full scale"
    raise AudioError(f"{printable(name)}: {what}; export it again")
