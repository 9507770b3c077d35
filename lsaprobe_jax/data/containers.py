"""What the headers of WAV, AIFF, AU, CAF, W64 and Ogg say of the length of the audio.

libsndfile takes what is there and does not say what is missing. A file that was cut
claims more than it holds; one that was never closed, or written to a pipe, claims
nothing. Both are told here, and how the file must be seen to be read whole.
"""

import dataclasses
import io
import struct

from lsaprobe_jax.data import splicing, vorbis

# Writers to a pipe leave all ones, or nearly the most that a signed number holds.
_UNKNOWN_32 = 0x7FFF0000
_UNKNOWN_64 = 1 << 62
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_MAX_CHUNKS = 10_000
_MAX_BLOCK = 1 << 14  # bytes; larger ones are of damaged headers
# Bytes of a block of a channel.
_AU_BLOCKS = {23: 60, 25: 45, 26: 75}  # G.721 and G.723: 120 samples
_AIFC_BLOCKS = {b"ima4": 34, b"GSM ": 33, b"agsm": 33}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
  """A stretch of a file that is decoded by itself.

  Attributes:
    pieces: how it is seen; None for the file as it is.
    missing: share of the audio by the header that is not there, in [0, 1).
    unknown: the header does not say how long it is.
    open_end: the stream has no end, so that it is cut.
    samples: frames that its header claims, or that are there; None if not known.
    slack: samples by which it may fall short: a codec's delay and padding.
  """

  pieces: tuple[splicing.Piece, ...] | None = None
  missing: float = 0.0
  unknown: bool = False
  open_end: bool = False
  samples: int | None = None
  slack: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Data:
  """Where a header has the length of its audio: the field, and what it says."""

  field: int
  format: str
  claimed: int
  start: int
  extra: int = 0  # bytes that the field counts beside the audio
  align: int = 1  # bytes of a block, of which no part can be decoded


def chunk_part(file: io.BufferedIOBase, size: int) -> Part:
  """Compares the audio of a file made of chunks with what its header says.

  Args:
    file: open for reading, and seekable.
    size: bytes of it.
  """
  data = _find_data(file, size)
  if data is None:
    return Part()
  there, claimed = size - data.start, data.claimed - data.extra
  wide = struct.calcsize(data.format) == 8
  unknown = claimed > (_UNKNOWN_64 if wide else _UNKNOWN_32) or claimed < 0
  if claimed == 0 and there > 0 and not _is_chunk(file, data.start, size):
    unknown = True
  if not unknown and claimed <= there:
    # What follows the audio is none of it, and a block that is not whole is no block.
    if claimed <= 0 or claimed % data.align == 0:
      return Part()
    there = claimed
  whole = there == claimed
  if there <= 0:
    return Part()
  # The rest of a block that is cut libsndfile decodes from what it read before.
  there -= there % data.align
  # An odd length it takes for a byte more, as another block, unless it is said even.
  even = there + there % 2 if data.align > 1 else there
  length = struct.pack(data.format, even + data.extra)
  behind = data.field + len(length)
  pieces = ((0, data.field), length, (behind, data.start + there))
  if unknown:
    return Part(pieces=pieces, unknown=True)
  return Part(pieces=pieces, missing=0.0 if whole else 1 - there / claimed)


def _is_chunk(file, at: int, size: int) -> bool:
  """Returns whether another chunk stands here, so that the audio's may be empty."""
  file.seek(at)
  head = file.read(8)
  if len(head) < 8 or not (head[:4].isascii() and head[:4].decode().isprintable()):
    return False
  lengths = (int.from_bytes(head[4:], order) for order in ("little", "big"))
  return any(length and at + 8 + length <= size + 1 for length in lengths)


def _find_data(file, size: int) -> _Data | None:
  file.seek(0)
  head = file.read(40)
  if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
    return _riff(file, size, ">" if head[:4] == b"RIFX" else "<", head)
  if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
    return _riff(file, size, ">", head)
  if head[:4] in (b".snd", b"dns.") and len(head) >= 24:
    order = ">" if head[:4] == b".snd" else "<"
    start, claimed, coding = struct.unpack_from(f"{order}III", head, 4)
    align = _AU_BLOCKS.get(coding, 1)
    return _Data(field=8, format=f"{order}I", claimed=claimed, start=start, align=align)
  if head[:4] == b"caff":
    return _caf(file, size)
  if head[:4] == b"riff" and head[24:28] == b"wave":
    return _w64(file, size)
  return None


