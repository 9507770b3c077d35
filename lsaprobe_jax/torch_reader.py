"""Reads PyTorch checkpoints without PyTorch and without running their code.

A `.pt` file holds a pickle, and a pickle is a program: unpickling one from a
stranger can run anything. The reader here understands the pickle's structure but
resolves only the four kinds of names that a state dict needs, each to an inert
stand-in of its own, and refuses the file at the first other name. Both of PyTorch's
formats are read: the zip archive (since 1.6) and the older run of pickles.
"""

import dataclasses
import io
import math
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

# NumPy has no bfloat16: its 16 bits are read raw and widened, which is exact.
_BFLOAT16 = "bfloat16"
_DTYPES = {
  "DoubleStorage": "<f8",
  "FloatStorage": "<f4",
  "HalfStorage": "<f2",
  "BFloat16Storage": _BFLOAT16,
  "LongStorage": "<i8",
  "IntStorage": "<i4",
  "ShortStorage": "<i2",
  "CharStorage": "i1",
  "ByteStorage": "u1",
  "BoolStorage": "?",
  "ComplexFloatStorage": "<c8",
  "ComplexDoubleStorage": "<c16",
}
_SCALARS = (type(None), bool, int, float, complex, str, bytes)

# Numbers that tensors may repeat beyond those in their storages, and how many times
# over all tensors may read all storages.
_MOST_REPEATED = 1 << 20
_MOST_VIEWS = 4

# What a damaged file may raise on its way through the unpickler and the archive.
_UNREADABLE = (
  pickle.UnpicklingError,
  zipfile.BadZipFile,
  zlib.error,
  struct.error,
  EOFError,
  LookupError,
  OSError,
  ValueError,
  TypeError,
  AttributeError,
  OverflowError,
  MemoryError,
  RuntimeError,  # and those below it: too deep, not supported
)


class UnsafeCheckpointError(ValueError):
  """The checkpoint's pickle asks for something a state dict has no need of."""


def read_state_dict(
  source: str | os.PathLike | BinaryIO, *, select: str | None = None
) -> dict[str, Any]:
  """Reads a checkpoint written by `torch.save` as NumPy arrays.

  Args:
    source: path, or binary file that can seek.
    select: read only this entry of the checkpoint's outermost dictionary, such as
      "model"; tensors elsewhere (an optimiser's) are not loaded.

  Returns:
    The nested dictionaries, lists, tuples, numbers and strings of the checkpoint,
    with each tensor as a contiguous array that shares memory with no other. dtypes
    are kept, except that bfloat16 is widened to float32.

  Raises:
    UnsafeCheckpointError: if the pickle names anything but `OrderedDict`, tensors
      and their storages, or a tensor reaches outside its storage.
    ValueError: if the file is neither format, is truncated, or is not a dictionary.
    KeyError: if `select` is not there.
  """
  if isinstance(source, str | os.PathLike):
    with open(source, "rb") as file:
      return read_state_dict(file, select=select)
  name = getattr(source, "name", "checkpoint")
  try:
    tree, load = (_open_zip if zipfile.is_zipfile(source) else _open_legacy)(source)
    if not isinstance(tree, dict):
      raise ValueError(f"it holds a {type(tree).__name__}, not a dictionary")
    if select is None:
      return _resolve(tree, load)
    if select in tree:
      return _resolve(tree[select], load)
  except UnsafeCheckpointError as error:
    raise UnsafeCheckpointError(f"{name}: {error}") from error
  except _UNREADABLE as error:
    raise ValueError(f"{name}: not a readable PyTorch checkpoint: {error}") from error
  raise KeyError(f"{name}: no entry {select!r} among {sorted(map(str, tree))}")


class _Closed:
  """What a pickle may make but not change, neither by `__dict__` nor by attribute."""

  def __setstate__(self, state):
    raise UnsafeCheckpointError("refused: the pickle changes an object that is made")


@dataclasses.dataclass(frozen=True)
class _Storage(_Closed):
  """A promise of `size` numbers, found in the file under `key`."""

  dtype: str
  key: str
  size: int

  @property
  def itemsize(self) -> int:
    return 2 if self.dtype == _BFLOAT16 else np.dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True)
