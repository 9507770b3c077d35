"""When the world misbehaves: disks, clocks, second processes, input of any kind."""

import contextlib
import errno
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys

import pytest
from absl import app
from launching import ROOT, complaint, eval_flags, read_rows

from configs import mini
from launch import common
from lsaprobe_jax.scoring import experiment, experiment_inputs
from lsaprobe_jax.scoring.row_store import RowFile
from lsaprobe_jax.scoring.shared_rows import ALONE, Shard

ROW = dict(
  clip="c", track="c", group="a", split="member", model="A", corpus="x", method="m",
  distance=None, t_ratio=None, difficulty_calibration="none", cost=None, reached=None,
  nfe_forward=0, nfe_backward=0, seconds=0.0,
)  # fmt: skip


def load(workdir, settings, shard=ALONE):
  """What launch.eval does with its flags before it scores, without a process."""
  config = mini.get_config()
  config.update_from_flattened_dict(settings)
  return experiment.load(config, workdir, None, shard)


def limit_files(process, limit):
  """Lets a process write no more than `limit` bytes a file, as on a full disk."""
  resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))


def fill(path, limit):
  """Appends rows in a limited process until it fails; returns what that said."""
  code = (
    "import pathlib, sys; from lsaprobe_jax.results import ALONE, RowFile, Shard\n"
    f"file = RowFile(pathlib.Path({str(path)!r}))\n"
    f"for i in range(1000): file.append([{ROW!r} | dict(seed=i, score=1.0)])"
  )
  process = subprocess.Popen(
    [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
  )
  limit_files(process, limit)
  return process.communicate()[1]


def test_a_disk_that_fills_up_leaves_whole_rows(tmp_path):
  path = tmp_path / "scores.jsonl"
  assert f"[Errno {errno.EFBIG}]" in fill(path, 3000)
  whole = len(read_rows(path))
  assert 0 < whole < 1000
  assert path.stat().st_size == 3000  # the last line was cut
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
from lsaprobe_jax.results import RowFile, write_whole
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


def test_a_full_disk_ends_an_evaluation_in_one_line(launcher, settings, tmp_path):
  """The first rows, the blind baseline's, find no room behind those already there."""
  workdir, limit = tmp_path / "full", 30_000
  config = mini.get_config()
  config.update_from_flattened_dict(settings)
  common.claim_workdir(workdir, experiment_inputs.open_checked(config, None).identity)
  fill(workdir / "scores.jsonl", limit)
  before = len(read_rows(workdir / "scores.jsonl"))
  process = launcher.start("eval", *eval_flags(workdir, settings))
  limit_files(process, limit)
  out, err = process.communicate(timeout=300)
  line = complaint(subprocess.CompletedProcess([], process.returncode, out, err))
  assert "File too large" in line
  assert "give the same command" in line
  assert len(read_rows(workdir / "scores.jsonl")) >= before > 0


def test_a_working_folder_that_goes_away_ends_in_one_line(settings, tmp_path):
  """As a network folder does: the next row finds no folder to be written in."""
  workdir = tmp_path / "gone"
  run = load(workdir, settings)
  shutil.rmtree(workdir)
  with (
    pytest.raises(SystemExit, match=r"No such file or dir.*gone/.*the rows in .*/gone"),
    common.ending_in_one_line(f"the rows in {workdir}"),
  ):
    experiment.run_blind(run)


def test_a_workdir_that_cannot_be_written_is_named(settings, tmp_path):
  (tmp_path / "file").write_text("in the way")
  workdir = tmp_path / "file" / "run"
  with pytest.raises(app.UsageError, match=f"--workdir={workdir} cannot be used"):
    load(workdir, settings)
  (tmp_path / "alone.lock").mkdir()
  with pytest.raises(app.UsageError, match=f"--workdir={tmp_path} cannot be used"):
    common.lock_workdir(tmp_path)


def test_a_read_only_workdir_is_named(tmp_path):
  """A read-only mount, which stops root too; in a mount namespace of its own."""
  code = (
    "import pathlib; from absl import app; from launch import common\n"
    "try: common.claim_workdir(pathlib.Path('mount/run'), {})\n"
    "except app.UsageError as error: print(error)"
  )
  said = in_a_mount(tmp_path, "ro", code)
  assert "cannot be used: [Errno 30] Read-only file system" in said


@contextlib.contextmanager
def holding(workdir, share=None):
  """Another process that has the folder, or a share of it; its id."""
  code = (
    "import pathlib, sys; from launch import common\n"
    f"common.lock_workdir(pathlib.Path({str(workdir)!r}), {share!r})\n"
    "print('held', flush=True); sys.stdin.read()"
  )
  process = subprocess.Popen(
    [sys.executable, "-c", code], cwd=ROOT, text=True,
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
  )  # fmt: skip
  try:
    assert process.stdout.readline() == "held\n"
    yield process.pid
  finally:
    process.kill()
    process.communicate()


def test_a_second_run_in_a_workdir_is_refused(settings, tmp_path):
  with (
    holding(tmp_path) as pid,
    pytest.raises(app.UsageError, match=f"in use by process {pid} on "),
  ):
    load(tmp_path, settings)
  # The kernel let go of it; and the same process may open it twice.
  for _ in range(2):
    load(tmp_path, settings)
  assert f"process {os.getpid()} on " in (tmp_path / "alone.lock").read_text()


def test_shares_go_together_and_not_with_a_run_that_is_alone(settings, tmp_path):
  with (
    holding(tmp_path, "share-0-of-2") as pid,
    pytest.raises(app.UsageError, match=f"in use by process {pid} on "),
  ):
    load(tmp_path, settings)
  with holding(tmp_path, "share-0-of-2"):
    load(tmp_path, settings, Shard(1, 2))
    with pytest.raises(app.UsageError, match="in use by process"):
      load(tmp_path, settings, Shard(0, 2))


def test_no_result_depends_on_the_clock():
  """Durations are of clocks that nobody can set, and no file's date is read."""
  for path in (*(ROOT / "lsaprobe_jax").rglob("*.py"), *(ROOT / "launch").glob("*.py")):
    text = pathlib.Path(path).read_text()
    for word in ("time.time(", "datetime.", "st_mtime", "st_ctime"):
      assert word not in text, f"{path}: {word}"


def test_a_deep_or_odd_model_record_is_refused(tmp_path, settings):
  folder = shutil.copytree(settings["targets.A"], tmp_path / "A")
  for text in ("[" * 100_000, "9" * 5000, "[]", json.dumps({"model": 3})):
    (folder / "model.json").write_text(text)
    with pytest.raises(ValueError, match="damaged") as caught:
      common.checkpoints.load_model(folder)
    assert str(folder) in str(caught.value)
