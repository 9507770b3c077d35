"""Text from outside, escaped once for terminals, pages and tables."""

import numpy as np
import pytest

from lsaprobe_jax import text


@pytest.mark.parametrize(
  ("given", "shown"),
  [
    ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
    ("\x1b[31mred\x07\x00\x7f\x85", "\\x1b[31mred\\x07\\x00\\x7f\\x85"),
    ("a\u202egnp.exe\u2066\u2069\u200e\u200f\u061c", None),
    ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
    (b"caf\xe9.wav".decode("utf-8", "surrogateescape"), "caf\\udce9.wav"),
    ("lone \ud800 half", "lone \\ud800 half"),
  ],
)
def test_what_steers_a_line_is_escaped(given, shown):
  result = text.printable(given)
  result.encode("utf-8")
  assert len(result.splitlines()) == 1
  assert "\x1b" not in result
  assert not set(result) & set("\u202e\u2066\u2069\u200e\u200f\u061c\u2028\u2029")
  assert shown is None or result == shown


@pytest.mark.parametrize(
  "given",
  [
    "Dvořák, Größe",
    "音楽",
    "موسيقى",
    "שלום",
    "C:\\new\\table",
    "🎵",
    "",
    "nbsp\u00a0x",
  ],
)
def test_letters_of_every_script_and_backslashes_stay(given):
  assert text.printable(given) == given


def test_text_that_is_printable_comes_back_unchanged():
  every = "".join(map(chr, range(0x3000))) + "\ud800\udfff\udce9"
  once = text.printable(every)
  assert text.printable(once) == once


def test_any_object_is_taken():
  assert text.printable(ValueError("a\nb")) == "a\\nb"
  assert text.printable(None) == "None"


@pytest.mark.parametrize("sign", list("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))
def test_a_cell_that_would_be_computed_is_defused(sign):
  defused = text.cell(f"{sign}1+1")
  assert defused.startswith("'")
  assert len(defused.splitlines()) == 1


def test_numbers_and_plain_text_stay_as_they_are_in_a_cell():
  assert text.cell(-1.5) == -1.5
  assert text.cell(None) is None
  assert text.cell(np.float64(-2.0)) == -2.0
  assert text.cell("a = b") == "a = b"


def test_the_first_line_of_an_error_is_printable_or_its_kind():
  assert text.first_line(ValueError("\n one\x1b \n two")) == "one\\x1b"
  assert text.first_line(KeyError()) == "KeyError"


def test_values_for_a_message_are_short_whatever_they_are():
  assert text.short("a\nb") == "'a\\nb'"
  assert text.short(10**9000) == "a huge number"
  assert len(text.short("x" * 5000)) == 80


@pytest.mark.parametrize(
  ("given", "name"), [("three ü/4", "three-u-4"), ("音楽", "track"), ("a_b-C", "a_b-C")]
)
def test_a_slug_is_safe_as_a_file_name(given, name):
  assert text.slug(given) == name


@pytest.mark.parametrize(
  ("value", "digits", "shown"),
  [
    (16000.4, 4, "16,000"),
    (9123, 4, "9123"),
    (105, 2, "105"),
    (0.0123456, 3, "0.0123"),
    (-1234.5, 3, "-1,234"),
    (float("inf"), 3, "inf"),
  ],
)
def test_numbers_are_shown_as_people_read_them(value, digits, shown):
  assert text.rounded(value, digits) == shown
