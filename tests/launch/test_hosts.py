"""launch.eval as several processes that share a folder, on one machine."""

import os
import shutil
import socket
import subprocess
import sys

import jax
import pytest
from absl import app, flags
from absl.testing import flagsaver
from launching import ROOT, complaint, eval_flags
from shared_folders import assert_like_one, kinds_by_share
from stored_rows import read_rows
from tiny_experiment import PAPERS

from launch import hosts
from lsaprobe_jax.scoring.shared_rows import ALONE, Shard

# The port from which JAX counts by a SLURM job's number, up to 2^12 of them.
FIRST_PORT = 65_535 - 2**12 + 1


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "a/b", "1/2/3", "0/0"])
def test_a_share_that_is_none_is_refused(text):
  with pytest.raises(app.UsageError, match=f"--shard={text}: must be K/N"):
    hosts.parse_shard(text)


def test_shares_count_from_zero():
  assert hosts.parse_shard("0/4") == Shard(0, 4)
  assert hosts.parse_shard("3/4") == Shard(3, 4)


@pytest.fixture
def parsed():
  """Flags as if a launcher had been called with none."""
  flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver():
    yield


@pytest.mark.parametrize(
  ("given", "match"),
  [
    (dict(shard="0/2", distributed=True), "--shard and --distributed exclude"),
    (dict(process_id=1), "--process_id: need --distributed"),
    (dict(shard="2/2"), "--shard=2/2: must be K/N"),
  ],
)
def test_contradictory_flags_are_named(parsed, given, match):
  with flagsaver.flagsaver(**given), pytest.raises(app.UsageError, match=match):
    hosts.join()


# What a process does with what it compiles.
COMPILES = """
import sys
import jax
from absl import flags
from launch import hosts
flags.FLAGS(sys.argv)
hosts.join()
print(jax.jit(lambda x: x + 1)(1.0))
"""


@pytest.mark.parametrize(
  ("flag", "kept"), [(None, True), ("--shard=0/2", True), ("--shard=1/2", False)]
)
def test_one_process_of_several_keeps_programs(tmp_path, flag, kept):
  env = os.environ | {
    "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
  }
  command = [sys.executable, "-c", COMPILES, *([flag] if flag else [])]
  done = subprocess.run(
    command, cwd=ROOT, env=env, capture_output=True, text=True, check=False
  )
  assert done.stdout == "2.0\n", done.stderr
  assert any(tmp_path.iterdir()) == kept


@pytest.fixture
def kept_secs():
  """What a test says of programs that are kept holds for it alone."""
  before = jax.config.jax_persistent_cache_min_compile_time_secs
  yield before
  jax.config.update("jax_persistent_cache_min_compile_time_secs", before)


def test_without_flags_a_process_is_alone(parsed, kept_secs):
  folder = jax.config.jax_compilation_cache_dir
  assert hosts.join() == ALONE
  assert jax.config.jax_persistent_cache_min_compile_time_secs == kept_secs
  assert jax.config.jax_compilation_cache_dir == folder


def test_processes_that_share_read_compiled_programs(parsed, kept_secs):
  folder = jax.config.jax_compilation_cache_dir
  with flagsaver.flagsaver(shard="1/3"):
    assert hosts.join() == Shard(1, 3)
  assert jax.config.jax_compilation_cache_dir == folder


def test_no_cluster_ends_in_one_line(launcher, settings, tmp_path):
  line = complaint(
    launcher.run("eval", *eval_flags(tmp_path, settings, "--distributed"))
  )
  assert line.startswith("error: --distributed: ")
  assert "give --coordinator_address, --num_processes and --process_id" in line


def free_port():
  """One of those that JAX picks by a SLURM job's number."""
  for port in range(FIRST_PORT, 65_536):
    with socket.socket() as trial:
      if trial.connect_ex(("127.0.0.1", port)):
        return port
  raise RuntimeError("no free port")


def slurm(process, count, port):
  """What SLURM tells process `process` of `count` on this machine."""
  return {
    "SLURM_JOB_ID": str(port - FIRST_PORT),
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_NTASKS": str(count),
    "SLURM_PROCID": str(process),
    "SLURM_LOCALID": str(process),
  }


