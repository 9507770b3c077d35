"""Reading the config.json files that diffusers and transformers save."""

import reprlib
from collections.abc import Mapping
from typing import Any

from lsaprobe_jax.models import checks
from lsaprobe_jax.text import printable

# Published models have 3 or 4 resolutions, 5 stages of a vocoder and 21 layers at most.
_LONGEST_LIST = 16
_MOST_BLOCKS = 256
# These describe the files themselves, and training; nothing here depends on them.
_IGNORED = {
  "architectures",
  "dropout",
  "dtype",
  "force_upcast",
  "initializer_range",
  "model_type",
  "sample_size",
  "torch_dtype",
  "transformers_version",
}


def read(
  config: Mapping[str, Any],
  name: str,
  defaults: Mapping[str, Any],
  fixed: Mapping[str, tuple[Any, ...]],
  unread: frozenset[str] = frozenset(),
) -> dict[str, Any]:
  """Returns the settings that a module is built from, each of its default's type.

  Args:
    config: a config.json.
    name: what it configures, for messages.
    defaults: keys to read, and the originals' values where the file is silent. Whole
      numbers must be positive unless the default is 0; a default of None stands for a
      value that the caller checks.
    fixed: keys of which only these values are supported; the originals' default must
      be one of them.
    unread: keys that may hold anything, because nothing here depends on them.

  Returns:
    A value for each key of `defaults`; lists as tuples.

  Raises:
    ValueError: a value is not supported, or a key is not known and switched on.
  """
  checks.table(name, config, (), None)
  for key, value in config.items():
    if key in fixed and freeze(value) not in fixed[key]:
      known = ", ".join(map(repr, fixed[key]))
      shown = printable(reprlib.repr(value))
      raise ValueError(f"{name}: {key} = {shown} is not supported; known: {known}")
    known = any(key in keys for keys in (fixed, defaults, unread, _IGNORED))
    if not known and not key.startswith("_") and value not in (None, False):
      shown = printable(reprlib.repr(value))
      key = printable(key[:60])
      raise ValueError(f"{name}: the key {key} (= {shown}) is not known")
  found = {key: freeze(config.get(key, default)) for key, default in defaults.items()}
  for key, default in defaults.items():
    if key not in fixed:
      _check_like(f"{name}: {key}", found[key], default)
  return found


def _check_like(name: str, value: Any, default: Any) -> None:
  """Refuses a value that is not of a default's type and within its limits."""
  if isinstance(default, bool):
    if not isinstance(value, bool):
      checks.refuse(name, value, "true or false")
  elif isinstance(default, int):
    checks.whole(name, value, min(default, 1), checks.LARGEST)
  elif isinstance(default, float):
    checks.real(name, value, -checks.LARGEST, checks.LARGEST)
  elif isinstance(default, str):
    if not isinstance(value, str):
      checks.refuse(name, value, "a text")
  elif isinstance(default, tuple):
    if not isinstance(value, tuple) or not 1 <= len(value) <= _LONGEST_LIST:
      checks.refuse(name, value, f"a list of 1 to {_LONGEST_LIST} values")
    for part in value:
      _check_like(name, part, default[0])


def check_blocks(name: str, count: int, tensors: int | None) -> None:
  """Refuses more blocks than a network, or its weights, can hold.

  Args:
    name: of the network and of what its blocks come from, for messages.
    count: of blocks, each of which has a tensor or more.
    tensors: how many the weights hold; None where that is not known.

  Raises:
    ValueError: there are too many; building each takes milliseconds.
  """
  if tensors is not None and count > tensors:
    raise ValueError(
      f"{name} make {count:,} blocks, but the weights hold {tensors:,} tensors"
    )
  if count > _MOST_BLOCKS:
    raise ValueError(f"{name} make {count:,} blocks; {_MOST_BLOCKS} are the most")


def freeze(value: Any) -> Any:
  """Returns lists as tuples, all the way down, so that a module can be hashed."""
  return tuple(map(freeze, value)) if isinstance(value, list | tuple) else value


def check_agree(pairs: Mapping[str, tuple[Any, Any]]) -> None:
  """Refuses two sizes that must agree and do not, by what names them.

  Raises:
    ValueError: names the first pair that differs, with both.
  """
  for what, (one, other) in pairs.items():
    if one != other:
      raise ValueError(f"{what} must agree, but are {one} and {other}")


def require(condition: bool, name: str, key: str, value: Any, wanted: str) -> None:
  """Raises a ValueError that names the key, unless the condition holds."""
  if not condition:
    checks.refuse(f"{name}: {key}", value, wanted)
