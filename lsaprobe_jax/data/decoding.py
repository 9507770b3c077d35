"""Reading audio files: no sample comes from anywhere but the file.

`sequential` reads and `mixing` makes one channel of all, or two for stereo. Here it is
decided what of a file is read, as which streams, and what it may not hold. What a file
claims is compared with what it gave, and what differs is a remark.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np
import soundfile

from lsaprobe_jax.data import containers, mixing, mpeg, sequential, sniffing
from lsaprobe_jax.data.border import AudioError, border
from lsaprobe_jax.text import first_line, printable

# Limits of what is read. Samples are counted over all channels: 3.4 hours of stereo at
# 44.1 kHz. A header that claims more is taken for a damaged one.
MAX_SAMPLES = 1 << 30
MAX_BYTES = 8 << 30
RATES = (2_000, 768_000)  # Hz
# Opus at its least, 6 kbit/s, unpacks to 118 samples a byte (48 kHz, stereo). What
# packs tighter is next to silence, or made to fill memory; small files may.
MAX_EXPANSION = 128
_NEVER_TOO_LARGE = 1 << 26
_LENGTH_UNKNOWN = 1 << 62  # libsndfile says so for FLAC from a pipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
  """What one reading of a whole file found.

  Attributes:
    name: the file, printable.
    rate: Hz.
    channels: number of channels.
    format: container and coding, as libsndfile names them.
    frames: samples of a channel that are there.
    keep: None for the mean of the channels, or the channel kept where that cancels.
    remarks: one line each that a user should know, each begins with the name.
  """

  name: str
  rate: int
  channels: int
  format: str
  frames: int
  keep: int | None
  remarks: tuple[str, ...]


def decode(path, channels: int = 1) -> tuple[np.ndarray, Survey]:
  """Reads an audio file whole.

  Args:
    path: the file.
    channels: how many are wanted, 1 or 2.

  Returns:
    float32 in about [-1, 1], and what was found. One channel is [samples], the mean of
    all channels, a low-frequency one included; where the channels cancel in it (it is
    20 dB softer than they are), the first loud one is kept. Two are [samples, 2] as
    they are in the file, and equal where that has one.

  Raises:
    AudioError: missing, empty, undecodable, beyond the limits above, with samples that
      are NaN, infinite or absurd, or with more than two channels where two are wanted.
  """
  reading = Reading(path, channels=channels)
  with border(path):
    blocks = list(reading.blocks())
    # It refuses a file without samples.
    found = reading.survey()
    if found.keep is not None:
      del blocks
      blocks = list(Reading(path, found).blocks())
    return np.concatenate(blocks), found


def survey(path) -> Survey:
  """Reads a file through and keeps no samples; AudioError as by `decode`."""
  reading = Reading(path)
  for _ in reading.blocks():
    pass
  return reading.survey()


class Reading:
  """One pass over a file: blocks in order, and afterwards what was found.

  Attributes:
    name: the file, printable.
    rate: Hz, from the first block on.
  """

  def __init__(self, path, again: Survey | None = None, channels: int = 1):
    """Prepares to read; opens nothing.

    Args:
      path: the file.
      again: what an earlier pass found, which this one must find again.
      channels: how many are wanted, 1 or 2.
    """
    self._path = path
    self.name = printable(path)
    self._again = again
    self._mixer = mixing.channels_of(channels, again.keep if again else None)
    self.rate = self._channels = self._frames = self._streams = 0
    self._format = ""
    self._bytes = 0
    self._remarks: list[str] = []

  def blocks(self) -> Iterator[np.ndarray]:
    """Yields float32 [n] of one channel, or [n, 2]; AudioError as by `decode`."""
    with (
      border(self._path),
      sequential.opened(self._path, self.name, MAX_BYTES) as file,
    ):
      self._bytes = os.fstat(file.fileno()).st_size
      head = file.read(sniffing.HEAD)
      if known := sniffing.foreign(head):
        raise self._undecodable(*known)
      parts = self._parts(file, head)
      for number, part in enumerate(parts):
        yield from self._read_part(file, part, first=number == 0)
      self._check_amount()
      if self._streams > 1:
        self._remark(f"{self._streams} streams in one file, read one after the other")
      if self._again and self._again.frames != self._frames:
        raise AudioError(f"{self.name}: changed while it was read; try again")

  def survey(self) -> Survey:
    """Returns what was found, after the last block.

    Raises:
      AudioError: there was nothing in it.
    """
    if not self._frames:
      raise AudioError(f"{self.name}: empty, no audio samples; remove it")
    keep = self._again.keep if self._again else self._mixer.cancelled()
    mix = self._mixer.remarks(keep, self._channels, self.rate)
    return Survey(
      name=self.name,
      rate=self.rate,
      channels=self._channels,
      format=self._format,
      frames=self._frames,
      keep=keep,
      remarks=tuple(f"{self.name}: {text}" for text in (*self._remarks, *mix)),
    )

  def _remark(self, text: str) -> None:
    self._remarks.append(text)

  def _undecodable(self, reason: str, mend: str) -> AudioError:
    return AudioError(f"{self.name}: cannot be decoded ({reason}); {mend}")

  def _cut_off(self) -> AudioError:
    return AudioError(
      f"{self.name}: cut short before its first sound; copy or download it again"
    )

  def _parts(self, file, head: bytes) -> Sequence[containers.Part]:
    """Finds the stretches of the file that are decoded by themselves."""
    if head[:4] == b"OggS":
      return containers.ogg_parts(file, self._bytes)
    part = containers.chunk_part(file, self._bytes)
    if part.pieces:
      return [part]
    try:
      with sequential.sound(file, ((0, self._bytes),)) as sound:
        if sound.format != "MP3":
          return [part]
    except soundfile.SoundFileError as error:
      raise self._refused(file, error) from error
    found = mpeg.streams(file, self._bytes)
    whole = len(found) == 1 and found[0].claimed is not None
    return [
      containers.Part(
        pieces=None if whole else tuple(stream.pieces()),
        samples=stream.samples * max(stream.claimed or 0, stream.frames),
        slack=stream.samples * mpeg.SLACK_FRAMES,
      )
      for stream in found
    ] or [part]

  def _refused(self, file, error: Exception) -> AudioError:
    """Returns what to say of a file that libsndfile does not open."""
    if known := sniffing.unknown(os.pread(file.fileno(), sniffing.HEAD, 0)):
      return self._undecodable(*known)
    reason = first_line(error).split(": ", 1)[-1].rstrip(".")
    if "does not exist" in reason:  # what it says where no frame of MP3 is found
      reason = "no audio that is known in it"
    return self._undecodable(reason, "re-encode it as wav or flac, or remove it")

  def _read_part(
    self, file, part: containers.Part, *, first: bool
  ) -> Iterator[np.ndarray]:
    try:
      sound = sequential.sound(file, part.pieces)
    except soundfile.SoundFileError as error:
      if first and part.open_end:
        raise self._cut_off() from error
      if first:
        raise self._refused(file, error) from error
      self._remark(f"what follows after {self._seconds()} s cannot be decoded")
      return
    with sound:
      if first:
        self._check_header(sound)
        self.rate, self._channels = sound.samplerate, sound.channels
        self._format = f"{sound.format} {sound.subtype}"
      elif sound.samplerate != self.rate:
        self._remark(
          f"what follows after {self._seconds()} s is at {sound.samplerate} Hz and not"
          " used"
        )
        return
      before, failure = self._frames, None
      self._streams += 1
      for block in sequential.blocks(sound):
        if isinstance(block, Exception):
          failure = block
        else:
          yield self._mix(block)
      self._compare(part, sound.frames, self._frames - before, failure)

  def _check_header(self, sound: soundfile.SoundFile) -> None:
    # By a name such as x.au libsndfile takes anything for samples without a header.
    if sound.format == "RAW":
      raise self._undecodable("no header", "re-encode it as wav or flac, or remove it")
    low, high = RATES
    if not low <= sound.samplerate <= high:
      raise AudioError(
        f"{self.name}: claims a rate of {sound.samplerate} Hz, outside {low} to"
        f" {high}; damaged header, or resample the file"
      )
    claimed = sound.frames * sound.channels
    if claimed > MAX_SAMPLES and sound.frames < _LENGTH_UNKNOWN:
      raise AudioError(
        f"{self.name}: claims {claimed:.3g} samples, more than {MAX_SAMPLES:.3g};"
        " damaged header, or split the file"
      )

  def _mix(self, block: np.ndarray) -> np.ndarray:
    """Returns the wanted channels of [n, channels], counted and checked."""
    self._frames += len(block)
    mixed = self._mixer.mix(block, self.rate, self.name)
    self._check_amount()
    return mixed

  def _check_amount(self) -> None:
    samples = self._frames * self._channels
    if samples > MAX_SAMPLES:
      raise AudioError(
        f"{self.name}: more than {MAX_SAMPLES:.3g} samples; split the file"
      )
    if samples > max(_NEVER_TOO_LARGE, MAX_EXPANSION * self._bytes):
      raise AudioError(
        f"{self.name}: {self._bytes} bytes unpack to more than {samples:.3g} samples,"
        " which only silence does; remove it"
      )

  def _seconds(self, frames: float | None = None) -> str:
    frames = self._frames if frames is None else frames
    return f"{frames / max(self.rate, 1):.1f}"

  def _compare(
    self, part: containers.Part, header: int, there: int, failure: Exception | None
  ) -> None:
    """Says what a part lacks of what its header claims, and refuses a failure.

    Args:
      part: the stretch of the file.
      header: frames that libsndfile says are there.
      there: frames that were read.
      failure: what ended the reading, where it ended before its time.

    Raises:
      AudioError: nothing was read before it ended.
    """
    if not self._frames and (part.missing or part.open_end):
      raise self._cut_off()
    known = 0 < header < _LENGTH_UNKNOWN
    claimed = part.samples or (header if known else there)
    if part.missing:
      claimed = there / (1 - part.missing)
    if failure and not self._frames:
      raise self._undecodable(
        first_line(failure).rstrip("."), "re-encode it as wav or flac, or remove it"
      )
    # An Ogg stream says how long it is at its end; without that nothing is claimed.
    if part.open_end and not failure:
      self._remark(
        f"cut short: the end of the stream is missing, {self._seconds(there)} s are"
        " there; what is there is used"
      )
    elif there < claimed - part.slack:
      short = (
        f"cut short: the header says {self._seconds(claimed)} s,"
        f" {self._seconds(there)} s are there"
      )
      reason = f" ({first_line(failure).rstrip('.')})" if failure else ""
      self._remark(f"{short}{reason}; what is there is used")
    elif failure:
      self._remark(
        f"what follows after {self._seconds()} s cannot be decoded"
        f" ({first_line(failure).rstrip('.')})"
      )
    elif there and (part.unknown or not known):
      self._remark(
        f"its header does not say how long it is; the {self._seconds(there)} s that"
        " are there are used"
      )
