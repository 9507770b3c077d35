"""Settings of a run: frozen dataclasses made from nested dicts, checked by rules.

A class of settings names its fields and their defaults, and `RULES`, what is wanted of
their values. `from_dict` takes what a configuration file or a JSON file holds, and
refuses unknown names and unusable values before anything is opened or scored.
"""

import copy
import dataclasses
import fnmatch
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.text import printable


@dataclasses.dataclass(frozen=True)
class Rule:
  """What is wanted of some settings.

  Attributes:
    names: dotted names, `*` stands for any part.
    holds: whether a value can be used; a sequence is asked item by item.
    wanted: what an error says.
  """

  names: tuple[str, ...]
  holds: Callable[[Any], bool]
  wanted: str


def is_number(value: Any) -> bool:
  """Whether a value is an integer or a float, and no bool."""
  return isinstance(value, int | float) and not isinstance(value, bool)


def whole(least: int, most: int, *names: str) -> Rule:
  """A rule for whole numbers from `least` to `most`."""
  is_whole = lambda value: isinstance(value, int) and not isinstance(value, bool)
  holds = lambda value: is_whole(value) and least <= value <= most
  return Rule(names, holds, f"at least {least} and at most {most}, a whole number")


def above(bound: float, most: float, *names: str) -> Rule:
  """A rule for numbers above `bound` and at most `most`."""
  holds = lambda value: is_number(value) and bound < value <= most
  return Rule(names, holds, f"above {bound:g} and at most {most:g}, a number")


def between(least: float, most: float, *names: str) -> Rule:
  """A rule for numbers from `least` to `most`."""
  holds = lambda value: is_number(value) and least <= value <= most
  return Rule(names, holds, f"at least {least:g} and at most {most:g}, a number")


def or_none(rule: Rule) -> Rule:
  """A rule that lets None pass too."""
  holds = lambda value: value is None or rule.holds(value)
  return dataclasses.replace(rule, holds=holds, wanted=f"{rule.wanted}, or None")


def saying(wanted: str, rule: Rule) -> Rule:
  """A rule with other words for what is wanted."""
  return dataclasses.replace(rule, wanted=wanted)


def one_of(choices: tuple[str, ...], *names: str) -> Rule:
  """A rule for one of a few words."""
  return Rule(names, lambda value: value in choices, f"one of {', '.join(choices)}")


def true_or_false(*names: str) -> Rule:
  """A rule for flags."""
  return Rule(names, lambda value: isinstance(value, bool), "True or False")


def a_name(*names: str) -> Rule:
  """A rule for text that is not empty, and for sequences of it."""
  holds = lambda value: isinstance(value, str) and value != ""
  return Rule(names, holds, "a name")


def check(values: Mapping[str, Any], rules: tuple[Rule, ...]) -> None:
  """Refuses settings that cannot be used, by their own values.

  Args:
    values: nested dicts of settings; a rule for what is not there says nothing.
    rules: see `Rule`.

  Raises:
    SettingError: `NAME=VALUE: what is wanted`, for the first that cannot be used.
  """
  for name, value in _leaves(values):
    named = f"{name}={_shown(value)}"
    if isinstance(value, float) and not math.isfinite(value):
      raise SettingError(f"{named}: a finite number")
    if isinstance(value, int) and value.bit_length() > 63:
      raise SettingError(f"{named}: an integer of at most 63 bits")
    for rule in rules:
      matches = any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.names)
      if matches and not rule.holds(value):
        raise SettingError(f"{named}: {rule.wanted}")


def check_once(name: str, values: Sequence[Any]) -> None:
  """Refuses a sequence in which something stands twice.

  Raises:
    SettingError: it begins with the name.
  """
  twice = next((x for i, x in enumerate(values) if x in values[:i]), None)
  if twice is not None:
    raise SettingError(
      f"{name}: {_shown(twice)} stands there twice; give each once, and a flag once, as"
      " one that is repeated adds to it"
    )


