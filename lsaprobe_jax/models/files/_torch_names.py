"""What stands in for the few names that a PyTorch state dict needs: inert, and checked.

Each stand-in takes exactly what `torch.save` gives its original and refuses anything
else, without hashing, comparing or printing it.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

_MOST_DIMENSIONS = 64
# Numbers that one tensor may repeat beyond those in its storage.
MOST_REPEATED = 1 << 20

# NumPy has no bfloat16: its 16 bits are read raw and widened, which is exact.
BFLOAT16 = "bfloat16"
DTYPES = {
  "DoubleStorage": "<f8",
  "FloatStorage": "<f4",
  "HalfStorage": "<f2",
  "BFloat16Storage": BFLOAT16,
  "LongStorage": "<i8",
  "IntStorage": "<i4",
  "ShortStorage": "<i2",
  "CharStorage": "i1",
  "ByteStorage": "u1",
  "BoolStorage": "?",
  "ComplexFloatStorage": "<c8",
  "ComplexDoubleStorage": "<c16",
}
_NUMPY_TYPES = (
  "b1",
  *(f"i{n}" for n in (1, 2, 4, 8)),
  *(f"u{n}" for n in (1, 2, 4, 8)),
)
_NUMPY_TYPES += ("f2", "f4", "f8")
NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")


class UnsafeCheckpointError(ValueError):
  """The checkpoint's pickle asks for something a state dict has no need of."""


@dataclasses.dataclass(frozen=True, eq=False)
class Storage:
  """A promise of `size` numbers, found in the file under `key`."""

  dtype: str
  key: str
  size: int

  @property
  def itemsize(self) -> int:
    """Bytes a number."""
    return 2 if self.dtype == BFLOAT16 else np.dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
  """A view of a storage, not yet loaded; its bounds have been checked."""

  storage: Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class StorageType:
  """Stands in for `torch.FloatStorage` and its like."""

  dtype: str


@dataclasses.dataclass(frozen=True, eq=False)
class NumpyType:
  """Stands in for a dtype of NumPy's, of numbers only."""

  code: str


@dataclasses.dataclass(frozen=True, eq=False)
class Function:
  """Stands in for a function that a pickle may call: one of ours."""

  call: Callable


def rebuild_tensor(storage, offset, shape, strides, *unused) -> Tensor:
  """Stands in for `torch._utils._rebuild_tensor_v2`, and checks the bounds."""
  del unused  # requires_grad, backward hooks, metadata
  if not type(shape) is type(strides) is tuple or len(shape) != len(strides):
    raise UnsafeCheckpointError("a tensor has a negative or inconsistent layout")
  if len(shape) > _MOST_DIMENSIONS:
    raise UnsafeCheckpointError(
      f"a tensor has {len(shape):,} dimensions; {_MOST_DIMENSIONS} are the most"
    )
  numbers = (offset, *shape, *strides)
  if type(storage) is not Storage or not all(type(n) is int for n in numbers):
    raise UnsafeCheckpointError("a tensor is not built from a storage and integers")
  if min(numbers) < 0:
    raise UnsafeCheckpointError("a tensor has a negative or inconsistent layout")
  count = math.prod(shape)
  last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
  if count and last >= storage.size:
    raise UnsafeCheckpointError("a tensor reaches outside its storage")
  # A stride of zero repeats numbers; without a limit a small file fills the memory.
  if count > max(storage.size, MOST_REPEATED):
    raise UnsafeCheckpointError("a tensor is larger than its storage")
  return Tensor(storage, offset, shape, strides)


def numpy_type(code, *unused) -> NumpyType:
  """Stands in for `numpy.dtype`."""
  del unused  # align, copy
  if type(code) is not str or code not in _NUMPY_TYPES:
    raise UnsafeCheckpointError("refused: a NumPy type that is not of real numbers")
  return NumpyType(code)


def numpy_scalar(kind, data) -> bool | int | float:
  """Stands in for a scalar of NumPy's: the plain number that it holds."""
  if type(kind) is not NumpyType or type(data) is not bytes:
    raise UnsafeCheckpointError("refused: a NumPy scalar is not built from bytes")
  dtype = np.dtype(f"<{kind.code}")
  if len(data) != dtype.itemsize:
    raise UnsafeCheckpointError("refused: a NumPy scalar has a wrong size")
  return np.frombuffer(data, dtype)[0].item()


def latin1(text, encoding) -> bytes:
  """Stands in for `_codecs.encode`, by which protocol 2 writes bytes."""
  if type(text) is not str or type(encoding) is not str or encoding != "latin1":
    raise UnsafeCheckpointError("refused: bytes are not written as protocol 2 does")
  return text.encode("latin1")
