"""The pickles inside PyTorch checkpoints, read as data and within limits of work.

A pickle is a program for a machine with a stack and a memory. The machine here knows
the instructions that `torch.save` writes and no others, resolves the few names that a
state dict needs, each to an inert stand-in, and hashes, compares and prints nothing
that it has not looked at: a few hundred bytes can describe a tuple of 2^60 parts. What
an instruction may cost is bounded by its own length, and their number by a limit.
"""

import pickle
from collections.abc import Sequence
from typing import Any, BinaryIO

from lsaprobe_jax.models.files._torch_names import (
  DTYPES,
  NUMPY_MODULES,
  Function,
  NumpyType,
  Storage,
  StorageType,
  UnsafeCheckpointError,
  latin1,
  numpy_scalar,
  numpy_type,
  rebuild_tensor,
)
from lsaprobe_jax.text import printable

# A tensor takes about 60 reads and 150 bytes of a pickle, so there is room for 30,000
# tensors: several times what published models and their optimisers have. All of it
# takes a second or two.
_MOST_READS = 2_000_000
MOST_BYTES = 1 << 26
_LONGEST_NAME = 512
_MOST_INTEGER_BYTES = 32
# Unlike text, integers hash to themselves, so that a file can choose keys that collide.
_MOST_INTEGER_KEYS = 10_000

