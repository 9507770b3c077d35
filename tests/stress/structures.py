"""Inputs whose structure is hostile, not their bytes; for the fuzzer.

A reader that survives flipped bits may still fall to a file that is well formed: nested
a million deep, sharing one part in a thousand places, claiming huge counts or sizes, or
overlapping itself. Every function makes one such file at random.
"""

import io
import json
import pickle
import struct
import zipfile
from typing import Any

import numpy as np

_NUMBERS = (0, -1, 0.5, 1e300, -1e300, 2**31, 2**63, 10**400, 5e-324, 20_000, 10**7)
_TEXTS = ("", "\x00", "\ud800", "a/" * 50_000, "=1+1", "\x1b[2J", "\u202e", "../../x")
_DTYPES = ("F32", "F16", "BF16", "F64", "I64", "BOOL", "F8_E4M3", "C64", "X1", "")


def _count(rng: np.random.Generator, most: int) -> int:
  """A whole number from 1 on, as often small as large."""
  return int(np.exp(rng.uniform(0, np.log(most))))


def json_value(rng: np.random.Generator) -> Any:
  """A value that a setting or a field of a row might be given."""
  match rng.integers(0, 7):
    case 0:
      return _NUMBERS[rng.integers(0, len(_NUMBERS))]
    case 1:
      return _TEXTS[rng.integers(0, len(_TEXTS))]
    case 2:
      return [0.0] * _count(rng, 100_000)
    case 3:
      return {f"k{i}": i for i in range(_count(rng, 10_000))}
    case 4:
      return [None, True, False][rng.integers(0, 3)]
    case 5:
      nested: Any = 1
      for _ in range(_count(rng, 900)):  # deeper, `json` itself gives up
        nested = [nested] if rng.random() < 0.5 else {"k": nested}
      return nested
    case _:
      return float(rng.choice([np.nan, np.inf, -np.inf]))


def json_text(tree: Any, rng: np.random.Generator) -> bytes:
  """Other values in the place of one to three of a tree, or nesting past all bounds."""
  if rng.random() < 0.1:
    depth = _count(rng, 200_000)
    opening, closing = ("[", "]") if rng.random() < 0.5 else ('{"k":', "}")
    return (opening * depth + "1" + closing * depth).encode()
  for _ in range(rng.integers(1, 4)):
    node = tree
    while isinstance(node, dict | list) and len(node):
      keys = list(node) if isinstance(node, dict) else list(range(len(node)))
      key = keys[rng.integers(0, len(keys))]
      if not isinstance(node[key], dict | list) or rng.random() < 0.2:
        node[key] = json_value(rng)
        break
      node = node[key]
  return json.dumps(tree).encode()


