"""What is known of two sides of an audit from their tracks alone, before any model.

Whether both could be exchanged is what every verdict rests on. Lengths, rates, formats,
loudness and bandwidth are compared here, and recordings found that are there twice.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

from lsaprobe_jax.data import audio as audio_lib
from lsaprobe_jax.data import fingerprints, metering
from lsaprobe_jax.data.border import border
from lsaprobe_jax.text import rounded

# The level of a difference between the sides, corrected for the facts compared.
DIFFERENT = 0.01
_NUMBERS = ("seconds", "lufs", "bandwidth")
KINDS = ("rate", "channels", "format")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
  """One track's file, or its segments in records.

  Attributes:
    track: its id.
    source: the file, or the folder with the records.
    sha256: of its decoded samples, so that a copy in another container is found.
    seconds: length.
    rate: Hz.
    channels: number of channels.
    format: container and coding, as libsndfile names them.
    lufs: integrated loudness; None where nothing is above -70 LUFS.
    bandwidth: Hz below which 99.9% of the power lies.
    fingerprint: see `fingerprints`.
    remarks: see `audio.Recording`.
  """

  track: str
  source: str
  sha256: str
  seconds: float
  rate: int
  channels: int
  format: str
  lufs: float | None
  bandwidth: float
  fingerprint: fingerprints.Fingerprint
  remarks: tuple[str, ...] = ()

  def plain(self) -> dict[str, Any]:
    """Returns values that JSON holds, without fingerprint and remarks."""
    names = (field.name for field in dataclasses.fields(self))
    left_out = ("fingerprint", "remarks")
    return {name: getattr(self, name) for name in names if name not in left_out}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twice:
  """Two tracks with the same recording; `exact` where the samples are the same."""

  first: str
  second: str
  exact: bool


def inspect(track: str, recording: audio_lib.Recording) -> Facts:
  """Finds the facts of one recording, read once, block by block.

  Raises:
    AudioError: it cannot be read.
  """
  rate, frames = recording.rate, recording.frames
  digest = hashlib.sha256()
  loudness = metering.Loudness(rate, min(audio_lib.LOUDNESS_BLOCK, frames / rate))
  width = metering.Bandwidth(rate, frames)

  def measured() -> Iterator[np.ndarray]:
    for block in recording.read():
      digest.update(block.astype("<f4").tobytes())
      loudness.add(block)
      width.add(block)
      yield block

  with border(recording.source):
    at_low_rate = audio_lib.resampled(measured(), rate, fingerprints.RATE)
    low = np.zeros(_length_at(frames, rate, fingerprints.RATE), np.float32)
    filled = 0
    for block in at_low_rate:
      low[filled : filled + len(block)] = block
      filled += len(block)
    lufs = loudness.value()
    return Facts(
      track=track,
      source=recording.source,
      sha256=digest.hexdigest(),
      seconds=frames / rate,
      rate=rate,
      channels=recording.channels,
      format=recording.format,
      lufs=lufs if np.isfinite(lufs) else None,
      bandwidth=width.value(),
      fingerprint=fingerprints.of_low_rate(low[:filled]),
      remarks=recording.remarks,
    )


def _length_at(frames: int, rate: int, to_rate: int) -> int:
  """Returns room for `frames` samples at another rate, to be cut to what comes."""
  return -(-frames * to_rate // rate) + 64


def inspect_all(
  readers: dict[str, Callable[[], audio_lib.Recording]], name: str
) -> list[Facts]:
  """Finds the facts of each track, with a progress bar that says `name`.

  Args:
    readers: `corpus.recordings`.
    name: of the side.

  Raises:
    AudioError: one cannot be read.
  """
  bar = tqdm(readers.items(), unit="track", desc=f"reading {name}")
  return [inspect(track, read()) for track, read in bar]


def bandwidth(samples: np.ndarray, rate: int) -> float:
  """Returns the frequency in Hz below which 99.9% of the power of [samples] lies."""
  width = metering.Bandwidth(rate, len(samples))
  width.add(samples)
  return width.value()


def duplicates(tracks: Sequence[Facts]) -> Iterator[Twice]:
  """Yields tracks with the same samples or, by fingerprint, the same recording."""
  exact = set()
  for i, first in enumerate(tracks):
    for j in range(i + 1, len(tracks)):
      if first.sha256 == tracks[j].sha256:
        exact.add((i, j))
  near = set(fingerprints.duplicates([facts.fingerprint for facts in tracks]))
  for i, j in sorted(exact | near):
    yield Twice(first=tracks[i].track, second=tracks[j].track, exact=(i, j) in exact)


def _slight(name: str, value: float) -> float:
  """Returns a difference of medians below which no one cares: 1 LU, or 5%."""
  return 1.0 if name == "lufs" else 0.05 * value


def differences(
  suspects: Sequence[Facts],
  reference: Sequence[Facts],
  names: tuple[str, str] = ("suspects", "reference"),
) -> list[str]:
  """Says in which facts the sides differ by more than chance, one line each.

  Lengths, loudness and bandwidths are compared by Mann-Whitney's test, where their
  medians differ by at least 5% or 1 LU. Rates, channels and formats are compared by a
  chi-squared test. The level is 1%, corrected by Bonferroni. A side of one track cannot
  differ by more than chance in most of them; rates and formats that only it has are
  seen from a few reference tracks on.

  Args:
    suspects: what is known of one side.
    reference: what is known of the other.
    names: what the lines call the sides.
  """
  called = ", ".join(names)
  level = DIFFERENT / (len(_NUMBERS) + len(KINDS))
  lines = []
  for name in _NUMBERS:
    sides = [
      [value for facts in side if (value := getattr(facts, name)) is not None]
      for side in (suspects, reference)
    ]
    if not all(sides):
      continue
    p_value = stats.mannwhitneyu(*sides).pvalue
    one, other = map(np.median, sides)
    if p_value <= level and abs(one - other) >= _slight(name, max(one, other)):
      lines.append(
        f"{name}: median {rounded(one, 4)} against {rounded(other, 4)} ({called};"
        f" p = {p_value:.1g})"
      )
  for name in KINDS:
    sides = [[getattr(facts, name) for facts in side] for side in (suspects, reference)]
    kinds = sorted(set(sides[0]) | set(sides[1]))
    if len(kinds) == 1:
      continue
    counts = np.array([[side.count(kind) for kind in kinds] for side in sides])
    p_value = stats.chi2_contingency(counts).pvalue
    if p_value <= level:
      shares = "; ".join(
        f"{kind}: {a} of {len(sides[0])} against {b} of {len(sides[1])}"
        for kind, a, b in zip(kinds, *counts, strict=True)
      )
      lines.append(f"{name}: {shares} ({called}; p = {p_value:.1g})")
  return lines
