"""Rules for settings, and their check: the helpers that tables of rules are made of.

A rule names settings by their dotted names, with `*` for any part of one, and says what
is wanted of their values. Where a setting is a sequence the rule is about each of its
items. The tables themselves stand beside the settings: `scoring.rules` has those of
experiments, `training.settings` those of trainings.
"""

import dataclasses
import fnmatch
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.text import printable


@dataclasses.dataclass(frozen=True)
class Rule:
  """What is wanted of some settings.

  Attributes:
    names: dotted names, with `*` for any part.
    holds: whether a value is as wanted.
    wanted: what the error says.
  """

  names: tuple[str, ...]
  holds: Callable[[Any], bool]
  wanted: str


def whole(least: int, most: int, *names: str) -> Rule:
  """The values are whole numbers from `least` to `most`."""
  is_whole = lambda value: isinstance(value, int) and not isinstance(value, bool)
  holds = lambda value: is_whole(value) and least <= value <= most
  return Rule(names, holds, f"at least {least} and at most {most}, a whole number")


def above(bound: float, most: float, *names: str) -> Rule:
  """The values are numbers above `bound` and at most `most`."""
  holds = lambda value: _is_number(value) and bound < value <= most
  return Rule(names, holds, f"above {bound:g} and at most {most:g}, a number")


def between(least: float, most: float, *names: str) -> Rule:
  """The values are numbers from `least` to `most`."""
  holds = lambda value: _is_number(value) and least <= value <= most
  return Rule(names, holds, f"at least {least:g} and at most {most:g}, a number")


def one_of(choices: Sequence[str], *names: str) -> Rule:
  """The values are among the choices."""
  return Rule(names, lambda value: value in choices, f"one of {', '.join(choices)}")


def text(*names: str) -> Rule:
  """The values are texts that are not empty."""
  holds = lambda value: isinstance(value, str) and value != ""
  return Rule(names, holds, "a name")


def switch(*names: str) -> Rule:
  """The values are True or False."""
  return Rule(names, lambda value: isinstance(value, bool), "True or False")


def or_none(rule: Rule) -> Rule:
  """The rule holds, or the value is None."""
  holds = lambda value: value is None or rule.holds(value)
  return dataclasses.replace(rule, holds=holds, wanted=f"{rule.wanted}, or None")


def saying(wanted: str, rule: Rule) -> Rule:
  """The same rule, with words of its own for the error."""
  return dataclasses.replace(rule, wanted=wanted)


def check(settings: Mapping[str, Any], rules: Sequence[Rule]) -> None:
  """Refuses settings that cannot be used, by their own values.

  Args:
    settings: nested settings. A rule about a setting that is not there says nothing.
    rules: what is wanted of them.

  Raises:
    SettingError: `NAME=VALUE: what is wanted`, about the first value that no run could
      use.
  """
  for name, value in leaves(settings):
    named = f"{name}={_shown(value)}"
    if isinstance(value, float) and not math.isfinite(value):
      raise SettingError(f"{named}: a finite number")
    if isinstance(value, int) and value.bit_length() > 63:
      raise SettingError(f"{named}: an integer of at most 63 bits")
    for rule in rules:
      matches = any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.names)
      if matches and not rule.holds(value):
        raise SettingError(f"{named}: {rule.wanted}")


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
  """Yields dotted names and values; the items of a sequence all have its name."""
  if isinstance(value, Mapping):
    for key, item in value.items():
      yield from leaves(item, f"{name}.{key}" if name else str(key))
  elif isinstance(value, list | tuple):
    for item in value:
      yield from leaves(item, name)
  else:
    yield name, value


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
  try:
    return f"{printable(value):.60}"
  except ValueError:  # An integer of more digits than Python prints.
    return "(an endless integer)"