class Settings:
  """What all classes of settings share; they are frozen keyword-only dataclasses.

  A field that is a `Settings` class itself is a table of its own. A field that is a
  `Mapping` holds any names.
  """

  RULES: ClassVar[tuple[Rule, ...]] = ()
  # Dotted names of sequences: what they name twice would be done twice.
  ONCE: ClassVar[tuple[str, ...]] = ()

  @classmethod
  def from_dict(cls, values: Mapping[str, Any]) -> Self:
    """Makes settings of nested dicts and checks them.

    Args:
      values: by name; what is not named has its default.

    Raises:
      SettingError: an unknown name, a table where a value is wanted or the other way
        round, a value that `RULES` refuse, or one that stands twice in a sequence of
        `ONCE`; it begins with the dotted name.
    """
    made = cls._build(values, "")
    check(made._nested(), cls.RULES)
    for name in cls.ONCE:
      check_once(name, functools.reduce(getattr, name.split("."), made))
    return made

  @classmethod
  def _build(cls, values: Any, name: str) -> Self:
    if not isinstance(values, Mapping):
      named = f"{name or 'settings'}={_shown(values)}"
      raise SettingError(f"{named}: a table of settings is wanted")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    inside = f"{name}." if name else ""
    if unknown := [key for key in values if key not in fields]:
      raise SettingError(
        f"{inside}{printable(unknown[0])}: there is no such setting; known:"
        f" {', '.join(fields)}"
      )
    missing = [
      key
      for key, field in fields.items()
      if key not in values
      and field.default is dataclasses.MISSING
      and field.default_factory is dataclasses.MISSING
    ]
    if missing:
      raise SettingError(f"{inside}{missing[0]}: is not given")
    made = {
      key: _field(fields[key].type, value, f"{inside}{key}")
      for key, value in values.items()
    }
    return cls(**made)

  def to_dict(self) -> dict[str, Any]:
    """The settings as nested dicts of JSON's values; tuples become lists."""
    return json.loads(json.dumps(self._nested(), default=str))

  def _nested(self) -> dict[str, Any]:
    """The settings as nested dicts of whatever values they are."""
    fields = dataclasses.fields(self)
    values = {field.name: getattr(self, field.name) for field in fields}
    return {
      name: value._nested() if isinstance(value, Settings) else value
      for name, value in values.items()
    }

  def changed(self, changes: Mapping[str, Any]) -> Self:
    """The settings with some of them changed, checked anew.

    Args:
      changes: nested dicts, or dotted names; tables are merged, values replaced.

    Raises:
      SettingError: see `from_dict`.
    """
    values = copy.deepcopy(self.to_dict())
    for name, value in changes.items():
      *tables, last = name.split(".")
      inner = values
      for i, table in enumerate(tables):
        inner = inner.get(table) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
          raise SettingError(
            f"{'.'.join(tables[: i + 1])}: there is no such table of settings"
          )
      merge(inner, {last: value})
    return type(self).from_dict(values)


def merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
  """Changes nested dicts in place: tables are merged, other values are replaced."""
  for name, value in changes.items():
    if isinstance(value, Mapping) and isinstance(values.get(name), dict):
      merge(values[name], value)
    else:
      values[name] = plain(value)


def plain(value: Any) -> Any:
  """A copy in plain dicts of any mappings, ConfigDicts among them."""
  if isinstance(value, Mapping) or hasattr(value, "to_dict"):
    items = value.to_dict() if hasattr(value, "to_dict") else value
    return {key: plain(item) for key, item in items.items()}
  if isinstance(value, list | tuple):
    return tuple(plain(item) for item in value)
  return value


def _field(kind: Any, value: Any, name: str) -> Any:
  if isinstance(kind, type) and issubclass(kind, Settings):
    return kind._build(value, name)
  if isinstance(value, Mapping):
    if getattr(kind, "__origin__", kind) is not Mapping:
      raise SettingError(f"{name}: a value is wanted, not a table of settings")
    return plain(value)
  if getattr(kind, "__origin__", kind) is Mapping:
    raise SettingError(f"{name}={_shown(value)}: a table of settings is wanted")
  if isinstance(value, list):
    return tuple(value)
  if getattr(kind, "__origin__", kind) is tuple and not isinstance(value, tuple):
    raise SettingError(f"{name}={_shown(value)}: a sequence is wanted")
  return value


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
  """Dotted names of settings and their values; each item of a sequence by its name."""
  if isinstance(value, Mapping):
    for key, item in value.items():
      yield from _leaves(item, f"{name}.{key}" if name else str(key))
  elif isinstance(value, list | tuple):
    for item in value:
      yield from _leaves(item, name)
  else:
    yield name, value


def _shown(value: Any) -> str:
  try:
    return f"{printable(value):.60}"
  except ValueError:  # An integer of more digits than Python prints.
    return "(an endless integer)"
