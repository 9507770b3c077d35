"""Changes to real files of every kind that this project reads, for the fuzzer."""

import json
import math
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np

from configs import mini
from lsaprobe_jax.data import manifest as manifests
from lsaprobe_jax.models import checkpoints
from tests.stress import structures
from tests.stress.specimens import CONFIG, ROWS, SOUND

KINDS = (*SOUND, "manifest", "records", "model", "weights")
KINDS += ("network", "pipeline", "torch", "config", "rows", "workdir")
# A sound of this name is the beginning of the real file and nothing else.
CUT = "cut"

_EXTREMES = (
  b"\x00" * 4,
  b"\xff" * 4,
  b"\x7f\xff\xff\xff",
  b"\xff\xff\xff\x7f",
  b"\x80",
)
_JSON = (
  "null",
  "-1",
  "1e999",
  "1e308",
  '""',
  "[]",
  "{}",
  "true",
  "99999999999999999999",
)
# What a flag can be given, by the type of its setting.
_SETTINGS = {
  bool: (False, True),
  int: (-1, 0, 1, 3, 10**9, 10**18),
  float: (-1.0, 0.0, 0.5, 1e-300, 1e300, math.nan, math.inf),
  str: (
    "",
    "x",
    "/dev/null",
    "\x00",
    "x" * 5000,
    "all",
    "mel",
    "cdpam",
    "linf",
    "bisection",
  ),
}


def mutate(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
  """One to four changes to a file's bytes, half of them within its first 128."""
  if data[:1] in (b"{", b"[") and rng.random() < 0.7:
    if rng.random() < 0.3:
      return structures.json_text(json.loads(data), rng)
    return _mutate_json(data, rng)
  return _mutate_bytes(data, others, rng)


def _mutate_bytes(data: bytes, others: Sequence[bytes], rng) -> bytes:
  data = bytearray(data)
  for _ in range(rng.integers(1, 5)):
    near = len(data) if rng.random() < 0.5 else min(len(data), 128)
    at = int(rng.integers(0, max(near, 1)))
    match rng.integers(0, 8):
      case 0 | 1:
        if data:
          data[at] ^= 1 << int(rng.integers(0, 8))
      case 2 | 3:
        value = _EXTREMES[rng.integers(0, len(_EXTREMES))]
        data[at : at + len(value)] = value
      case 4:
        del data[at:]
      case 5:
        other = others[rng.integers(0, len(others))]
        cut = int(rng.integers(0, len(other)))
        data[at:] = other[cut : cut + len(data)]
      case 6:
        data[at : at + 64] = rng.bytes(64)
      case 7:
        if rng.random() < 0.1:
          return b"" if rng.random() < 0.5 else rng.bytes(2000)
        data[at:at] = data[at : at + int(rng.integers(1, 64))]
  return bytes(data)


def _mutate_json(data: bytes, rng: np.random.Generator) -> bytes:
  """Another value in the place of one, or a key that is gone: valid JSON still."""
  tree = json.loads(data)
  node = tree
  while True:
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = keys[rng.integers(0, len(keys))]
    below = node[key]
    if not isinstance(below, dict | list) or not below or rng.random() < 0.2:
      break
    node = below
  if rng.random() < 0.2:
    del node[key]
  else:
    node[key] = json.loads(_JSON[rng.integers(0, len(_JSON))])
  return json.dumps(tree).encode()


def _change_settings(changes: dict, rng: np.random.Generator) -> dict:
  """One to three settings of configs/mini.py more, each of its own type."""
  settings = _flat(json.loads(mini.get_config().to_json_best_effort()))
  # `untrained` compiles: minutes on a busy core, which would count as a hang.
  names = [name for name in settings if name != "untrained"]
  for name in rng.choice(names, size=rng.integers(1, 4), replace=False):
    value = settings[name]
    one = value[0] if isinstance(value, list) else value
    values = _SETTINGS[type(one)]
    new = values[rng.integers(0, len(values))]
    if isinstance(value, list):
      new = [new] * int(rng.integers(0, 3))
    changes[str(name)] = new
  return changes


def _flat(tree: dict, prefix: str = "") -> dict:
  """Dotted name -> value of nested dicts."""
  flat = {}
  for name, value in tree.items():
    nested = isinstance(value, dict)
    flat |= _flat(value, f"{prefix}{name}.") if nested else {prefix + name: value}
  return flat


def _chosen(kind: str, path: pathlib.Path, rng: np.random.Generator) -> pathlib.Path:
  """The file of a folder of this kind that is changed."""
  if kind in ("records", "pipeline", "workdir"):
    parts = sorted(file for file in path.rglob("*") if file.is_file())
    return parts[rng.integers(0, len(parts))]
  names = {
    "manifest": manifests.FILENAME,
    "model": checkpoints.MODEL_FILE,
    "network": checkpoints.MODEL_FILE,
    "rows": ROWS,
  }
  return path / names.get(kind, checkpoints.WEIGHTS_FILE)


def _mutate_lines(data: bytes, others, rng: np.random.Generator) -> bytes:
  """One line of JSON changed, or the file as any other."""
  if rng.random() < 0.3:
    return _mutate_bytes(data, others, rng)
  lines = data.splitlines(keepends=True)
  at = rng.integers(0, len(lines))
  lines[at] = mutate(lines[at].rstrip(b"\n"), others, rng) + b"\n"
  return b"".join(lines)


def write_input(
  seeds: pathlib.Path, folder: pathlib.Path, kind: str, rng: np.random.Generator
) -> pathlib.Path:
  """Writes a mutated file, or folder with one, and returns what is to be read."""
  if kind == "config":
    changes = json.loads((seeds / kind / CONFIG).read_text())
    path = folder / CONFIG
    path.write_text(json.dumps(_change_settings(changes, rng)))
    return path
  files = [path for path in sorted(seeds.rglob("*")) if path.is_file()]
  others = [path.read_bytes() for path in files]
  if kind in SOUND and rng.random() < 0.3:
    whole = (seeds / kind).read_bytes()
    path = folder / f"{CUT}.{kind}"
    path.write_bytes(whole[: int(rng.integers(1, len(whole)))])
    return path
  if kind in SOUND or kind == "torch":
    path = folder / f"input.{kind}"
    if kind == "torch" and rng.random() < 0.5:
      path.write_bytes(structures.torch_file(rng))
    else:
      path.write_bytes(mutate((seeds / kind).read_bytes(), others, rng))
    return path
  path = shutil.copytree(seeds / kind, folder / kind, dirs_exist_ok=True)
  file = _chosen(kind, path, rng)
  if kind == "weights" and rng.random() < 0.3:
    file.write_bytes(structures.safetensors(rng))
  elif kind == "rows":
    file.write_bytes(_mutate_lines(file.read_bytes(), others, rng))
  else:
    file.write_bytes(mutate(file.read_bytes(), others, rng))
  if kind == "weights":
    # A hash that fits, or nothing behind that check would ever be reached.
    record = json.loads((path / checkpoints.MODEL_FILE).read_text())
    record["weights_sha256"] = manifests.sha256(file)
    (path / checkpoints.MODEL_FILE).write_text(json.dumps(record))
  return path