def end(process):
  """Waits for a process to end well; returns (stdout, stderr)."""
  out, err = process.communicate(timeout=500)
  assert process.returncode == 0, err
  return out, err


@pytest.fixture(scope="module")
def by_one(tmp_path_factory, launcher, settings):
  """The folder of the paper's search by one process, which has to know tau first."""
  workdir = tmp_path_factory.mktemp("hosts") / "one"
  done = launcher.run("eval", *eval_flags(workdir, settings | PAPERS))
  assert done.returncode == 0, done.stderr
  return workdir


@pytest.fixture(scope="module")
def by_four(by_one, tmp_path_factory, launcher, settings):
  """(working folder, stdouts) of four processes, with explicit flags.

  They read the programs that one has compiled, which `by_one` is there for first.
  """
  workdir = tmp_path_factory.mktemp("hosts") / "four"
  port = free_port()
  processes = [
    launcher.start(
      "eval",
      *eval_flags(workdir, settings | PAPERS, "--distributed"),
      f"--coordinator_address=127.0.0.1:{port}",
      "--num_processes=4",
      f"--process_id={k}",
    )
    for k in range(4)
  ]
  try:
    return workdir, [end(process)[0] for process in processes]
  finally:
    for process in processes:
      process.kill()


@pytest.mark.slow
def test_four_processes_give_the_rows_of_one(by_four, by_one):
  workdir, outs = by_four
  assert_like_one(workdir, by_one)
  for name in ("scores", "calibration"):
    kinds = kinds_by_share(workdir, name)
    assert list(kinds) == [f"{name}-{k:05d}-of-00004.jsonl" for k in range(4)]
    assert all(kinds.values())
    rows = len(read_rows(workdir / f"{name}.jsonl"))
    assert sum(map(len, kinds.values())) == len(set.union(*kinds.values())) == rows
  # Who finishes last reports, as a process alone does; the others report nothing.
  reports = [out for out in outs if out.strip()]
  assert reports
  assert all("blind baseline" in report for report in reports)


@pytest.mark.slow
def test_another_number_of_processes_completes_what_is_missing(
  by_four, by_one, tmp_path, launcher, settings
):
  workdir = shutil.copytree(by_four[0], tmp_path / "completed")
  for path in (*workdir.glob("*.jsonl"), workdir / "summary.json"):
    path.unlink()
  for path in (workdir / "shards").glob("*-00002-of-00004.jsonl"):
    path.unlink()
  done = launcher.run("eval", *eval_flags(workdir, settings | PAPERS))
  assert done.returncode == 0, done.stderr
  assert_like_one(workdir, by_one)


@pytest.mark.slow
def test_one_of_two_is_killed_and_rerun_alone(finished, tmp_path, launcher, settings):
  # Process 0 holds the coordinator: with JAX's runtime alive its death kills all.
  args = eval_flags(tmp_path, settings)
  port = free_port()
  start = lambda k: launcher.start(
    "eval", *args, "--distributed", env=slurm(k, 2, port)
  )
  survivor = start(1)
  try:
    curves = tmp_path / "shards" / "curves-00000-of-00002.jsonl"
    launcher.kill(start(0), lambda: read_rows(curves))
    _, err = end(survivor)
  finally:
    survivor.kill()
  assert "rows of shards [0] of 2 are missing" in err
  assert not (tmp_path / "summary.json").exists()
  assert not (tmp_path / "scores.jsonl").exists()
  mine = kinds_by_share(tmp_path, "scores")["scores-00001-of-00002.jsonl"]
  assert mine
  shards = (tmp_path / "shards").glob("*00001-of*")
  before = {path: path.read_bytes() for path in shards}

  done = launcher.run("eval", *args, "--shard=0/2")
  assert done.returncode == 0, done.stderr
  assert_like_one(tmp_path, finished[0])
  assert before == {path: path.read_bytes() for path in before}
  kinds = kinds_by_share(tmp_path, "scores")
  assert not kinds["scores-00000-of-00002.jsonl"] & mine
