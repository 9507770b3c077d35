"""launch.eval as several processes that share a folder, on one machine."""

import json
import shutil
import socket

import jax
import pytest
from launching import complaint, eval_flags, read_rows, sorted_rows

from launch import hosts
from lsaprobe_jax.scoring.shared_rows import Shard

# The paper's search has to know tau before it starts: processes wait for each other.
PAPERS = {
  "search.name": "bisection",
  "search.bisection.halvings": 2,
  "search.bisection.ascent_steps": 2,
  "search.bisection.restarts": 1,
}


def free_port():
  """In the range from which JAX picks by a SLURM job's number."""
  for port in range(65_535 - 2**12 + 1, 65_536):
    with socket.socket() as trial:
      if trial.connect_ex(("127.0.0.1", port)):
        return port
  raise RuntimeError("no free port")


def slurm(process, count, port):
  """What SLURM tells process `process` of `count` on this machine."""
  return {
    "SLURM_JOB_ID": str(port - (65_535 - 2**12 + 1)),
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


def assert_like_a_single_process(workdir, finished):
  names = {path.name for path in finished[0].glob("*.jsonl")}
  assert {path.name for path in workdir.glob("*.jsonl")} == names
  for name in names:
    assert sorted_rows(workdir / name) == sorted_rows(finished[0] / name)
  order = lambda folder: [
    (row["method"], row["model"], row["clip"])
    for row in read_rows(folder / "scores.jsonl")
  ]
  assert order(workdir) == order(finished[0])
  records = [
    json.loads((folder / "summary.json").read_text())
    for folder in (workdir, finished[0])
  ]
  for record in (*records[0], *records[1]):
    del record["seconds"]
  assert records[0] == records[1]


def clips_by_shard(workdir, name):
  """For each shard's file, the kinds of rows in it."""
  kind = lambda row: (row["method"], row["model"], row["clip"])
  paths = sorted((workdir / "shards").glob(f"{name}-*"))
  return {path.name: set(map(kind, read_rows(path))) for path in paths}


@pytest.fixture(scope="module")
def by_one(tmp_path_factory, launcher, settings):
  """(working folder, process) of the paper's search, by one process."""
  workdir = tmp_path_factory.mktemp("hosts") / "one"
  done = launcher.run("eval", *eval_flags(workdir, settings | PAPERS))
  assert done.returncode == 0, done.stderr
  return workdir, done


@pytest.fixture(scope="module")
def by_four(tmp_path_factory, launcher, settings):
  """(working folder, stdouts) of four processes with explicit flags."""
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


@pytest.mark.parametrize("count", [1, 4])
def test_processes_that_share_keep_no_compiled_programs(count):
  before = jax.config.jax_compilation_cache_dir
  try:
    jax.config.update("jax_compilation_cache_dir", "somewhere")
    hosts._without_cache(Shard(0, count))
    assert jax.config.jax_compilation_cache_dir == ("somewhere" if count == 1 else None)
  finally:
    jax.config.update("jax_compilation_cache_dir", before)


def test_four_processes_give_the_rows_of_one(by_four, by_one):
  workdir, outs = by_four
  assert_like_a_single_process(workdir, by_one)
  for name in ("scores", "calibration"):
    kinds = clips_by_shard(workdir, name)
    assert list(kinds) == [f"{name}-{k:05d}-of-00004.jsonl" for k in range(4)]
    assert all(kinds.values())
    rows = len(read_rows(workdir / f"{name}.jsonl"))
    assert sum(map(len, kinds.values())) == len(set.union(*kinds.values())) == rows
  # Who finishes last reports, as a process alone does; the others report nothing.
  reports = [out for out in outs if out.strip()]
  assert reports
  assert all("blind baseline" in report for report in reports)


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
  assert_like_a_single_process(workdir, by_one)


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
  mine = clips_by_shard(tmp_path, "scores")["scores-00001-of-00002.jsonl"]
  assert mine
  before = {
    path: path.read_bytes() for path in (tmp_path / "shards").glob("*00001-of*")
  }

  done = launcher.run("eval", *args, "--shard=0/2")
  assert done.returncode == 0, done.stderr
  assert_like_a_single_process(tmp_path, finished)
  assert before == {path: path.read_bytes() for path in before}
  kinds = clips_by_shard(tmp_path, "scores")
  assert not kinds["scores-00000-of-00002.jsonl"] & mine


def test_no_cluster_ends_in_one_line(launcher, settings, tmp_path):
  line = complaint(
    launcher.run("eval", *eval_flags(tmp_path, settings, "--distributed"))
  )
  assert "--distributed: " in line
  assert "give --coordinator_address, --num_processes and --process_id" in line
