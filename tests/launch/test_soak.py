"""launch.soak: a short one, and that it would notice."""

import json
import shutil

import pytest
from launching import read_rows

from tests.stress import soak


def test_a_few_kills_cost_no_row(launcher, tmp_path):
  done = launcher.run("soak", "--kills=3", f"--workdir={tmp_path / 'soak'}")
  assert done.returncode == 0, done.stderr
  assert "3 kills cost no row" in done.stderr
  # One process alone was killed, and one of two.
  assert done.stderr.count("] kill process") == 3


@pytest.fixture
def runs(finished, tmp_path):
  """Two folders with the same rows."""
  return [shutil.copytree(finished[0], tmp_path / name) for name in ("one", "two")]


def change(workdir, lines):
  """Rewrites scores.jsonl by a function of its rows."""
  path = workdir / "scores.jsonl"
  rows = read_rows(path)
  path.write_text("".join(f"{json.dumps(row)}\n" for row in lines(rows)))


def test_the_same_rows_in_another_order_and_time_are_the_same(runs):
  change(runs[0], lambda rows: [row | {"seconds": 9.0} for row in reversed(rows)])
  assert soak.compare(*runs) == sum(
    len(read_rows(path)) for path in runs[1].glob("*.jsonl")
  )


@pytest.mark.parametrize(
  ("lines", "match"),
  [
    (lambda rows: rows[:-1], "after kills: None"),
    (lambda rows: [*rows, rows[3]], "a second row"),
    (lambda rows: [rows[0] | {"score": 7.0}, *rows[1:]], "'score': 7.0"),
    (lambda rows: [*rows, rows[0] | {"seed": 5}], "undisturbed: None"),
  ],
)
def test_a_row_lost_doubled_changed_or_new_is_named(runs, lines, match):
  change(runs[0], lines)
  with pytest.raises(soak.SoakError, match=match):
    soak.compare(*runs)
