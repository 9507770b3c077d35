"""The streams in an MP3 file, found by walking its frames.

mpg123 believes the first frame: it decodes as many frames as a Xing header claims, and
where there is none it guesses a length from the first frames' bit rate. Two files in
one (`cat a.mp3 b.mp3`) lose the second so, and one of variable bit rate without a Xing
header most of itself. Here every stream is found, with the number of its frames.
"""

import dataclasses
import io
import struct

from lsaprobe_jax.data import splicing

_BIT_RATES = (
  (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
  (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_RATES = (44100, 48000, 32000)
# An encoder may count the frame that holds the Xing header, and write a frame more or
# less than it announced; two more hold its delay and padding.
SLACK_FRAMES = 3
# What follows the announced frames is another stream if it is longer than this.
_LEFTOVER_FRAMES = 8
_RESYNC = 1 << 16  # bytes searched at a time


@dataclasses.dataclass(frozen=True)
class _Header:
  """A frame of layer III: its four bytes, length in bytes, rate in Hz, samples."""

  raw: bytes
  length: int
  rate: int
  samples: int
  tag_at: int  # where a Xing header would stand

  def fits(self, other: "_Header | None") -> bool:
    """Returns whether `other` may be of the same stream."""
    return other is not None and (self.rate, self.samples) == (
      other.rate,
      other.samples,
    )


@dataclasses.dataclass(kw_only=True)
class Stream:
  """One stream of a file.

  Attributes:
    start: first byte, that of the Xing frame where there is one.
    end: behind the last byte.
    header: four bytes of the first frame.
    rate: Hz.
    samples: of a frame.
    frames: that are there, without the Xing frame.
    claimed: frames by the Xing header; None without one.
  """

  start: int
  end: int
  header: bytes
  rate: int
  samples: int
  frames: int = 0
  claimed: int | None = None

  def pieces(self) -> list[splicing.Piece]:
    """Returns the stream as a file of its own, with a Xing header of its length."""
    own = (self.start, self.end)
    if self.claimed is not None:
      return [own]
    return [_xing_frame(self.header, self.frames), own]


def streams(file: io.BufferedIOBase, size: int) -> list[Stream]:
  """Finds the streams of an MP3 file.

  Args:
    file: open for reading, and seekable.
    size: bytes of it.

  Returns:
    The streams in order; none where it is not layer III or of free bit rate, which are
    left to the decoder.
  """
  found: list[Stream] = []
  position, current = 0, None
  while position < size:
    file.seek(position)
    head = file.read(10)
    if skip := _tag_length(head, file, position):
      position += skip
      continue
    header = _parse(head[:4])
    if header is None or (current is None and not _confirmed(file, position, header)):
      position = _resync(file, position + 1, size)
      continue
    behind = position + header.length
    if behind > size:
      break  # The last frame is not whole.
    if not _confirmed(file, position, header) and not _is_tag(file, behind):
      # Cut off, and another stream begins where the rest of it should be?
      inside = _resync(file, position + 1, behind)
      if inside < behind:
        position = inside
        continue
    file.seek(position)
    tag, count = _announced(file.read(min(header.length, 200)), header)
    last = found[-1] if found else None
    if current is None or tag or not header.fits(current) or _is_full(last):
      last = Stream(
        start=position,
        end=position,
        header=header.raw,
        rate=header.rate,
        samples=header.samples,
        claimed=count,
      )
      found.append(last)
    current = header
    last.frames += not tag
    position = last.end = behind
  longest = max((stream.frames for stream in found), default=0)
  return [s for s in found if s.frames > min(_LEFTOVER_FRAMES, longest - 1)]


def _is_full(stream: Stream) -> bool:
  """Returns whether a stream has all frames that its header announced."""
  return bool(stream.claimed) and stream.frames >= stream.claimed


def _parse(head: bytes) -> _Header | None:
  """Returns a header of layer III, or None."""
  if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
    return None
  version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
  bits, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
  if version == 1 or layer != 1 or rate_index == 3 or bits in (0, 15):
    return None
  first = version == 3
  rate = _RATES[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
  bit_rate = 1000 * _BIT_RATES[not first][bits - 1]
  samples = 1152 if first else 576
  mono = head[3] >> 6 == 3
  side = (17 if mono else 32) if first else (9 if mono else 17)
  return _Header(
    raw=bytes(head),
    length=samples // 8 * bit_rate // rate + padding,
    rate=rate,
    samples=samples,
    tag_at=4 + side,
  )


def _confirmed(file, position: int, header: _Header) -> bool:
  """Returns whether a frame or the end follows: four bytes alone may be chance."""
  file.seek(position + header.length)
  following = file.read(4)
  return len(following) < 4 or header.fits(_parse(following))


def _resync(file, position: int, stop: int) -> int:
  """Finds the next place before `stop` at which a frame begins, or `stop`."""
  while position < stop:
    file.seek(position)
    count = min(_RESYNC, stop - position)
    # Three bytes more: a header may begin on the last of those searched.
    data = file.read(count + 3)
    at = data.find(b"\xff", 0, count)
    while at >= 0:
      header = _parse(data[at : at + 4])
      if header is not None and _confirmed(file, position + at, header):
        return position + at
      at = data.find(b"\xff", at + 1, count)
    position += count
  return stop


def _is_tag(file, position: int) -> bool:
  file.seek(position)
  return _tag_length(file.read(10), file, position) > 0


def _tag_length(head: bytes, file, position: int) -> int:
  """Counts the bytes of a tag that stands here instead of a frame; 0 without one."""
  if head[:3] == b"ID3" and len(head) == 10:
    a, b, c, d = (byte & 0x7F for byte in head[6:10])
    return 10 + (a << 21 | b << 14 | c << 7 | d)
  if head[:3] == b"TAG":
    return 128
  if head[:8] == b"APETAGEX":
    file.seek(position + 12)
    return 32 + int.from_bytes(file.read(4), "little")
  return 0


def _announced(frame: bytes, header: _Header) -> tuple[bool, int | None]:
  """Returns whether a frame is a Xing or VBRI header, and the frames it announces."""
  at = header.tag_at
  if frame[at : at + 4] in (b"Xing", b"Info"):
    flags, count = struct.unpack_from(">II", frame.ljust(at + 12, b"\0"), at + 4)
    return True, count if flags & 1 and count else None
  if frame[36:40] == b"VBRI":
    return True, struct.unpack_from(">I", frame.ljust(54, b"\0"), 50)[0] or None
  return False, None


def _xing_frame(raw: bytes, frames: int) -> bytes:
  """Makes a frame without sound that announces `frames` like that of header `raw`."""
  # No checksum, 128 kbit/s (80 in the lower rates): long enough for what it holds.
  head = bytes((0xFF, raw[1] | 1, 0x90 | raw[2] & 0x0C, raw[3]))
  header = _parse(head)
  body = head + bytes(header.tag_at - 4) + b"Xing" + struct.pack(">II", 1, frames)
  return body.ljust(header.length, b"\0")
