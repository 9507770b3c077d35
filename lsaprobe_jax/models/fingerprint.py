"""A hash of what a pytree computes with, as far as it can be seen."""

import dataclasses
import functools
import hashlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.dtype)
# What changes no score, and what flax keeps of where a module stands.
_NOT_COUNTED = ("rematerialise",)
_OF_MODULES = ("parent", "name")


def fingerprint(tree: Any) -> str:
  """Returns the sha256 of a pytree's arrays and settings, the same in every process.

  What two models, attacks or distances have of arrays, numbers, text and types tells
  them apart. Of a function counts what it is called and what it holds: what it closes
  over, defaults, the arguments of a partial, the object of a method. Its code does not
  count, so that an edit of it is not seen, nor what an object holds that is no
  dataclass. Whether a model rematerialises changes no score, and does not count either.

  Args:
    tree: a pytree; its leaves are arrays or numbers.
  """
  digest = hashlib.sha256()
  for part in _parts(tree, frozenset()):
    digest.update(part)
  return digest.hexdigest()


def _parts(value: Any, around: frozenset[int]) -> Iterator[bytes]:
  """What counts of a value, piece by piece; `around` are the objects that hold it."""
  if isinstance(value, _PLAIN):
    yield f"{value!r}\n".encode("utf-8", "surrogatepass")
    return
  if isinstance(value, (jax.Array, np.ndarray, np.generic)):
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(
      value.dtype, jax.dtypes.prng_key
    ):
      value = jax.random.key_data(value)
    array = np.asarray(value)
    yield f"{array.dtype} {array.shape}\n".encode()
    yield array.tobytes() if array.dtype != object else b""
    return
  if isinstance(value, (type, types.ModuleType, types.FunctionType)):
    named = getattr(value, "__qualname__", value.__name__)
    yield f"{getattr(value, '__module__', '')} {named}\n".encode()
  else:
    yield f"{type(value).__module__} {type(value).__qualname__}\n".encode()
  if id(value) in around:  # A function that calls itself.
    return
  within = around | {id(value)}
  if isinstance(value, (set, frozenset)):
    yield b"".join(sorted(b"".join(_parts(item, within)) for item in value))
    return
  for item in _held(value):
    yield from _parts(item, within)


def _held(value: Any) -> list[Any]:
  """What an object holds that counts, in an order of its own."""
  if isinstance(value, type):
    return []
  if isinstance(value, Mapping):
    return [part for item in value.items() for part in item]
  if isinstance(value, (tuple, list)):
    return list(value)
  if isinstance(value, types.FunctionType):
    cells = [cell.cell_contents for cell in value.__closure__ or () if _is_full(cell)]
    return [*cells, value.__defaults__, value.__kwdefaults__]
  if isinstance(value, functools.partial):
    return [value.func, value.args, value.keywords]
  if isinstance(value, types.MethodType):
    return [value.__func__, value.__self__]
  if dataclasses.is_dataclass(value):
    left_out = _NOT_COUNTED + (_OF_MODULES if isinstance(value, nn.Module) else ())
    names = [field.name for field in dataclasses.fields(value)]
    return [getattr(value, name) for name in names if name not in left_out]
  if wrapped := getattr(value, "__wrapped__", None):  # Of jax.jit.
    return [wrapped]
  # A class of somebody's own that JAX knows as a pytree.
  parts = jax.tree.leaves(value, is_leaf=lambda part: part is not value)
  if len(parts) == 1 and parts[0] is value:
    return []
  return [jax.tree.structure(value).node_data()[1], *parts]


def _is_full(cell: Any) -> bool:
  """Whether a closure's variable has a value yet."""
  try:
    cell.cell_contents  # noqa: B018
  except ValueError:
    return False
  return True
