"""A hash of all that a pytree computes with: arrays, settings, functions."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

# Where Python keeps a function, which is elsewhere in every process.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def fingerprint(tree: Any) -> str:
  """Returns the sha256 of a pytree's arrays and static fields.

  Two models, attacks or distances with the same fingerprint give the same scores. Of a
  function counts its code, and the arrays that it closes over. Whether a model
  rematerialises changes no score, and does not count.

  Args:
    tree: a pytree; its leaves are arrays or numbers.
  """
  if hasattr(tree, "rematerialise"):
    tree = tree.replace(rematerialise=None)
  digest = hashlib.sha256()
  for part in _parts(tree, set()):
    digest.update(part)
  return digest.hexdigest()


def _parts(tree: Any, seen: set[int]) -> Iterator[bytes]:
  leaves, structure = jax.tree.flatten(tree)
  for value in _static(structure):
    yield from _described(value, seen)
  for leaf in leaves:
    if callable(leaf) and not hasattr(leaf, "shape"):
      yield from _described(leaf, seen)
      continue
    array = np.asarray(leaf)
    yield f"{array.dtype} {array.shape}\n".encode()
    yield array.tobytes()


def _static(structure: Any) -> Iterator[Any]:
  """Types of all nodes, and the values of their static fields."""
  if data := structure.node_data():
    kind, fields = data
    yield kind.__qualname__
    yield from fields if isinstance(fields, (tuple, list)) else (fields,)
  for child in structure.children():
    yield from _static(child)


def _described(value: Any, seen: set[int]) -> Iterator[bytes]:
  """A static value; of a function, its code and what it holds."""
  yield _ADDRESS.sub("", repr(value)).encode() + b"\n"
  code = getattr(value, "__code__", None)
  if code is None or id(value) in seen:
    return
  seen.add(id(value))
  yield code.co_code
  yield _ADDRESS.sub("", repr(code.co_consts)).encode()
  held = [cell.cell_contents for cell in value.__closure__ or () if _is_full(cell)]
  yield from _parts([*held, value.__defaults__, value.__kwdefaults__], seen)


def _is_full(cell: Any) -> bool:
  """Whether a closure's variable has a value yet."""
  try:
    cell.cell_contents  # noqa: B018
  except ValueError:
    return False
  return True
