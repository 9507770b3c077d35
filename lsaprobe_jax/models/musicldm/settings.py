"""Reading the config.json files that diffusers and transformers save."""

from collections.abc import Mapping
from typing import Any

# Of the files themselves, and of training: nothing here depends on them.
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
) -> dict[str, Any]:
  """The settings that a module is built from.

  Args:
    config: a config.json.
    name: what it configures, for messages.
    defaults: keys to read, and the originals' values where the file is silent.
    fixed: keys of which only these values are supported; the originals' default must
      be one of them.

  Returns:
    A value for each key of `defaults`; lists as tuples.

  Raises:
    ValueError: a value is not supported, or a key is not known and switched on.
  """
  for key, value in config.items():
    if key in fixed and freeze(value) not in fixed[key]:
      known = ", ".join(map(repr, fixed[key]))
      raise ValueError(f"{name}: {key} = {value!r} is not supported; known: {known}")
    known = key in fixed or key in defaults or key in _IGNORED or key.startswith("_")
    if not known and value not in (None, False):
      raise ValueError(f"{name}: the key {key} (= {value!r}) is not known")
  return {key: freeze(config.get(key, default)) for key, default in defaults.items()}


def freeze(value: Any) -> Any:
  """Lists as tuples, all the way down, so that a module can be hashed."""
  return tuple(map(freeze, value)) if isinstance(value, list | tuple) else value


def require(condition: bool, name: str, key: str, value: Any, wanted: str) -> None:
  """Raises a ValueError that names the key, unless the condition holds."""
  if not condition:
    raise ValueError(f"{name}: {key} = {value!r} is not supported; it must be {wanted}")