def safetensors(rng: np.random.Generator) -> bytes:
  """A safetensors file with a header that nothing wrote."""
  header: dict[str, Any] = {}
  size = 0
  for i in range(_count(rng, 2_000)):
    name = str(rng.choice([f"t{i}", f"t{i}/kernel", "a/" * _count(rng, 150_000) + "w"]))
    shape = [int(n) for n in rng.integers(0, 3, size=_count(rng, 6))]
    if rng.random() < 0.05:
      shape = [2**40] * _count(rng, 40) if rng.random() < 0.5 else [1] * 100_000
    count = int(np.prod(shape)) if len(shape) < 8 and max(shape) < 9 else 1
    begin = size if rng.random() < 0.9 else 0
    header[name] = {
      "dtype": str(rng.choice(_DTYPES)) if rng.random() < 0.1 else "F32",
      "shape": shape,
      "data_offsets": [begin, size + 4 * count],
    }
    size += 4 * count
    if len(name) > 1_000:
      break
  text = json.dumps(header).encode()
  numbers = rng.choice(np.array([1.0, np.nan, np.inf, 0.0], "<f4"), size=size // 4)
  claimed = len(text) if rng.random() < 0.9 else int(rng.integers(0, 2**62))
  return struct.pack("<Q", claimed) + text + numbers.astype("<f4").tobytes()


_END = b"."
_EMPTY_DICT, _SETITEM = b"}", b"s"
_ORDERED = b"ccollections\nOrderedDict\n)R"
_INT = b"K\x01"


def _nested(rng) -> bytes:
  """A tuple nested deep as a key, in one of several ways to set one."""
  deep = b")" + b"\x85" * _count(rng, 1_000_000)
  start = _ORDERED if rng.random() < 0.5 else _EMPTY_DICT
  match rng.integers(0, 4):
    case 0:
      return start + deep + _INT + _SETITEM
    case 1:
      return start + b"(" + deep + _INT + b"u"
    case 2:
      return b"\x8f(" + deep + b"\x90"  # a set
    case _:
      return start + b"X\x01\x00\x00\x00k" + deep + _SETITEM


def _shared(rng) -> bytes:
  """t = (t, t), doubled and doubled: as a key, a value or a persistent id."""
  # Kept in the memo and got again: PyTorch's own pickles do so.
  doubled = b")q\x00" + b"h\x00\x86q\x00" * _count(rng, 64)
  match rng.integers(0, 3):
    case 0:
      return _EMPTY_DICT + doubled + _INT + _SETITEM
    case 1:
      return _EMPTY_DICT + b"X\x01\x00\x00\x00k" + doubled + _SETITEM
    case _:
      return doubled + b"Q"


def _large_index(rng) -> bytes:
  """A place in the memo that a list would have to be as long as."""
  index = struct.pack("<I", _count(rng, 2**32 - 1))
  return _EMPTY_DICT + b"r" + index + b"0" + b"j" + index


def _large_number(rng) -> bytes:
  """An integer or a text of as many bytes as there are, or are not."""
  size = _count(rng, 2_000_000)
  claimed = size if rng.random() < 0.7 else _count(rng, 2**31 - 1)
  opcode = rng.choice([b"\x8b", b"X", b"B", b"T"])
  return (
    _EMPTY_DICT
    + b"X\x01\x00\x00\x00k"
    + bytes(opcode)
    + struct.pack("<I", claimed)
    + b"\x01" * size
    + _SETITEM
  )


def _tensor(rng) -> bytes:
  """A tensor with more dimensions, or other ones, than a tensor has."""
  storage = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
    b"X\x03\x00\x00\x00cpuK\x0ctQ"
  )
  count = _count(rng, 300_000)
  ones = b"(" + _INT * count + b"t"
  other = ones if rng.random() < 0.7 else b"(J" + struct.pack("<i", -1) + b"t"
  rebuilt = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + ones + other
  end = b"\x89" + _ORDERED + b"tR"
  return _EMPTY_DICT + b"X\x01\x00\x00\x00w" + rebuilt + end + _SETITEM


def _many(rng) -> bytes:
  """A great many small things, or marks that nothing ends."""
  count = _count(rng, 500_000)
  return bytes(rng.choice([b"}", b"(", b")", b"K\x01", b"]", b"\x8c\x00"])) * count


def torch_file(rng: np.random.Generator) -> bytes:
  """A PyTorch checkpoint whose pickle or archive is hostile."""
  made = (_nested, _shared, _large_index, _large_number, _tensor, _many)
  data = b"\x80\x02" + made[rng.integers(0, len(made))](rng) + _END
  numbers = np.arange(12, dtype="<f4").tobytes()
  if rng.random() < 0.15:
    return _overlapping(rng, _state_dict())
  if rng.random() < 0.2:
    return _legacy(data)
  archive = io.BytesIO()
  with zipfile.ZipFile(archive, "w") as file:
    file.writestr("archive/data.pkl", data)
    file.writestr("archive/data/0", numbers)
  return archive.getvalue()


def _state_dict() -> bytes:
  tensor = _tensor(np.random.default_rng(0))
  return b"\x80\x02" + tensor + _END


def _legacy(data: bytes) -> bytes:
  """The older format, whose fourth pickle is the checkpoint."""
  first = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
  return b"".join(pickle.dumps(item, 2) for item in first) + data


def _overlapping(rng, data: bytes) -> bytes:
  """An archive whose entries all lie in the same bytes."""
  size = _count(rng, 1 << 20)
  archive = io.BytesIO()
  with zipfile.ZipFile(archive, "w") as file:
    file.writestr("archive/data.pkl", data)
    file.writestr("archive/data/0", bytes(size))
    first = file.getinfo("archive/data/0")
    for i in range(1, _count(rng, 400)):
      twin = zipfile.ZipInfo(f"archive/data/{i}")
      twin.header_offset, twin.CRC = first.header_offset, first.CRC
      twin.compress_size = twin.file_size = size
      file.filelist.append(twin)
      file.NameToInfo[twin.filename] = twin
    file._didModify = True
  return archive.getvalue()
