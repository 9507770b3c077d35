"""Working folders: claimed for one thing, held by one process, or refused."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.scoring import workdir
from lsaprobe_jax.scoring.experiment import open_evaluation
from lsaprobe_jax.scoring.shared_rows import Shard

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
  "made", ["scores.jsonl", "calibration.jsonl", "curves.jsonl", "shards/scores-0.jsonl"]
)
def test_rows_without_the_settings_they_were_made_by_are_refused(tmp_path, made):
  path = tmp_path / made
  path.parent.mkdir(exist_ok=True)
  path.write_text("{}\n")
  with pytest.raises(
    ArgumentError, match=rf"rows or checkpoints \({made}\) and no run\.json.*restore"
  ):
    workdir.claim(tmp_path, {"seed": 0})
  assert not (tmp_path / "run.json").exists()
  path.write_text("")
  workdir.claim(tmp_path, {"seed": 0})


def test_a_disk_without_hard_links_has_a_folder_claimed_all_the_same(
  tmp_path, monkeypatch, caplog
):
  def refused(*_):
    raise PermissionError(1, "Operation not permitted")

  monkeypatch.setattr(os, "link", refused)
  workdir.claim(tmp_path, {"seed": 0})
  assert "no hard links" in caplog.text
  assert json.loads((tmp_path / "run.json").read_text()) == {"seed": 0}
  assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
  with pytest.raises(ArgumentError, match="differs in seed"):
    workdir.claim(tmp_path, {"seed": 1})


@pytest.mark.parametrize(
  "text", ["", "{", "5", "[]", "null", "[" * 10**5, '{"a": NaN}']
)
def test_settings_of_a_run_that_cannot_be_read_are_named(tmp_path, text):
  (tmp_path / "run.json").write_text(text)
  with pytest.raises(
    ArgumentError, match=r"run\.json: damaged .*restore the file"
  ) as e:
    workdir.claim(tmp_path, {"seed": 0})
  assert len(str(e.value).splitlines()) == 1
  assert str(e.value).startswith("workdir=")


@pytest.mark.parametrize("text", ["5", "[5]", "{}", "[", "null"])
def test_what_is_only_written_at_the_end_is_read_at_the_beginning(tmp_path, text):
  (tmp_path / "environment.json").write_text(text)
  with pytest.raises(ArgumentError, match=r"environment\.json: damaged .*; delete it"):
    workdir.claim(tmp_path, {"seed": 0})


@pytest.mark.parametrize("entries", [[{}], [{"command": "x", "python": 3}]])
def test_an_environment_that_no_page_could_show_is_named_first(tmp_path, entries):
  (tmp_path / "environment.json").write_text(json.dumps(entries))
  with pytest.raises(
    ArgumentError, match=r"environment\.json: damaged \(entry 0 has no"
  ):
    workdir.claim(tmp_path, {"seed": 0})


def test_a_folder_says_the_last_of_what_may_change(tmp_path):
  claim = lambda **config: workdir.claim(tmp_path, {"config": config}, ["config.batch"])
  said = lambda: json.loads((tmp_path / "run.json").read_text())["config"]
  claim(batch=1, seed=0)
  claim(batch=2, seed=0)
  assert said() == {"batch": 2, "seed": 0}
  with pytest.raises(ArgumentError, match=r"differs in config\.seed;"):
    claim(batch=3, seed=1)
  assert said() == {"batch": 2, "seed": 0}


def test_environments_add_up(tmp_path, monkeypatch):
  workdir.claim(tmp_path, {"seed": 0})
  for _ in range(2):
    workdir.note_environment(tmp_path)
  (own,) = json.loads((tmp_path / "environment.json").read_text())
  assert own["packages"]["jax"]
  monkeypatch.setattr(sys, "argv", [str(ROOT / "launch" / "eval.py"), "--seed=1 2"])
  workdir.note_environment(tmp_path)
  own, launched = json.loads((tmp_path / "environment.json").read_text())
  assert launched["command"] == "python -m launch.eval '--seed=1 2'"
  assert "launch" not in own["command"]


@pytest.mark.parametrize("share", [None, "share-0-of-2"])
def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path, share):
  aim = tmp_path / "aim"
  aim.write_text("precious")
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / f"{share or 'alone'}.lock").symlink_to(aim)
  with pytest.raises(ArgumentError, match=r"cannot be used: .*is a link.*delete it"):
    workdir.lock(tmp_path / "run", share)
  assert aim.read_text() == "precious"


def test_a_loop_of_links_is_one_line(tmp_path):
  (tmp_path / "loop").symlink_to(tmp_path / "loop")
  for path in (tmp_path / "loop", tmp_path / "loop" / "run"):
    with pytest.raises(ArgumentError, match="cannot be used"):
      workdir.claim(path, {})


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
  """Root may read everything, and tests often run as root."""

  def denied(self):
    raise PermissionError(13, "Permission denied", str(self))

  monkeypatch.setattr(workdir.pathlib.Path, "exists", denied)
  with pytest.raises(ArgumentError, match=r"cannot be used: .*Permission denied"):
    workdir.claim(tmp_path, {})


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / "file").write_text("in the way")
  run = tmp_path / "file" / "run"
  with pytest.raises(ArgumentError, match=f"^workdir={run} cannot be used"):
    workdir.claim(run, {})
  (tmp_path / "alone.lock").mkdir()
  with pytest.raises(ArgumentError, match=f"^workdir={tmp_path} cannot be used"):
    workdir.lock(tmp_path)


def claim_at_once(folder, identities):
  """What each claim says, all made at the same time: None or the refusal."""
  together = threading.Barrier(len(identities))

  def claim(identity):
    together.wait()
    try:
      workdir.claim(folder, identity)
    except ArgumentError as error:
      return str(error)

  with concurrent.futures.ThreadPoolExecutor(len(identities)) as pool:
    return list(pool.map(claim, identities))


def test_processes_claim_a_folder_for_the_same_at_once(tmp_path):
  for i in range(20):
    assert claim_at_once(tmp_path / str(i), [{"seed": i}] * 8) == [None] * 8
    assert json.loads((tmp_path / str(i) / "run.json").read_text()) == {"seed": i}
    assert [path.name for path in (tmp_path / str(i)).iterdir()] == ["run.json"]


def test_of_processes_that_differ_one_claims_the_folder(tmp_path):
  for i in range(20):
    said = claim_at_once(tmp_path / str(i), [{"seed": seed} for seed in range(8)])
    winner = json.loads((tmp_path / str(i) / "run.json").read_text())["seed"]
    assert said[winner] is None
    del said[winner]
    assert all("holds a run that differs in seed" in line for line in said)


@contextlib.contextmanager
def holding(folder, share=None):
  """Another process that has the folder, or a share of it; its id."""
  code = (
    "import pathlib, sys; from lsaprobe_jax.scoring import workdir\n"
    f"workdir.lock(pathlib.Path({str(folder)!r}), {share!r})\n"
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


def test_a_second_evaluation_in_a_folder_is_refused(settings, tmp_path):
  with (
    holding(tmp_path) as pid,
    pytest.raises(ArgumentError, match=f"^workdir=.*in use by process {pid} on "),
  ):
    open_evaluation(settings, tmp_path)
  # The kernel let go of it; and the same process may open it twice.
  for _ in range(2):
    open_evaluation(settings, tmp_path)
  assert f"process {os.getpid()} on " in (tmp_path / "alone.lock").read_text()


def test_shares_go_together_and_not_with_one_that_is_alone(settings, tmp_path):
  with holding(tmp_path, "share-0-of-2") as pid:
    with pytest.raises(ArgumentError, match=f"in use by process {pid} on "):
      open_evaluation(settings, tmp_path)
    open_evaluation(settings, tmp_path, shard=Shard(1, 2))
    with pytest.raises(ArgumentError, match="in use by process"):
      open_evaluation(settings, tmp_path, shard=Shard(0, 2))
