"""Preparing audio: the one path that every clip of every group takes.

`prepare` reads a file (`decoding` says how, and what becomes of its channels),
resamples it, cuts it into segments, sets their loudness and drops what is silent. It is
not told which group a file belongs to, so members and non-members cannot be treated
differently.
"""

import itertools
from typing import Any

import numpy as np

from lsaprobe_jax.data import decoding
from lsaprobe_jax.data.audio import check, normalise_loudness, resampled
from lsaprobe_jax.data.border import AudioError, border
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.text import printable, short

ON_WRONG_RATE = ("resample", "error")


def segment_order(count: int) -> list[int]:
  """Orders `count` slots so that any first few are spread over the whole track.

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
  channels: int = 1,
) -> tuple[list[tuple[float, np.ndarray]], list[str]]:
  """Cuts one file into loudness-normalised segments, whatever group it is in.

  Args:
    path: the file.
    sample_rate: rate of the result, Hz.
    segment_seconds: length of a segment; the track is cut without overlap.
    min_seconds: a file between this and `segment_seconds` becomes one shorter
      segment, a whole multiple of this; by default such a file is too short.
    max_segments: how many to take, spread over the track; a silent one is passed
      over for the next. None takes all.
    on_wrong_rate: 'resample', or 'error' to refuse a file at another rate.
    channels: how many are wanted, 1 or 2.

  Returns:
    [(start in seconds, float32 [samples] or [samples, 2])] in the order of
    `segment_order`, and a one-line message for each remark on the file and each segment
    left out.

  Raises:
    AudioError: the file cannot be used at all.
  """
  if on_wrong_rate not in ON_WRONG_RATE:
    raise ArgumentError(f"on_wrong_rate={short(on_wrong_rate)}: one of {ON_WRONG_RATE}")
  with border(path):
    audio, remarks = _at_rate(path, sample_rate, on_wrong_rate, channels)
    return _segments(
      audio,
      printable(path),
      sample_rate=sample_rate,
      segment_seconds=segment_seconds,
      min_seconds=min_seconds,
      max_segments=max_segments,
      remarks=remarks,
    )


def prepare_or_say(
  path, **settings: Any
) -> tuple[list[tuple[float, np.ndarray]], list[str]]:
  """Prepares a file as `prepare` does, with no exception where it cannot be used.

  Args:
    path: the file.
    **settings: keyword arguments of `prepare`.

  Returns:
    What `prepare` returns; no segments, and one message that says why, where the file
    cannot be used at all.
  """
  try:
    return prepare(path, **settings)
  except AudioError as error:
    return [], [str(error)]


def _at_rate(
  path, sample_rate: int, on_wrong_rate: str, channels: int
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Returns a file's samples, resampled as they come, and the remarks on it."""
  reading = decoding.Reading(path, channels=channels)
  audio, found = _resampled_file(reading, sample_rate, on_wrong_rate)
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
  """Returns what `prepare` does, of samples at the wanted rate."""
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