def _riff(file, size: int, order: str, head: bytes) -> _Data | None:
  """Finds the audio in RIFF and AIFF: four letters, 32 bits, a body of even length."""
  wanted = b"SSND" if head[:4] == b"FORM" else b"data"
  long_field, align, at = None, 1, 12
  for _ in range(_MAX_CHUNKS):
    file.seek(min(at, size))
    chunk = file.read(8)
    if len(chunk) < 8:
      return None
    name, length = chunk[:4], struct.unpack(f"{order}I", chunk[4:])[0]
    if name == b"COMM":
      common = file.read(22).ljust(22, b"\0")
      align = _AIFC_BLOCKS.get(common[18:], 1) * max(common[1], 1)
    if name == b"fmt ":
      align = struct.unpack(f"{order}12xH", file.read(14).ljust(14, b"\0"))[0]
      align = align if 0 < align <= _MAX_BLOCK else 1
    if name == b"ds64":
      long_field = at + 16  # behind the size of the whole
    if name == wanted:
      if long_field and length == 0xFFFFFFFF:
        file.seek(long_field)
        claimed = int.from_bytes(file.read(8), "little")
        return _Data(
          field=long_field, format="<Q", claimed=claimed, start=at + 8, align=align
        )
      # An AIFF's begins with an offset and a block size.
      extra = 8 if wanted == b"SSND" else 0
      return _Data(
        field=at + 4,
        format=f"{order}I",
        claimed=length,
        start=at + 8 + extra,
        extra=extra,
        align=align,
      )
    at += 8 + length + length % 2
  return None


def _caf(file, size: int) -> _Data | None:
  at = 8
  for _ in range(_MAX_CHUNKS):
    # Beyond the end, as a damaged length has it, there may be nowhere to seek.
    file.seek(min(at, size))
    chunk = file.read(12)
    if len(chunk) < 12:
      return None
    length = struct.unpack(">q", chunk[4:])[0]
    if chunk[:4] == b"data":
      # It begins with a count of edits.
      return _Data(field=at + 4, format=">q", claimed=length, start=at + 16, extra=4)
    if length < 0:
      return None
    at += 12 + length
  return None


def _w64(file, size: int) -> _Data | None:
  at = 40
  for _ in range(_MAX_CHUNKS):
    file.seek(min(at, size))
    chunk = file.read(24)
    if len(chunk) < 24:
      return None
    length = int.from_bytes(chunk[16:], "little")
    if chunk[:16] == _W64_DATA:
      return _Data(field=at + 16, format="<Q", claimed=length, start=at + 24, extra=24)
    at += max(length + -length % 8, 24)
  return None


def ogg_parts(file: io.BufferedIOBase, size: int) -> list[Part]:
  """Finds the links of an Ogg file, one behind the other, each with its beginning.

  Args:
    file: open for reading, and seekable.
    size: bytes of it.
  """
  links: list[tuple[int, int, bool]] = []  # start, end, whether its end is there
  at, beginning, rest = 0, False, b""
  while at < size:
    file.seek(at)
    head = file.read(27)
    if head[:4] != b"OggS" or len(head) < 27:
      break
    table = file.read(head[26])
    end = at + 27 + len(table) + sum(table)
    if len(table) < head[26]:
      break
    first, last = bool(head[5] & 2), bool(head[5] & 4)
    if end > size:
      body = file.read(sum(table))
      file.seek(links[-1][0] + 28 if links else size)
      opus = file.read(8) == b"OpusHead"
      rest = b"" if first else _whole_packets(head, table, body, opus=opus)
      break
    # Several streams that run beside each other all begin before any goes on.
    if not links or (first and not beginning):
      links.append((at, end, last))
    beginning = first
    links[-1] = (links[-1][0], end, last)
    at = end
  if len(links) == 1 and links[0][1] == size:
    return [Part(open_end=not links[0][2])]
  parts = [
    Part(pieces=((start, end),), open_end=not ended) for start, end, ended in links
  ]
  if rest and not links[-1][2]:
    start, end, _ = links[-1]
    parts[-1] = Part(pieces=((start, end), rest), open_end=True)
  return parts or [Part()]


def _whole_packets(head: bytes, table: bytes, body: bytes, *, opus: bool) -> bytes:
  """Returns a page with the whole packets of one that was cut; b'' if none is."""
  there, whole = 0, 0
  for number, length in enumerate(table):
    there += length
    if there > len(body):
      break
    if length < 255:  # a packet ends
      whole = number + 1
  if not whole:
    return b""
  kept = table[:whole]
  page = bytearray(head[:26] + bytes([whole]) + kept + body[: sum(kept)])
  page[5] &= ~4  # not the end of the stream
  if opus:
    # A page says at which sample it ends, and Opus takes the beginning from that.
    lost = sum(length < 255 for length in table[whole:]) * _opus_samples(body)
    end = struct.unpack_from("<q", page, 6)[0]
    struct.pack_into("<q", page, 6, max(end - lost, 0))
  page[22:26] = bytes(4)
  page[22:26] = struct.pack("<I", vorbis.checksum(bytes(page)))
  return bytes(page)


def _opus_samples(packet: bytes) -> int:
  """Counts samples at 48 kHz of an Opus packet by its first bytes (RFC 6716, 3.1)."""
  kind, code = packet[0] >> 3, packet[0] & 3
  if kind < 12:  # SILK
    frame = (480, 960, 1920, 2880)[kind % 4]
  elif kind < 16:  # hybrid
    frame = (480, 960)[kind % 2]
  else:  # CELT
    frame = (120, 240, 480, 960)[kind % 4]
  if code < 3:
    return frame * (1, 2, 2)[code]
  return frame * (packet[1] & 63 if len(packet) > 1 else 1)
