"""Text from files and from people, made safe for one line of a terminal, a page or CSV.

Names of files, titles and authors come from outside. They may hold line breaks, escape
sequences that steer a terminal, marks that turn the direction of the text around, and
bytes that are not text (which Python carries as lone surrogates and cannot encode).
Such text passes through `printable` once, where it enters a message or a document.
"""

import math
import re
import unicodedata
from typing import Any

# What steers the line instead of standing in it, beside the category Cc: marks of
# direction, and the separators of lines and paragraphs.
_STEERING = frozenset(
  "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e"
) | {*"\u2066\u2067\u2068\u2069"}
_NUMBERS = frozenset({float, int, bool, type(None)})
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# A cell that begins so is taken for a formula by spreadsheet programs. The last four
# are the full-width forms of the first four.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def printable(text: object) -> str:
  """Returns text as it may stand in one line of a terminal, a page or a table.

  Control characters, marks of direction, line separators and lone surrogates become
  backslash escapes; letters of every script and ordinary backslashes stay, so that
  printable text comes back unchanged.

  Args:
    text: any object; `str` is taken of it.
  """
  text = str(text)
  if text.isascii() and text.isprintable():
    return text
  return "".join(_escaped(character) for character in text)


def printable_leaves(value: Any) -> Any:
  """Returns JSON-like data with all text in it printable, the keys of dicts too."""
  # Most leaves of a study are numbers.
  if type(value) in _NUMBERS:
    return value
  if isinstance(value, str):
    return printable(value)
  if isinstance(value, dict):
    return {printable_leaves(key): printable_leaves(v) for key, v in value.items()}
  if isinstance(value, list):
    if _NUMBERS.issuperset(map(type, value)):
      return value
    return [printable_leaves(item) for item in value]
  if isinstance(value, tuple):
    return tuple(printable_leaves(item) for item in value)
  return value


def rounded(value: float, digits: int = 3) -> str:
  """Returns a number as people read it: its first digits, and never as 1.6e+04."""
  if abs(value) >= 10**digits and math.isfinite(value):
    return f"{value:,.0f}"
  return f"{value:.{digits}g}"


def cell(value: object) -> object:
  """Returns a value as it may stand in a cell of a CSV file.

  A number stays a number. Text becomes `printable`, and text that a spreadsheet would
  compute (it begins with =, +, -, @, a tab or a line break, or with a full-width form
  of these) gets a leading apostrophe, which spreadsheets take for "this is text".

  Args:
    value: a number, None, or text.
  """
  if value is None or isinstance(value, (bool, int, float)):
    return value
  text = str(value)
  defused = "'" if text.startswith(_FORMULA) else ""
  return defused + printable(text)


def _escaped(character: str) -> str:
  """Returns one character, or the escape that stands for it."""
  # Cc are control characters; Cs are lone surrogates, which no encoding can write.
  steers = character in _STEERING or unicodedata.category(character) in ("Cc", "Cs")
  if not steers:
    return character
  if character in _NAMED:
    return _NAMED[character]
  point = ord(character)
  return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


def first_line(error: BaseException) -> str:
  """Returns what an error says, in one printable line; its kind if it says nothing."""
  lines = str(error).strip().splitlines()
  return printable(lines[0].rstrip()) if lines else type(error).__name__


def short(value: object) -> str:
  """Returns a value for a message: printable, and at most 80 characters long.

  An integer may have as many digits as its writer liked, which Python may refuse to
  print.

  Args:
    value: any object; `repr` is taken of it.
  """
  if isinstance(value, int) and value.bit_length() > 100:
    return "a huge number"
  return f"{printable(repr(value)):.80}"


def slug(text: str) -> str:
  """Returns text as ASCII letters, digits, `_` and `-`, safe as a file name."""
  ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
  return re.sub(r"[^A-Za-z0-9_-]+", "-", ascii_text).strip("-") or "track"
