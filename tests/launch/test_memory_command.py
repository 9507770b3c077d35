"""launch.memory from its command line, on an embedded model."""

import re

import pytest
from launching import complaint

FLAGS = ("--model=diffwave-piano-a", "--distance=waveform")


def test_a_table_is_printed_and_written(launcher, tmp_path):
  path = tmp_path / "memory.md"
  seconds = ("--seconds=0.05", "--seconds=0.1")
  done = launcher.run("memory", *FLAGS, *seconds, f"--output={path}")
  assert done.returncode == 0, done.stderr
  lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
  assert len(lines) == 4
  columns = [re.split(r" *\| *", line)[1:-1] for line in lines]
  assert [row[0] for row in columns[2:]] == ["0.05", "0.1"]
  assert {row[2] for row in columns[2:]} == {"float32"}
  assert len({len(row) for row in columns}) == 1
  text = path.read_text()
  assert "\n".join(lines) in text
  assert "python -m launch.memory --model=diffwave-piano-a" in text


@pytest.mark.parametrize(
  ("flags", "match"),
  [
    (("--model=none",), "error: --model: no model folder none.*stable-audio-open-1.0"),
    ((*FLAGS, "--distance=no"), "error: --distance=no: known: waveform"),
    ((*FLAGS, "--precision=float8"), "precision"),
    ((*FLAGS, "--topology=v99:2x2"), "error: --topology='v99:2x2': .+"),
  ],
)
def test_what_cannot_be_counted_is_said(launcher, flags, match):
  assert re.search(match, complaint(launcher.run("memory", *flags)))
