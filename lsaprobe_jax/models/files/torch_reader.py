"""Reads PyTorch checkpoints without PyTorch and without running their code.

A `.pt` file holds a pickle, and a pickle is a program: unpickling one from a
stranger can run anything. The reader here understands the pickle's structure but
resolves only the few kinds of names that a state dict needs, each to an inert
stand-in of its own, and refuses the file at the first other name
(`_torch_pickle.py`, `_torch_names.py`). Both of PyTorch's formats are read: the zip
archive (since 1.6) and the older run of pickles. Work has a limit, and memory is
bounded by the file's own size.
"""

import io
import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from lsaprobe_jax.models.files import _torch_names, _torch_pickle
from lsaprobe_jax.models.files._torch_names import (
  Storage,
  Tensor,
  UnsafeCheckpointError,
)
from lsaprobe_jax.models.files.tensors import shortened
from lsaprobe_jax.text import printable

__all__ = ["UnsafeCheckpointError", "read_state_dict"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_SCALARS = (type(None), bool, int, float, str, bytes)

# How many times over all tensors may read all storages.
_MOST_VIEWS = 4
_DEEPEST = 100
# Values of the whole tree, those that are shared counted wherever they stand: others
# will walk through it.
_MOST_VALUES = 3_000_000
# A zip's list of members may have so many; that of 100,000 tensors takes 10 MB.
_MOST_DIRECTORY_BYTES = 1 << 24
# What stands before a member's bytes, less its name.
_HEADER_BYTES = 30
_LONGEST_MESSAGE = 500


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
    are kept, except that bfloat16 is widened to float32. NumPy's scalars are plain
    numbers.

  Raises:
    UnsafeCheckpointError: if the pickle names anything but `OrderedDict`, tensors,
      their storages and NumPy's scalars, a tensor reaches outside its storage, or
      there is more work in the file than in any state dict.
    ValueError: if the file is neither format, is truncated, or is not a dictionary.
    KeyError: if `select` is not there.
  """
  if isinstance(source, str | os.PathLike):
    with open(source, "rb") as file:
      return read_state_dict(file, select=select)
  name = printable(getattr(source, "name", "checkpoint"))
  try:
    tree, load = (_open_zip if zipfile.is_zipfile(source) else _open_legacy)(source)
    if not isinstance(tree, dict):
      raise ValueError(f"it holds a {type(tree).__name__}, not a dictionary")
    if select is None:
      return _Resolver(load)(tree)
    if select in tree:
      return _Resolver(load)(tree[select])
  except UnsafeCheckpointError as error:
    raise UnsafeCheckpointError(f"{name}: {error}") from error
  # A damaged file may raise almost anything on its way through unpickler and archive.
  except Exception as error:
    said = printable(error)[:_LONGEST_MESSAGE] or type(error).__name__
    raise ValueError(f"{name}: not a readable PyTorch checkpoint: {said}") from error
  raise KeyError(f"{name}: no entry {select!r} among {shortened(tree)}")


_Loader = Callable[[Storage], bytes]


def _open_zip(file: BinaryIO) -> tuple[Any, _Loader]:
  """Returns the tree and the loader of storages of a zip archive."""
  archive = open_archive(file)
  pickles = [n for n in archive.namelist() if n.split("/")[1:] == ["data.pkl"]]
  if len(pickles) != 1:
    raise ValueError("a zip archive, but not a PyTorch checkpoint (no data.pkl)")
  root = pickles[0].removesuffix("data.pkl")
  order = root + "byteorder"
  if order in archive.namelist() and archive.read(order) != b"little":
    raise ValueError("written on a big-endian machine, which is not supported")
  if archive.getinfo(pickles[0]).file_size > _torch_pickle.MOST_BYTES:
    raise ValueError("its pickle is far larger than that of any state dict")

  def load(storage: Storage) -> bytes:
    entry = archive.getinfo(f"{root}data/{storage.key}")
    if entry.file_size != storage.size * storage.itemsize:
      raise ValueError(f"storage {storage.key} has a wrong size")
    return archive.read(entry)

  pickled = _torch_pickle.Metered(io.BytesIO(archive.read(pickles[0])))
  return _torch_pickle.Unpickler(pickled).load(), load


def open_archive(file: BinaryIO) -> zipfile.ZipFile:
  """Opens a zip of which no two members share a name or a byte.

  Raises:
    BadZipFile: it is none.
    ValueError: it is compressed, overlaps or lists far more than any checkpoint.
  """
  # As ZipFile itself, which would read a list of any length: [5] is that in bytes.
  if zipfile._EndRecData(file)[5] > _MOST_DIRECTORY_BYTES:
    raise ValueError("its archive lists more members than any checkpoint has")
  archive = zipfile.ZipFile(file)
  members = sorted(archive.infolist(), key=lambda member: member.header_offset)
  # PyTorch compresses nothing; what is compressed can unpack to anything.
  if any(
    member.compress_type != zipfile.ZIP_STORED
    or member.compress_size != member.file_size
    for member in members
  ):
    raise ValueError("its archive is compressed, as PyTorch's are not; save it again")
  if len(set(archive.namelist())) < len(members):
    raise UnsafeCheckpointError("refused: two members of its archive share a name")
  end = 0
  for member in members:
    if member.header_offset < end:
      raise UnsafeCheckpointError("refused: members of its archive overlap")
    end = member.header_offset + _HEADER_BYTES + member.file_size
  if end > file.seek(0, os.SEEK_END):
    raise ValueError("truncated: its archive's members are larger than the file")
  return archive


def _open_legacy(file: BinaryIO) -> tuple[Any, _Loader]:
  """Returns the tree and the loader of the older format: pickles, then bytes."""
  whole = file.seek(0, os.SEEK_END)
  file.seek(0)
  if file.read(1) != pickle.PROTO:
    raise ValueError("it has neither of PyTorch's formats, zip archive or pickles")
  file.seek(0)
  metered = _torch_pickle.Metered(file)
  unpickle = lambda: _torch_pickle.Unpickler(metered).load()
  if unpickle() != _LEGACY_MAGIC:
    raise ValueError("not a PyTorch checkpoint")
  if unpickle() != _LEGACY_PROTOCOL:
    raise ValueError("an unknown version of PyTorch's older format")
  system = unpickle()
  if not isinstance(system, dict) or not system.get("little_endian", True):
    raise ValueError("written on a big-endian machine, which is not supported")
  unpickler = _torch_pickle.Unpickler(metered)
  tree = unpickler.load()
  keys = unpickle()
  if type(keys) is not list or not all(type(key) is str for key in keys):
    raise UnsafeCheckpointError("refused: its list of storages is none")
  starts = {}
  for key in keys:
    storage = unpickler.storages[key]
    (size,) = struct.unpack("<q", file.read(8))
    if size != storage.size:
      raise ValueError(f"storage {key} has {size} numbers, not {storage.size}")
    starts[key] = file.tell()
    if starts[key] + size * storage.itemsize > whole:
      raise ValueError(f"truncated: storage {key} is too short")
    file.seek(size * storage.itemsize, io.SEEK_CUR)

  def load(storage: Storage) -> bytes:
    file.seek(starts[storage.key])
    return file.read(storage.size * storage.itemsize)

  return tree, load


class _Resolver:
  """Plain containers for a pickle's tree, with arrays in the place of tensors."""

  def __init__(self, load: _Loader):
    self._load = load
    self._storages: dict[str, np.ndarray] = {}
    # By id, with how many values there are in it: shared parts are resolved once.
    self._done: dict[int, tuple[Any, int]] = {}
    # Numbers of all tensors made, and of their storages: each tensor is a copy, and
    # many can share a storage.
    self._made = 0
    self._stored = 0

  def __call__(self, tree: Any) -> Any:
    return self._resolve(tree, 0)[0]

  def _resolve(self, node: Any, depth: int) -> tuple[Any, int]:
    if type(node) in _SCALARS:
      return node, 1
    if depth > _DEEPEST:
      raise UnsafeCheckpointError(
        f"refused: a container contains itself, or is nested over {_DEEPEST} deep"
      )
    if id(node) not in self._done:
      self._done[id(node)] = self._resolve_new(node, depth)
    return self._done[id(node)]

  def _resolve_new(self, node: Any, depth: int) -> tuple[Any, int]:
    kind = type(node)
    if kind is Tensor:
      return self._array(node), 1
    if kind not in (dict, _torch_pickle.OrderedDict, list, tuple):
      raise UnsafeCheckpointError(f"refused: a {kind.__name__.strip('_')} in the tree")
    keyed = isinstance(node, dict)
    parts = node.values() if keyed else node
    values, counts = [], 1
    for part in parts:
      value, count = self._resolve(part, depth + 1)
      values.append(value)
      counts += count
      if counts > _MOST_VALUES:
        raise UnsafeCheckpointError(
          f"refused: unfolded it has more than {_MOST_VALUES:,} values"
        )
    return (dict(zip(node, values, strict=True)) if keyed else kind(values)), counts

  def _array(self, tensor: Tensor) -> np.ndarray:
    key = tensor.storage.key
    if key not in self._storages:
      self._storages[key] = _decode(self._load(tensor.storage), tensor.storage)
      self._stored += len(self._storages[key])
    self._made += math.prod(tensor.shape)
    if self._made > _MOST_VIEWS * self._stored + _torch_names.MOST_REPEATED:
      raise UnsafeCheckpointError("its tensors are far larger than its storages")
    return _view(self._storages[key], tensor)


def _decode(data: bytes, storage: Storage) -> np.ndarray:
  """Returns the numbers of a storage."""
  if len(data) < storage.size * storage.itemsize:
    raise ValueError(f"truncated: storage {storage.key} is too short")
  if storage.dtype == _torch_names.BFLOAT16:
    halves = np.frombuffer(data, "<u2", count=storage.size).astype(np.uint32)
    return (halves << 16).view(np.float32)
  return np.frombuffer(data, storage.dtype, count=storage.size)


def _view(numbers: np.ndarray, tensor: Tensor) -> np.ndarray:
  """Returns a contiguous copy of the tensor's part of its storage."""
  if not math.prod(tensor.shape):
    return np.zeros(tensor.shape, numbers.dtype)
  strides = [s * numbers.itemsize for s in tensor.strides]
  view = np.lib.stride_tricks.as_strided(
    numbers[tensor.offset :], tensor.shape, strides, writeable=False
  )
  return np.array(view, order="C")
