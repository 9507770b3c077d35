"""Rows on a disk that is full, read-only or gone, and results without a clock."""

import errno
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

import pytest
from stored_rows import read_rows

from lsaprobe_jax.scoring.experiment import open_evaluation
from lsaprobe_jax.scoring.method_rows import run_blind
from lsaprobe_jax.scoring.row_store import RowFile

ROOT = pathlib.Path(__file__).parents[2]
ROW = dict(
  clip="c", track="c", group="a", split="member", model="A", corpus="x", method="m",
  distance=None, t_ratio=None, difficulty_calibration="none", cost=None, reached=None,
  nfe_forward=0, nfe_backward=0, seconds=0.0,
)  # fmt: skip


def fill(path, limit):
  """Appends rows, no more than `limit` bytes of them; returns what that said."""
  code = (
    "import pathlib, resource; from lsaprobe_jax.scoring.row_store import RowFile\n"
    f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    f"file = RowFile(pathlib.Path({str(path)!r}))\n"
    f"for i in range(1000): file.append([{ROW!r} | dict(seed=i, score=1.0)])"
  )
  process = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
  )
  return process.stderr


def test_a_disk_that_fills_up_leaves_whole_rows(tmp_path):
  path = tmp_path / "scores.jsonl"
  assert f"[Errno {errno.EFBIG}]" in fill(path, 3000)
  whole = len(read_rows(path))
  assert 0 < whole < 1000
  assert path.stat().st_size == 3000  # The last line was cut.
  file = RowFile(path)
  assert len(file.rows) == whole
  file.append([ROW | dict(seed=5000, score=2.0)])
  assert len(read_rows(path)) == whole + 1


def in_a_mount(folder, options, code):
  """What Python code prints with a tmpfs mounted on `folder`/mount, its own alone."""
  (folder / "mount").mkdir()
  script = f'mount -t tmpfs -o {options} none mount && {sys.executable} -c "$0"'
  done = subprocess.run(
    ["unshare", "--mount", "--map-root-user", "sh", "-c", script, code],
    capture_output=True, text=True, cwd=folder, env=os.environ | {"PYTHONPATH": ROOT},
  )  # fmt: skip
  if "unshare" in done.stderr or "mount:" in done.stderr:
    pytest.skip(f"this machine mounts nothing: {done.stderr.strip()}")
  assert done.returncode == 0, done.stderr
  return done.stdout


def test_a_disk_that_is_really_full_leaves_whole_rows(tmp_path):
  """A file system of 512 kB, which something else fills up but for a page."""
  code = f"""
import errno, os, pathlib
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.scoring.row_store import RowFile
path, ballast = pathlib.Path("mount/scores.jsonl"), pathlib.Path("mount/ballast")
file = RowFile(path)
rows = [{ROW!r} | dict(seed=i, score=1.0) for i in range(1000)]
file.append(rows[:20])
free = os.statvfs("mount")
ballast.write_bytes(bytes((free.f_bavail - 1) * free.f_bsize))
try:
  for row in rows[20:]:
    file.append([row])
except OSError as error:
  assert error.errno == errno.ENOSPC, error
else:
  raise AssertionError("it was never full")
try:
  write_whole(pathlib.Path("mount/run.json"), 9000 * "x")
except OSError as error:
  assert error.errno == errno.ENOSPC, error
assert sorted(os.listdir("mount")) == ["ballast", "scores.jsonl"]
kept = len(RowFile(path).rows)
ballast.unlink()
again = RowFile(path)
again.append(rows[kept:])
print(kept, len(again.rows), len(path.read_text().splitlines()))
"""
  kept, all_rows, lines = map(int, in_a_mount(tmp_path, "size=512k", code).split())
  assert 20 < kept < 1000
  assert all_rows == lines == 1000


def test_a_read_only_folder_is_named(tmp_path):
  """A read-only mount, which stops root too; in a mount namespace of its own."""
  code = (
    "import pathlib; from lsaprobe_jax.scoring import workdir\n"
    "try: workdir.claim(pathlib.Path('mount/run'), {})\n"
    "except ValueError as error: print(error)"
  )
  said = in_a_mount(tmp_path, "ro", code)
  assert "workdir=mount/run cannot be used: [Errno 30] Read-only file system" in said


def test_a_folder_that_goes_away_is_named(settings, tmp_path):
  """As a network folder does: the next row finds no folder to be written in."""
  run = open_evaluation(settings, tmp_path / "gone")
  shutil.rmtree(tmp_path / "gone")
  with pytest.raises(FileNotFoundError, match=r"No such file or dir.*gone/"):
    run_blind(run)


def test_a_full_disk_keeps_what_an_evaluation_had(finished, settings, tmp_path):
  """The next rows find no room behind those that are there; a rerun finds them."""
  folder = tmp_path / "full"
  folder.mkdir()
  shutil.copy(finished.folder / "run.json", folder / "run.json")
  rows = read_rows(finished.folder / "scores.jsonl")[:5]
  text = "".join(json.dumps(row) + "\n" for row in rows)
  (folder / "scores.jsonl").write_text(text)
  run = open_evaluation(settings, folder)
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (len(text) + 100, before[1]))
  try:
    with pytest.raises(OSError, match=r"File too large"):
      run_blind(run)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  assert read_rows(folder / "scores.jsonl") == rows
  assert len(run_blind(open_evaluation(settings, folder))) == 9
  assert len(read_rows(folder / "scores.jsonl")) == 9


def test_no_result_depends_on_the_clock():
  """Durations are of clocks that nobody can set, and no file's date is read."""
  for path in (*(ROOT / "lsaprobe_jax").rglob("*.py"), *(ROOT / "launch").glob("*.py")):
    text = path.read_text()
    for word in ("time.time(", "datetime.", "st_mtime", "st_ctime"):
      assert word not in text, f"{path}: {word}"
