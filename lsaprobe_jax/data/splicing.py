"""A file seen through a list of its pieces, with bytes put between them."""

import io
from collections.abc import Sequence

# Bytes that stand in the result, or (start, end) of the file.
Piece = bytes | tuple[int, int]


class Spliced(io.RawIOBase):
  """Pieces of a file, read as if they were one file; nothing is copied.

  A header whose length is wrong is corrected so, and a stream cut out of its file.
  """

  def __init__(self, file: io.BufferedIOBase, pieces: Sequence[Piece]):
    """Sees `file` through `pieces`.

    Args:
      file: open for reading, and kept open.
      pieces: in the order in which they are read.
    """
    super().__init__()
    self._file = file
    self._pieces = []
    self._size = 0
    for piece in pieces:
      length = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
      self._pieces.append((self._size, length, piece))
      self._size += length
    self._position = 0

  def readable(self) -> bool:
    """Returns True."""
    return True

  def seekable(self) -> bool:
    """Returns True."""
    return True

  def tell(self) -> int:
    """Returns the position of the next byte."""
    return self._position

  def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
    """Moves to a position; see `io.IOBase.seek`."""
    base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
    self._position = max(base[whence] + offset, 0)
    return self._position

  def readinto(self, buffer) -> int:
    """Fills `buffer` as far as there is something, and returns how far."""
    view, filled = memoryview(buffer).cast("B"), 0
    for begin, length, piece in self._pieces:
      inside = self._position - begin
      if filled == len(view) or not 0 <= inside < length:
        continue
      count = min(len(view) - filled, length - inside)
      if isinstance(piece, bytes):
        data = piece[inside : inside + count]
      else:
        self._file.seek(piece[0] + inside)
        data = self._file.read(count)
      view[filled : filled + len(data)] = data
      filled += len(data)
      self._position += len(data)
      if len(data) < count:
        break
    return filled
