"""Sound files read in order, into buffers of which only what was filled is used.

`soundfile.SoundFile.blocks` yields its buffer whole after a short read, with whatever
memory held before in the rest: other music, if another file was decoded last. `read`
seeks after each block, upon which the MP3 decoder begins anew and gives other samples.
Neither happens here: nothing is sought, and a read says how much it filled.
"""

import os
import stat
from collections.abc import Iterator, Sequence

import numpy as np
import soundfile

from lsaprobe_jax.data import splicing
from lsaprobe_jax.data.border import AudioError

BLOCK_SAMPLES = 1 << 20  # of all channels, yielded at a time
# Frames of one call. Where a decoder fails, what this call had read is not used.
_STEP = 4096


class Sound(soundfile.SoundFile):
  """A sound file that is read in order; soundfile does not seek between reads."""

  def seekable(self) -> bool:
    """Returns False, whatever the file can do."""
    return False


def opened(path, name: str, max_bytes: int):
  """Opens a plain file for reading in bytes.

  Raises:
    AudioError: missing, empty, too large, or no plain file.
    OSError: it cannot be opened.
  """
  try:
    # A pipe may have nothing to read, ever.
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
  except (FileNotFoundError, NotADirectoryError) as error:
    raise AudioError(f"{name}: no such file; check the path") from error
  found, reason = os.fstat(number), None
  if not stat.S_ISREG(found.st_mode):
    folder = stat.S_ISDIR(found.st_mode)
    reason = f"{'a folder' if folder else 'no plain file'}; check the path"
  elif found.st_size == 0:
    reason = "empty file (0 bytes); copy or download it again"
  elif found.st_size > max_bytes:
    reason = f"larger than {max_bytes >> 30} GiB; split the file"
  if reason:
    os.close(number)
    raise AudioError(f"{name}: {reason}")
  return os.fdopen(number, "rb")


def sound(file, pieces: Sequence[splicing.Piece] | None = None) -> Sound:
  """Opens libsndfile at the beginning of a file, or of some pieces of it.

  Without pieces it reads by the file's own descriptor, so that `file` does not know any
  more where it is: read from it by position afterwards, or not at all.
  """
  if pieces:
    return Sound(splicing.Spliced(file, pieces))
  # Not by name: names may be anything, and libsndfile guesses formats from them.
  os.lseek(file.fileno(), 0, os.SEEK_SET)
  return Sound(file.fileno(), closefd=False)


def blocks(sound: Sound) -> Iterator[np.ndarray | Exception]:
  """Yields float32 [n, channels] as far as reads filled it; a failure comes last."""
  size = max(BLOCK_SAMPLES // sound.channels, _STEP)
  failure, ended = None, False
  while not ended:
    block, count = np.empty((size, sound.channels), np.float32), 0
    while count < size:
      try:
        read = len(sound.read(out=block[count : count + _STEP]))
      except soundfile.SoundFileError as error:
        failure, read = error, 0
      count += read
      if not read:
        ended = True
        break
    if count:
      yield block[:count]
  if failure:
    yield failure
