"""A short soak, and that it would notice."""

import json
import pathlib
import subprocess
import sys

import pytest

from lsaprobe_jax.rows import ROW_KEY
from tests.stress import soak

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_a_few_kills_cost_no_row(tmp_path):
  command = [sys.executable, "-m", "tests.stress.soak", "--kills=3"]
  done = subprocess.run(
    [*command, f"--workdir={tmp_path / 'soak'}"],
    cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert "3 kills cost no row" in done.stderr
  # One process alone was killed, and one of two.
  assert done.stderr.count("] kill process") == 3


def rows(count=6):
  """Rows of different clips, with what the soak reads of them."""
  names = dict.fromkeys(ROW_KEY, "x") | {"seed": 0}
  return [
    names | {"clip": f"c{i}", "score": i / 4, "seconds": 0.1} for i in range(count)
  ]


def write(folder, lines, name="scores.jsonl"):
  folder.mkdir(exist_ok=True)
  (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in lines))
  return folder


def test_the_same_rows_in_another_order_and_time_are_the_same(tmp_path):
  changed = [row | {"seconds": 9.0} for row in reversed(rows())]
  one, two = write(tmp_path / "one", changed), write(tmp_path / "two", rows())
  for folder in (one, two):
    write(folder, rows(2), "curves.jsonl")
  assert soak.compare(one, two) == 8


@pytest.mark.parametrize(
  ("change", "match"),
  [
    (lambda rows: rows[:-1], "after kills: None"),
    (lambda rows: [*rows, rows[3]], "a second row"),
    (lambda rows: [rows[0] | {"score": 7.0}, *rows[1:]], "'score': 7.0"),
    (lambda rows: [*rows, rows[0] | {"seed": 5}], "undisturbed: None"),
  ],
)
def test_a_row_lost_doubled_changed_or_new_is_named(tmp_path, change, match):
  one, two = write(tmp_path / "one", change(rows())), write(tmp_path / "two", rows())
  with pytest.raises(soak.SoakError, match=match):
    soak.compare(one, two)