class _Tensor(_Closed):
  """A view of a storage, not yet loaded."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _StorageType(_Closed):
  """Stands in for `torch.FloatStorage` and its like."""

  dtype: str


class _OrderedDict(dict):
  """Stands in for `OrderedDict`; drops the attributes PyTorch hangs on it."""

  def __setstate__(self, state):
    del state


class _RebuildTensor(_Closed):
  """Stands in for `torch._utils._rebuild_tensor_v2`, and checks the bounds."""

  def __call__(self, storage, offset, shape, strides, *unused) -> _Tensor:
    del unused  # requires_grad, backward hooks, metadata
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(type(n) is int for n in numbers):
      raise UnsafeCheckpointError("a tensor is not built from a storage and integers")
    if min(numbers) < 0 or len(shape) != len(strides):
      raise UnsafeCheckpointError("a tensor has a negative or inconsistent layout")
    count = math.prod(shape)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if count and last >= storage.size:
      raise UnsafeCheckpointError("a tensor reaches outside its storage")
    # A stride of zero repeats numbers; without a limit a small file fills the memory.
    if count > max(storage.size, _MOST_REPEATED):
      raise UnsafeCheckpointError("a tensor is larger than its storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle.Unpickler):
  """An unpickler that knows four kinds of names and calls no code but ours."""

  def __init__(self, file: BinaryIO):
    super().__init__(file, encoding="utf-8")
    self.storages: dict[str, _Storage] = {}

  def find_class(self, module: str, name: str) -> Any:
    if (module, name) == ("collections", "OrderedDict"):
      return _OrderedDict
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
      return _RebuildTensor()
    if module == "torch" and name in _DTYPES:
      return _StorageType(_DTYPES[name])
    raise UnsafeCheckpointError(
      f"refused: the pickle asks for '{module}.{name}'; only tensors, dictionaries,"
      " lists, numbers and strings are read"
    )

  def persistent_load(self, pid: Any) -> _Storage:
    match pid:
      case ("storage", _StorageType(dtype), str(key), _, int(size), *view):
        storage = self.storages.setdefault(key, _Storage(dtype, key, size))
        if size >= 0 and view in ([], [None]) and storage.dtype == dtype:
          return storage
    raise UnsafeCheckpointError(f"refused: unknown persistent object {pid!r:.100}")


_Loader = Callable[[_Storage], bytes]


def _open_zip(file: BinaryIO) -> tuple[Any, _Loader]:
  """The tree and the loader of storages of a zip archive."""
  archive = zipfile.ZipFile(file)
  # PyTorch compresses nothing; what is compressed can unpack to anything.
  if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
    raise ValueError("its archive is compressed, as PyTorch's are not; save it again")
  pickles = [n for n in archive.namelist() if n.split("/")[1:] == ["data.pkl"]]
  if len(pickles) != 1:
    raise ValueError("a zip archive, but not a PyTorch checkpoint (no data.pkl)")
  root = pickles[0].removesuffix("data.pkl")
  order = root + "byteorder"
  if order in archive.namelist() and archive.read(order) != b"little":
    raise ValueError("written on a big-endian machine, which is not supported")

  def load(storage: _Storage) -> bytes:
    entry = archive.getinfo(f"{root}data/{storage.key}")
    if entry.file_size != storage.size * storage.itemsize:
      raise ValueError(f"storage {storage.key} has a wrong size")
    return archive.read(entry)

  return _Unpickler(io.BytesIO(archive.read(pickles[0]))).load(), load


def _open_legacy(file: BinaryIO) -> tuple[Any, _Loader]:
  """The tree and the loader of storages of the older format: pickles, then bytes."""
  file.seek(0)
  if _Unpickler(file).load() != _LEGACY_MAGIC:
    raise ValueError("not a PyTorch checkpoint")
  if _Unpickler(file).load() != _LEGACY_PROTOCOL:
    raise ValueError("an unknown version of PyTorch's older format")
  system = _Unpickler(file).load()
  if not isinstance(system, dict) or not system.get("little_endian", True):
    raise ValueError("written on a big-endian machine, which is not supported")
  unpickler = _Unpickler(file)
  tree = unpickler.load()
  starts = {}
  for key in _Unpickler(file).load():
    storage = unpickler.storages[key]
    (size,) = struct.unpack("<q", file.read(8))
    if size != storage.size:
      raise ValueError(f"storage {key} has {size} numbers, not {storage.size}")
    starts[key] = file.tell()
    file.seek(size * storage.itemsize, io.SEEK_CUR)

  def load(storage: _Storage) -> bytes:
    file.seek(starts[storage.key])
    return file.read(storage.size * storage.itemsize)

  return tree, load


def _resolve(tree: Any, load: _Loader) -> Any:
  """The tree with plain containers, and arrays in the place of tensors."""
  storages: dict[str, np.ndarray] = {}
  done: dict[int, Any] = {}  # by id: shared parts are resolved once
  open_ids: set[int] = set()
  # Numbers of all tensors made: each is a copy, and many can share a storage.
  made = 0

  def resolve(node: Any) -> Any:
    if isinstance(node, _SCALARS):
      return node
    if id(node) in open_ids:
      raise UnsafeCheckpointError("refused: a container contains itself")
    if id(node) not in done:
      open_ids.add(id(node))
      done[id(node)] = resolve_new(node)
      open_ids.remove(id(node))
    return done[id(node)]

  def resolve_new(node: Any) -> Any:
    match node:
      case _Tensor():
        nonlocal made
        key = node.storage.key
        if key not in storages:
          storages[key] = _decode(load(node.storage), node.storage)
        made += math.prod(node.shape)
        if made > _MOST_VIEWS * sum(map(len, storages.values())) + _MOST_REPEATED:
          raise UnsafeCheckpointError("its tensors are far larger than its storages")
        return _view(storages[key], node)
      case dict():
        if not all(isinstance(key, _SCALARS) for key in node):
          raise UnsafeCheckpointError("refused: a key is neither text nor number")
        return {key: resolve(value) for key, value in node.items()}
      case list() | tuple():
        return type(node)(map(resolve, node))
    raise UnsafeCheckpointError(f"refused: a {type(node).__name__} in the tree")

  return resolve(tree)


def _decode(data: bytes, storage: _Storage) -> np.ndarray:
  """The numbers of a storage."""
  if len(data) < storage.size * storage.itemsize:
    raise ValueError(f"truncated: storage {storage.key} is too short")
  if storage.dtype == _BFLOAT16:
    halves = np.frombuffer(data, "<u2", count=storage.size).astype(np.uint32)
    return (halves << 16).view(np.float32)
  return np.frombuffer(data, storage.dtype, count=storage.size)


def _view(numbers: np.ndarray, tensor: _Tensor) -> np.ndarray:
  """A contiguous copy of the tensor's part of its storage."""
  if not math.prod(tensor.shape):
    return np.zeros(tensor.shape, numbers.dtype)
  strides = [s * numbers.itemsize for s in tensor.strides]
  view = np.lib.stride_tricks.as_strided(
    numbers[tensor.offset :], tensor.shape, strides, writeable=False
  )
  return np.array(view, order="C")
