"""Working folders that cannot be gone on with, and launchers that end in one line."""

import json
import sys

import pytest
from absl import app
from launching import complaint

from launch import command, common
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.rows import RowError
from lsaprobe_jax.scoring import workdir


@pytest.mark.parametrize(
  "made", ["scores.jsonl", "calibration.jsonl", "curves.jsonl", "shards/scores-0.jsonl"]
)
def test_rows_without_the_settings_they_were_made_by_are_refused(tmp_path, made):
  path = tmp_path / made
  path.parent.mkdir(exist_ok=True)
  path.write_text("{}\n")
  with pytest.raises(
    app.UsageError, match=rf"rows or checkpoints \({made}\) and no run\.json.*restore"
  ):
    common.claim_workdir(tmp_path, {"seed": 0})
  assert not (tmp_path / "run.json").exists()
  path.write_text("")
  common.claim_workdir(tmp_path, {"seed": 0})


@pytest.mark.parametrize(
  "text", ["", "{", "5", "[]", "null", "[" * 10**5, '{"a": NaN}']
)
def test_damaged_settings_of_a_run_are_named(tmp_path, text):
  (tmp_path / "run.json").write_text(text)
  with pytest.raises(
    app.UsageError, match=r"run\.json: damaged .*restore the file"
  ) as e:
    common.claim_workdir(tmp_path, {"seed": 0})
  assert len(str(e.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["5", "[5]", "{}", "[", "null"])
def test_what_is_only_written_at_the_end_is_read_at_the_beginning(tmp_path, text):
  (tmp_path / "environment.json").write_text(text)
  with pytest.raises(app.UsageError, match=r"environment\.json: damaged .*; delete it"):
    common.claim_workdir(tmp_path, {"seed": 0})


def test_environments_add_up(tmp_path):
  common.claim_workdir(tmp_path, {"seed": 0})
  for _ in range(2):
    common.note_environment(tmp_path)
  assert len(json.loads((tmp_path / "environment.json").read_text())) == 1


@pytest.mark.parametrize("share", [None, "share-0-of-2"])
def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path, share):
  aim = tmp_path / "aim"
  aim.write_text("precious")
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / f"{share or 'alone'}.lock").symlink_to(aim)
  with pytest.raises(app.UsageError, match=r"cannot be used: .*is a link.*delete it"):
    common.lock_workdir(tmp_path / "run", share)
  assert aim.read_text() == "precious"


def test_a_loop_of_links_is_one_line(tmp_path):
  (tmp_path / "loop").symlink_to(tmp_path / "loop")
  for path in (tmp_path / "loop", tmp_path / "loop" / "run"):
    with pytest.raises(app.UsageError, match="cannot be used"):
      common.claim_workdir(path, {})


def test_a_folder_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
  """Root may read everything, and tests often run as root."""

  def denied(self):
    raise PermissionError(13, "Permission denied", str(self))

  monkeypatch.setattr(workdir.pathlib.Path, "exists", denied)
  with pytest.raises(app.UsageError, match=r"cannot be used: .*Permission denied"):
    common.claim_workdir(tmp_path, {})


@pytest.mark.parametrize(
  ("error", "match"),
  [
    (OSError(28, "No space left on device"), "No space left"),
    (MemoryError(), "out of memory"),
    (AudioError("x.wav: empty"), "x.wav: empty"),
    (RowError("scores.jsonl: c: score is nan"), "score is nan"),
    (OSError("caf\udce9\n\x1b[31m.wav"), r"caf\\udce9 \\x1b\[31m\.wav"),
  ],
)
def test_what_happens_to_files_ends_in_one_line(error, match):
  with (
    pytest.raises(SystemExit, match=rf"^error: .*{match}.*goes on from the rows") as e,
    common.ending_in_one_line("the rows"),
  ):
    raise error
  assert len(str(e.value).splitlines()) == 1


def test_a_fault_of_the_code_keeps_its_traceback():
  with pytest.raises(ZeroDivisionError), common.ending_in_one_line("the rows"):
    raise ZeroDivisionError


def test_errors_of_use_are_one_line(monkeypatch):
  def main(argv):
    raise app.UsageError(f"--audio: {argv[0]}\nof two lines")

  with pytest.raises(SystemExit, match=r"^error: --audio: caf\\udce9 of two lines$"):
    command._guarded(main, ["caf\udce9"])
  assert sys.stderr


@pytest.mark.parametrize(
  ("flags", "match"),
  [
    (
      ("--audio=x", "--model=y", "--tau=nan"),
      "error: --tau=nan: must be a finite number",
    ),
    (
      ("--audio=x", "--model=y", "--eta_max=inf"),
      "error: --eta_max=inf: must be a finite number",
    ),
    (("--nope=1",), "error: Unknown command line flag 'nope'"),
    (("--rungs=1000000000",), "error: flag --rungs=1000000000: "),
    (("--audio=x",), "error: Flag --model must have a value other than None."),
    (("--audio=x", "--model=y", "z"), "error: unknown arguments: z"),
  ],
)
def test_the_line_that_matters_is_the_only_one(launcher, flags, match):
  done = launcher.run("probe", *flags)
  assert complaint(done).startswith(match)
  assert len(done.stderr.strip().splitlines()) == 1
  assert done.stdout == ""


@pytest.mark.parametrize(
  ("config", "match"),
  [
    ("none.py", "error: --config: [Errno 2] No such file or directory: 'none.py'"),
    ("configs/mini.py:nix", "error: flag --config=configs/mini.py:nix: Error whilst"),
  ],
)
def test_a_configuration_that_is_not_there_is_one_line(launcher, config, match):
  done = launcher.run("eval", f"--config={config}", "--workdir=/none")
  assert complaint(done).startswith(match)
  assert len(done.stderr.strip().splitlines()) == 1
