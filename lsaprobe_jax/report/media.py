"""Sounds and images as data URIs, which a page carries in itself."""

import base64
import struct
import zlib

import numpy as np

from lsaprobe_jax import optional

# Told apart by colour-blind readers, and in grey.
_COLOURMAP = "magma"


def wav_uri(samples: np.ndarray, sample_rate: int) -> str:
  """A 16-bit WAV file.

  Args:
    samples: int16 [n], or [channels, n].
    sample_rate: in Hz.
  """
  channels = 1 if np.ndim(samples) == 1 else len(samples)
  frame = 2 * channels
  # A file has the channels of one time side by side.
  body = np.asarray(samples, "<i2").T.tobytes()
  head = struct.pack(
    "<4sI4s4sIHHIIHH4sI",
    *(b"RIFF", 36 + len(body), b"WAVE", b"fmt ", 16, 1, channels),
    *(sample_rate, frame * sample_rate, frame, 16, b"data", len(body)),
  )
  return "data:audio/wav;base64," + base64.b64encode(head + body).decode()


def png_uri(image: np.ndarray) -> str:
  """A spectrogram as a PNG of indexed colours.

  Args:
    image: uint8 [bands, frames], lowest band first; it is drawn at the bottom.
  """
  matplotlib = optional.require("matplotlib", "report")
  rows = np.asarray(image, np.uint8)[::-1]
  palette = matplotlib.colormaps[_COLOURMAP](np.arange(256), bytes=True)[:, :3]
  # Each line begins with the number of its filter; 0 is none.
  lines = np.pad(rows, ((0, 0), (1, 0)))
  height, width = rows.shape
  data = b"\x89PNG\r\n\x1a\n"
  data += _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
  data += _chunk(b"PLTE", palette.tobytes())
  data += _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
  data += _chunk(b"IEND", b"")
  return "data:image/png;base64," + base64.b64encode(data).decode()


def _chunk(kind: bytes, body: bytes) -> bytes:
  check = struct.pack(">I", zlib.crc32(kind + body))
  return struct.pack(">I", len(body)) + kind + body + check
