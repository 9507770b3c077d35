"""Writes Ogg Vorbis files that are the same byte for byte every time."""

import pathlib
import struct

import numpy as np
import soundfile

COMPRESSION_LEVEL = 0.3
# libsndfile crashed when 300 s of Vorbis or more were written in one call.
_CHUNK_SECONDS = 60


def write(path, audio: np.ndarray, rate: int, *, serial: int) -> None:
  """Writes float [samples] in [-1, 1] as mono Ogg Vorbis.

  Args:
    path: the file to write.
    audio: float [samples].
    rate: Hz.
    serial: stream number in [0, 2**32). libsndfile draws one at random, which would
      give the file another hash at every build.
  """
  with soundfile.SoundFile(
    path,
    "w",
    samplerate=rate,
    channels=1,
    format="OGG",
    subtype="VORBIS",
    compression_level=COMPRESSION_LEVEL,
  ) as file:
    step = _CHUNK_SECONDS * rate
    for start in range(0, len(audio), step):
      file.write(audio[start : start + step])
  path = pathlib.Path(path)
  path.write_bytes(with_serial(path.read_bytes(), serial))


def with_serial(data: bytes, serial: int) -> bytes:
  """Renumbers every page of an Ogg stream's bytes, checksums included."""
  out, position = bytearray(data), 0
  while position < len(out):
    if out[position : position + 4] != b"OggS":
      raise ValueError(f"not an Ogg page at byte {position}")
    table = out[position + 27 : position + 27 + out[position + 26]]
    end = position + 27 + len(table) + sum(table)
    struct.pack_into("<I", out, position + 14, serial)
    struct.pack_into("<I", out, position + 22, 0)
    struct.pack_into("<I", out, position + 22, checksum(out[position:end]))
    position = end
  return bytes(out)


def _checksum_table() -> list[int]:
  table = []
  for value in range(256):
    crc = value << 24
    for _ in range(8):
      crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    table.append(crc & 0xFFFFFFFF)
  return table


_TABLE = _checksum_table()


def checksum(page: bytes) -> int:
  """Computes Ogg's CRC-32 (RFC 3533): not reflected, initial value 0."""
  crc = 0
  for byte in page:
    crc = ((crc << 8) & 0xFFFFFFFF) ^ _TABLE[(crc >> 24) ^ byte]
  return crc
