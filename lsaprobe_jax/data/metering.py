"""Loudness, bandwidth and hash of recordings that do not fit in memory.

Each class takes a recording block by block and gives what the library it stands for
gives of the whole: pyloudnorm's integrated loudness and SciPy's Welch periodogram.
"""

import numpy as np
import pyloudnorm
from scipy import signal

# Share of the power below the bandwidth; what a codec cuts off lies above it.
POWER_SHARE = 0.999
_SEGMENT = 4096  # samples of a periodogram
# Samples of which periodograms are averaged at once; most tracks are shorter.
_WELCH_SAMPLES = 1 << 23
_GATE_LUFS, _RELATIVE_LU = -70.0, -10.0
_STEP = 0.25  # of a gating block
_OFFSET = -0.691


class Loudness:
  """Integrated loudness of one channel by ITU-R BS.1770-4, as pyloudnorm has it."""

  def __init__(self, rate: int, block_seconds: float):
    """Begins a measurement.

    Args:
      rate: Hz.
      block_seconds: length of a gating block.
    """
    meter = pyloudnorm.Meter(rate, block_size=block_seconds)
    # The filters, in their order; each keeps its state between blocks.
    self._filters = [
      (stage.b, stage.a, stage.passband_gain) for stage in meter._filters.values()
    ]
    self._states = [np.zeros(max(len(a), len(b)) - 1) for b, a, _ in self._filters]
    self._rate, self._block = rate, block_seconds
    self._kept, self._kept_from = np.zeros(0), 0  # filtered samples still needed
    self._powers: list[float] = []
    self._count = 0

  def _bounds(self, number: int) -> tuple[int, int]:
    first = self._block * (number * _STEP) * self._rate
    last = self._block * (number * _STEP + 1) * self._rate
    return int(first), int(last)

  def add(self, samples: np.ndarray) -> None:
    """Takes the next float [samples]."""
    filtered = samples.astype(np.float64)
    for i, (b, a, gain) in enumerate(self._filters):
      filtered, self._states[i] = signal.lfilter(b, a, filtered, zi=self._states[i])
      filtered = gain * filtered
    self._count += len(filtered)
    self._kept = np.concatenate([self._kept, filtered])
    while self._bounds(len(self._powers))[1] <= self._count:
      self._measure()
    done = max(self._bounds(len(self._powers))[0] - self._kept_from, 0)
    self._kept, self._kept_from = self._kept[done:].copy(), self._kept_from + done

  def _measure(self) -> None:
    """Adds the mean square of the next gating block, as far as it is there."""
    first, last = self._bounds(len(self._powers))
    part = self._kept[first - self._kept_from : last - self._kept_from]
    self._powers.append(float(np.sum(np.square(part))) / (self._block * self._rate))

  def value(self) -> float:
    """Returns LUFS after the last block; -inf where nothing is above -70 LUFS."""
    seconds = self._count / self._rate
    # A last block that ends beyond the recording counts where half its step is there.
    blocks = int(np.round((seconds - self._block) / (self._block * _STEP))) + 1
    while len(self._powers) < blocks:
      self._measure()
    powers = np.array(self._powers[:blocks])
    loud = powers[_lufs(powers) >= _GATE_LUFS]
    if not loud.size:
      return -np.inf
    gate = _lufs(loud.mean()) + _RELATIVE_LU
    levels = _lufs(powers)
    return float(_lufs(powers[(levels > gate) & (levels > _GATE_LUFS)].mean()))


def _lufs(power):
  with np.errstate(divide="ignore"):
    return _OFFSET + 10 * np.log10(power)


class Bandwidth:
  """Frequency below which 99.9% of the power lies, by Welch's periodograms."""

  def __init__(self, rate: int, frames: int):
    """Begins a measurement of a recording of `frames` samples at `rate` Hz."""
    self._rate, self._segment = rate, min(_SEGMENT, frames)
    self._overlap = self._segment // 2
    self._parts: list[np.ndarray] = []
    self._waiting = 0
    self._averages: list[tuple[int, np.ndarray]] = []  # segments, power [bins]
    self._frequencies = np.zeros(0)

  def add(self, samples: np.ndarray) -> None:
    """Takes the next float [samples]."""
    self._parts.append(samples)
    self._waiting += len(samples)
    if self._waiting >= _WELCH_SAMPLES:
      self._average()

  def _average(self) -> None:
    """Adds the periodograms of all segments that are whole; keeps what overlaps."""
    step = self._segment - self._overlap
    count = (self._waiting - self._overlap) // step
    if count < 1:
      return
    waiting = np.concatenate(self._parts)
    used = waiting[: count * step + self._overlap]
    self._frequencies, power = signal.welch(used, self._rate, nperseg=self._segment)
    self._averages.append((count, power))
    rest = waiting[count * step :].copy()
    self._parts, self._waiting = [rest], len(rest)

  def value(self) -> float:
    """Returns the frequency in Hz, after the last block."""
    self._average()
    _, power = self._averages[0]
    if len(self._averages) > 1:
      power = sum(np.float64(count) * power for count, power in self._averages)
    total = np.cumsum(power)
    return float(self._frequencies[np.searchsorted(total, POWER_SHARE * total[-1])])
