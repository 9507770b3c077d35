"""Values of a model's configuration, checked one by one before anything is built.

Configurations come from files that anyone may have written. A size decides how much
work building takes, so every one of them has a limit, and every message names the
setting, its value and what would be accepted.
"""

import math
import reprlib
from typing import Any

from lsaprobe_jax.text import printable

# A waveform's, in Hz: below any music, and twice what any converter has.
RATES = (2_000, 768_000)
MOST_TIMES = 100_000
LARGEST = 1_000_000


def refuse(name: str, value: Any, wanted: str) -> None:
  """Raises ValueError for a value: what it is and what it must be."""
  # Bounded, unlike repr: a value may be a list of a million lists.
  shown = printable(reprlib.repr(value))
  raise ValueError(f"{name} = {shown} is not supported; it must be {wanted}")


def whole(name: str, value: Any, least: int, most: int) -> int:
  """Returns a whole number in a range.

  Raises:
    ValueError: it is none, or outside.
  """
  if type(value) is not int or not least <= value <= most:
    refuse(name, value, f"a whole number from {least:,} to {most:,}")
  return value


def real(
  name: str, value: Any, least: float, most: float, *, inside: bool = False
) -> float:
  """Returns a finite number in a range.

  Args:
    name: of the setting.
    value: what was given.
    least: of the range.
    most: of the range.
    inside: the ends themselves are refused.

  Raises:
    ValueError: it is no number, not finite, or outside.
  """
  # An integer is finite, however long.
  number = type(value) is int or (type(value) is float and math.isfinite(value))
  if not number or not least <= value <= most or (inside and value in (least, most)):
    ends = "between" if inside else "from"
    link = "and" if inside else "to"
    refuse(name, value, f"a number {ends} {least:g} {link} {most:g}")
  return value


def table(name: str, value: Any, required: tuple[str, ...], optional=()) -> dict:
  """Returns a dictionary that has some keys and no others.

  Args:
    name: of the setting.
    value: what was given.
    required: keys that must be there.
    optional: keys that may be there; None allows any.

  Raises:
    ValueError: it is no dictionary, lacks a key, or has another.
  """
  if not isinstance(value, dict):
    refuse(name, value, "a table")
  missing = [key for key in required if key not in value]
  if missing:
    raise ValueError(f"{name} lacks {', '.join(missing)}")
  if optional is not None:
    for key in value:
      if key not in required and key not in optional:
        known = ", ".join((*required, *optional))
        raise ValueError(
          f"{name} has no setting {printable(str(key)[:60])!r}; known: {known}"
        )
  return value


def betas(name: str, value: Any, count: int | None = None) -> list[float]:
  """Returns a schedule's betas, all inside (0, 1).

  Args:
    name: of the setting.
    value: what was given.
    count: how many there must be; None for any number.

  Raises:
    ValueError: they are no list of such numbers, or not so many.
  """
  if not isinstance(value, list | tuple) or not 1 <= len(value) <= MOST_TIMES:
    refuse(name, value, f"a list of 1 to {MOST_TIMES:,} numbers")
  if count is not None and len(value) != count:
    raise ValueError(f"{name} has {len(value):,} values for {count:,} steps")
  for i, beta in enumerate(value):
    real(f"{name}[{i}]", beta, 0, 1, inside=True)
  return list(value)


def numbers(name: str, value: Any) -> None:
  """Refuses any number in a nested value that is not finite, or is beyond a million.

  Raises:
    ValueError: names where it stands.
  """
  if isinstance(value, dict):
    for key, part in value.items():
      numbers(f"{name}.{printable(str(key)[:60])}", part)
  elif isinstance(value, list | tuple):
    for i, part in enumerate(value):
      numbers(f"{name}[{i}]", part)
  elif type(value) in (int, float):
    real(name, value, -LARGEST, LARGEST)


def signal_left(name: str, signal: Any) -> None:
  """Refuses a schedule under which float32 keeps nothing of the signal at t = T.

  Args:
    name: of the schedule.
    signal: `diffusion.Schedule.signal`.

  Raises:
    ValueError: the reverse process would divide by zero.
  """
  if not float(signal[-1]) > 0:
    raise ValueError(f"{name}: its betas leave nothing of the signal at t = T")
