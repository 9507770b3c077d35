"""The files of a pipeline's part as diffusers and transformers save them.

Only JSON and safetensors are read, so nothing in the folder can run code. Weights may
lie in one file or in several that an index lists (`*.safetensors.index.json`), in full
or as a variant of less precision (`*.fp16.safetensors`).
"""

import pathlib
import re
from typing import Any

import numpy as np

from lsaprobe_jax import strict_json
from lsaprobe_jax.models.files import safetensors_reader, tensors
from lsaprobe_jax.text import printable

_MOST_JSON_BYTES = 1 << 24
_MOST_SHARDS = 1_000
_VARIANT = r"[A-Za-z]\w{0,19}"


def weight_patterns(part: str, stem: str) -> list[str]:
  """Returns patterns of the files that hold a part's weights, without variants."""
  return [f"{part}/{stem}.safetensors", f"{part}/{stem}-*-of-*.safetensors"]


def variant_patterns(part: str, stem: str) -> list[str]:
  """Returns patterns of the files that hold variants of a part's weights."""
  return [f"{part}/{stem}.*.safetensors", f"{part}/{stem}.*-*-of-*.safetensors"]


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Reads a JSON file that holds a table.

  Raises:
    ValueError: it is missing, too large or damaged; names it.
  """
  try:
    with path.open("rb") as file:
      data = file.read(_MOST_JSON_BYTES + 1)
    if len(data) > _MOST_JSON_BYTES:
      raise ValueError(f"over {_MOST_JSON_BYTES:,} bytes")
    found = strict_json.loads(data)
  except FileNotFoundError as error:
    raise ValueError(f"no {path.name} in {printable(path.parent)}") from error
  except ValueError as error:
    raise ValueError(f"{printable(path)} is damaged ({error})") from error
  if not isinstance(found, dict):
    raise ValueError(f"{printable(path)} is damaged (no table)")
  return found


def variant(folder: pathlib.Path, stem: str) -> str | None:
  """Returns the name of the one variant of a part's weights, `fp16` perhaps.

  Args:
    folder: of the part.
    stem: as of `read_weights`.

  Returns:
    None where full precision is there, or not exactly one variant.
  """
  full = (f"{stem}.safetensors", f"{stem}.safetensors.index.json")
  found = [*_variants(folder, stem).values()]
  if len(found) != 1 or any((folder / name).is_file() for name in full):
    return None
  return found[0]


def _variants(folder: pathlib.Path, stem: str) -> dict[pathlib.Path, str]:
  """The name of the variant that each file holds, or is the index of."""
  one = rf"({_VARIANT})\.safetensors"
  many = rf"safetensors\.index\.({_VARIANT})\.json"
  named = re.compile(rf"{re.escape(stem)}\.(?:{one}|{many})")
  there = sorted(path for path in folder.glob(f"{stem}*") if path.is_file())
  found = {path: named.fullmatch(path.name) for path in there}
  return {path: match[1] or match[2] for path, match in found.items() if match}


def read_weights(folder: pathlib.Path, stem: str) -> dict[str, np.ndarray]:
  """Reads the weights of a part.

  Full precision is read where it is there, and else the one variant that is.

  Args:
    folder: of the part.
    stem: `diffusion_pytorch_model`, or `model` as transformers names it.

  Raises:
    ValueError: there are none, there are several variants and no other weights, or a
      file is damaged or does not hold what its index says; names the file.
  """
  single, index = folder / f"{stem}.safetensors", f"{stem}.safetensors.index.json"
  if single.is_file():
    return _read_file(single)
  if (folder / index).is_file():
    return _read_shards(folder / index)
  found = [*_variants(folder, stem)]
  if len(found) > 1:
    raise ValueError(
      f"{printable(folder)} holds several variants of its weights"
      f" ({_listed([path.name for path in found])}) and no {single.name}; leave one"
    )
  if found:
    read = _read_shards if found[0].suffix == ".json" else _read_file
    return read(found[0])
  found = _listed([path.name for path in folder.glob("*") if path.suffix != ".json"])
  raise ValueError(
    f"no {single.name} in {printable(folder)} (found: {found or 'no weights'})."
    " Pickled weights are not read; where PyTorch is at hand, save the pipeline again"
    " with save_pretrained(folder, safe_serialization=True)"
  )


def _read_shards(index: pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the files that an index lists, each of which holds what it says."""
  where = read_json(index).get("weight_map")
  shown = printable(index)
  if not isinstance(where, dict) or not where:
    raise ValueError(f"{shown} is damaged (no weight_map)")
  names = {name for name in where.values() if isinstance(name, str)}
  # A name with a folder in it could be any file of the machine, and one of another kind
  # is not among the files that a conversion is known by.
  stem = re.escape(index.name.split(".", 1)[0])
  shard = re.compile(rf"{stem}(\.{_VARIANT})?-\d+-of-\d+\.safetensors")
  plain = all(map(shard.fullmatch, names))
  if not plain or not all(isinstance(name, str) for name in where.values()):
    raise ValueError(f"{shown} is damaged (its weight_map names no files beside it)")
  if len(names) > _MOST_SHARDS:
    raise ValueError(
      f"{shown} lists {len(names):,} files; {_MOST_SHARDS:,} are the most"
    )
  missing = sorted(name for name in names if not (index.parent / name).is_file())
  if missing:
    raise ValueError(
      f"{shown} lists {_listed(missing)}, which {_is(missing)} not there"
    )
  state: dict[str, np.ndarray] = {}
  for name in sorted(names):
    held = _read_file(index.parent / name)
    listed = {tensor for tensor, file in where.items() if file == name}
    if held.keys() != listed:
      raise ValueError(
        f"{printable(index.parent / name)} does not hold what {index.name} says:"
        f" missing {tensors.shortened(listed - held.keys())}, unexpected"
        f" {tensors.shortened(held.keys() - listed)}"
      )
    state |= held
  return state


def _read_file(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    return safetensors_reader.read_weights(path)
  # The library in Rust, NumPy and JSON: each raises errors of its own.
  except Exception as error:
    raise ValueError(f"{printable(path)} cannot be read ({error})") from error


def _is(names: list[str]) -> str:
  return "is" if len(names) == 1 else "are"


def _listed(names: list[str]) -> str:
  """Returns names of files for a message, ten of them."""
  more = [f"and {len(names) - 10:,} more"] if len(names) > 10 else []
  return ", ".join([printable(name) for name in sorted(names)[:10]] + more)
