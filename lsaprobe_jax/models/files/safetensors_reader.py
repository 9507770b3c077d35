"""Reads the weights of a safetensors file, within limits.

The format cannot run code, but its header is JSON of any size: names, their number and
their nesting are bounded here before anything is made of them.
"""

import json
import os
import struct
from typing import Any

import ml_dtypes  # noqa: F401 - with it NumPy knows bfloat16, as safetensors expects
import numpy as np
from safetensors.numpy import load_file

from lsaprobe_jax.text import printable

# The largest published headers have some thousand tensors and less than a megabyte.
_MOST_HEADER_BYTES = 1 << 24
_MOST_TENSORS = 50_000
_LONGEST_NAME = 512
_MOST_PARTS = 32
_METADATA = "__metadata__"
_TYPES = ("F16", "BF16", "F32", "F64")


def read_header(path: str | os.PathLike) -> dict[str, dict[str, Any]]:
  """Returns type and shape by a tensor's name, without reading any.

  Raises:
    ValueError: it is no safetensors file, or lists what no model has.
    OSError: it cannot be read.
  """
  header = _header(path)
  header.pop(_METADATA, None)
  if len(header) > _MOST_TENSORS:
    raise ValueError(f"{len(header):,} tensors; {_MOST_TENSORS:,} are the most")
  for name, entry in header.items():
    if len(name) > _LONGEST_NAME or name.replace("/", ".").count(".") >= _MOST_PARTS:
      raise ValueError(
        f"a tensor's name has {len(name):,} letters and"
        f" {name.replace('/', '.').count('.') + 1:,} parts; {_LONGEST_NAME} and"
        f" {_MOST_PARTS} are the most ({printable(name[:40])}...)"
      )
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
      raise ValueError(f"no type of {printable(name)} in its header")
  return header


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
  """Returns the text that whoever wrote the file put into its header, by name.

  Raises:
    ValueError: it is no safetensors file, or has other things there.
    OSError: it cannot be read.
  """
  found = _header(path).get(_METADATA) or {}
  if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
    raise ValueError("metadata in its header that is not text by name")
  return found


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Returns all tensors, in the types that they have in the file.

  Raises:
    ValueError, OSError, SafetensorError: it cannot be read, or a tensor is not of
      floating-point numbers that NumPy has.
  """
  for name, entry in read_header(path).items():
    if entry["dtype"] not in _TYPES:
      raise ValueError(
        f"{printable(name)} is of type {printable(entry['dtype'])[:20]}, but weights"
        f" must be {', '.join(_TYPES[:-1])} or {_TYPES[-1]}; convert them to float32"
      )
  return load_file(path)


def _header(path: str | os.PathLike) -> dict[str, Any]:
  """Returns the JSON at the beginning of a file."""
  with open(path, "rb") as file:
    start = file.read(8)
    size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if size > _MOST_HEADER_BYTES:
      raise ValueError(f"a header of {size:,} bytes, which no safetensors file has")
    try:
      header = json.loads(file.read(size)) if size else None
    except RecursionError as error:
      raise ValueError("a header that is nested too deep") from error
  if not isinstance(header, dict):
    raise ValueError("no header of a safetensors file")
  return header


def check_nesting(names: list[str]) -> None:
  """Refuses a tensor that stands where others are nested, as a/b below a.

  Args:
    names: with parts between slashes.

  Raises:
    ValueError: names the lower one.
  """
  known = set(names)
  for name in names:
    parts = name.split("/")
    for count in range(1, len(parts)):
      if "/".join(parts[:count]) in known:
        raise ValueError(f"it has {printable(name)} below another tensor")