# Protocol 2, in which torch.save writes unless told otherwise, and of the later ones
# what state dicts need. What builds sets, instances and extensions is not among them.
_INSTRUCTIONS = (
  *("PROTO", "FRAME", "STOP", "MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
  *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
  *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
  "INT",  # Python 2 writes integers beyond 32 bits as text
  *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
  *("BINBYTES", "SHORT_BINBYTES", "BINPERSID"),
  *("APPEND", "APPENDS", "SETITEM", "SETITEMS"),
  *("BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET"),
)


class OrderedDict(dict):
  """Stands in for `collections.OrderedDict`."""


class Metered:
  """A file that bounds how much, and how often, all pickles in it may read."""

  def __init__(self, file: BinaryIO):
    self._file = file
    self._reads = _MOST_READS
    self._bytes = MOST_BYTES

  def read(self, size: int) -> bytes:
    """Reads exactly so many bytes.

    Raises:
      EOFError: the file ends before.
      UnsafeCheckpointError: the limit is reached.
    """
    self._reads -= 1
    self._bytes -= size
    if self._reads < 0 or self._bytes < 0:
      raise UnsafeCheckpointError(
        f"refused: its pickle takes more than {_MOST_READS:,} steps or"
        f" {MOST_BYTES:,} bytes, as no state dict's does"
      )
    data = self._file.read(size)
    if len(data) < size:
      raise EOFError("it ends in the middle")
    return data

  def readline(self) -> bytes:
    """Reads one line, as names are written.

    Raises:
      UnsafeCheckpointError: the line is longer than any name.
    """
    line = self._file.readline(_LONGEST_NAME)
    self._reads -= 1
    self._bytes -= len(line)
    if not line.endswith(b"\n"):
      raise UnsafeCheckpointError("refused: its pickle has a name without an end")
    return line


class _Instructions(dict):
  """What the machine does, by instruction; refuses those that it does not know."""

  def __missing__(self, code):
    raise UnsafeCheckpointError(
      f"refused: its pickle has the instruction {bytes([code])!r}, which torch.save"
      " does not write"
    )


# Python's own, written in Python: the one in C hashes and recurses as a file tells it.
class Unpickler(pickle._Unpickler):
  """A pickle's machine that calls no code but ours.

  Attributes:
    storages: those that the pickle has named, by key.
  """

  dispatch = _Instructions(
    {
      getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
      for name in _INSTRUCTIONS
    }
  )

  def __init__(self, file: Metered):
    super().__init__(file, encoding="utf-8")
    self.storages: dict[str, Storage] = {}
    self._integer_keys = 0

  def find_class(self, module: str, name: str) -> Any:
    """Returns the stand-in for a name, or refuses it."""
    match module, name:
      case "collections", "OrderedDict":
        return Function(self._ordered_dict)
      case "torch._utils", "_rebuild_tensor_v2":
        return Function(rebuild_tensor)
      case "torch", _ if name in DTYPES:
        return StorageType(DTYPES[name])
      case "numpy", "dtype":
        return Function(numpy_type)
      case "_codecs", "encode":
        return Function(latin1)
      case _, "scalar" if module in NUMPY_MODULES:
        return Function(numpy_scalar)
    asked = printable(f"{module}.{name}")[:_LONGEST_NAME]
    raise UnsafeCheckpointError(
      f"refused: the pickle asks for '{asked}'; only tensors, dictionaries, lists,"
      " numbers and strings are read. If you trust the file, load it in PyTorch and"
      " save it again without that (arrays as lists, by .tolist())"
    )

  def persistent_load(self, pid: Any) -> Storage:
    """Returns the storage that a persistent id names."""
    if type(pid) is tuple and len(pid) in (5, 6):
      word, kind, key, device, size, *view = pid
      known = (
        all(type(text) is str for text in (word, key, device))
        and word == "storage"
        and len(key) <= _LONGEST_NAME
        and type(kind) is StorageType
        and type(size) is int
        and 0 <= size < 1 << 63
        and all(part is None for part in view)
      )
      if known:
        storage = self.storages.setdefault(key, Storage(kind.dtype, key, size))
        if storage.dtype == kind.dtype:
          return storage
    raise UnsafeCheckpointError("refused: a persistent id is not that of a storage")

  def _ordered_dict(self, pairs=()) -> OrderedDict:
    """Stands in for `OrderedDict()`, and for Python 2's, which is given pairs."""
    sequences = (list, tuple)
    if type(pairs) not in sequences or not all(
      type(pair) in sequences and len(pair) == 2 for pair in pairs
    ):
      raise UnsafeCheckpointError("refused: an OrderedDict is made of what is no pairs")
    made = OrderedDict()
    self._fill(made, [part for pair in pairs for part in pair])
    return made

  def _fill(self, target: Any, items: Sequence[Any]) -> None:
    """Sets keys and values, in turn, of a dictionary; looks at keys before hashing."""
    if type(target) not in (dict, OrderedDict) or len(items) % 2:
      raise UnsafeCheckpointError("refused: the pickle sets items of no dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
      if type(key) is int and -(1 << 63) <= key < 1 << 63:
        self._integer_keys += 1
      elif type(key) is not str:
        raise UnsafeCheckpointError(
          f"refused: a key of a dictionary is a {type(key).__name__}, neither text nor"
          " an integer"
        )
      if self._integer_keys > _MOST_INTEGER_KEYS:
        raise UnsafeCheckpointError(
          f"refused: its dictionaries have over {_MOST_INTEGER_KEYS:,} integer keys"
        )
      target[key] = value

  def _setitem(self):
    value, key = self.stack.pop(), self.stack.pop()
    self._fill(self.stack[-1], (key, value))

  def _setitems(self):
    items = self.pop_mark()
    self._fill(self.stack[-1], items)

  def _reduce(self):
    args = self.stack.pop()
    function = self.stack[-1]
    if type(function) is not Function or type(args) is not tuple:
      raise UnsafeCheckpointError("refused: the pickle calls what is no function")
    self.stack[-1] = function.call(*args)

  def _build(self):
    state = self.stack.pop()
    made = self.stack[-1]
    if type(made) is OrderedDict:
      return  # the attributes PyTorch hangs on it
    # Version, byte order, and what only compound dtypes have.
    if not (
      type(made) is NumpyType
      and type(state) is tuple
      and len(state) > 1
      and type(state[1]) is str
      and state[1] in "<|"
    ):
      raise UnsafeCheckpointError("refused: the pickle changes an object that is made")

  def _long(self):
    size = self.read(1)[0]
    if size > _MOST_INTEGER_BYTES:
      raise UnsafeCheckpointError(f"refused: an integer of {size} bytes")
    self.append(int.from_bytes(self.read(size), "little", signed=True))

  def _int(self):
    line = self.readline()
    if len(line) > _MOST_INTEGER_BYTES:
      raise UnsafeCheckpointError(f"refused: an integer of {len(line)} digits")
    self.append(int(line))

  def _frame(self):
    self.read(8)  # only says how far to read ahead

  def _remember(self, index: int) -> None:
    # In Python 2 they begin at 1.
    if index > len(self.memo) + 1:
      raise UnsafeCheckpointError(
        f"refused: the pickle's memory jumps from {len(self.memo)} to {index}"
      )
    self.memo[index] = self.stack[-1]

  dispatch |= {
    pickle.SETITEM[0]: _setitem,
    pickle.SETITEMS[0]: _setitems,
    pickle.REDUCE[0]: _reduce,
    pickle.BUILD[0]: _build,
    pickle.LONG1[0]: _long,
    pickle.INT[0]: _int,
    pickle.FRAME[0]: _frame,
    pickle.BINPUT[0]: lambda self: self._remember(self.read(1)[0]),
    pickle.LONG_BINPUT[0]: lambda self: self._remember(
      int.from_bytes(self.read(4), "little")
    ),
    pickle.MEMOIZE[0]: lambda self: self._remember(len(self.memo)),
  }
