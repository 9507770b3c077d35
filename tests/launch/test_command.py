"""How launchers end: in one line on what a person gave wrong, else by a traceback."""

import pathlib
import sys

import pytest
from absl import app
from launching import complaint

from launch import command
from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.errors import ArgumentError, LsaProbeError, SettingError
from lsaprobe_jax.files import from_home
from lsaprobe_jax.rows import RowError


@pytest.mark.parametrize(
  ("error", "match"),
  [
    (OSError(28, "No space left on device"), "No space left"),
    (MemoryError(), "out of memory"),
    (RuntimeError("RESOURCE_EXHAUSTED: 9 bytes"), "out of memory"),
    (AudioError("x.wav: empty"), r"x\.wav: empty"),
    (RowError("scores.jsonl: c: score is nan"), "score is nan"),
    (OSError("caf\udce9\n\x1b[31m.wav"), r"caf\\udce9 \\x1b\[31m\.wav"),
    (
      FileNotFoundError(2, "No such file", "gone/scores.jsonl"),
      "No such .*gone/scores",
    ),
  ],
)
def test_what_happens_to_files_ends_in_one_line(error, match):
  with (
    pytest.raises(SystemExit, match=rf"^error: .*{match}.*goes on from the rows") as e,
    command.ending_in_one_line("the rows"),
  ):
    raise error
  assert len(str(e.value).splitlines()) == 1


@pytest.mark.parametrize(
  "error", [ZeroDivisionError(), SettingError("seed=-1: least 0"), RuntimeError("x")]
)
def test_a_fault_of_the_code_and_a_setting_pass_through(error):
  with pytest.raises(type(error)), command.ending_in_one_line("the rows"):
    raise error


@pytest.mark.parametrize(
  ("error", "line"),
  [
    (
      app.UsageError("--audio: caf\udce9\nof two lines"),
      r"--audio: caf\udce9 of two lines",
    ),
    (SettingError("search.eta_max=0: above 0"), "--config.search.eta_max=0: above 0"),
    (ArgumentError("workdir=x is in use"), "--workdir=x is in use"),
    (LsaProbeError("x.wav: empty"), "x.wav: empty"),
  ],
)
def test_errors_of_use_are_one_line_that_names_the_flag(error, line):
  def main(argv):
    raise error

  with pytest.raises(SystemExit) as caught:
    command._guarded(main, [])
  assert str(caught.value) == f"error: {line}"
  assert sys.stderr


def test_arguments_that_are_no_flags_are_refused():
  command.refuse_arguments(["probe"])
  with pytest.raises(app.UsageError, match="unknown arguments: z"):
    command.refuse_arguments(["probe", "z"])


@pytest.mark.parametrize(
  ("flags", "match"),
  [
    (("--audio=x", "--model=y", "--tau=nan"), "error: --tau=nan: must be a finite"),
    (("--audio=x", "--model=y", "--eta_max=inf"), "error: --eta_max=inf: must be a"),
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


def test_a_path_in_the_home_folder_is_no_folder_called_tilde(launcher):
  line = complaint(launcher.run("probe", "--audio=~/x.wav", "--model=diffwave-piano-a"))
  assert line.startswith(f"error: {pathlib.Path.home()}/x.wav: no such")


@pytest.mark.parametrize(
  ("given", "meant"),
  [
    ("~/x", "HOME/x"),
    ("A=~/x", "A=HOME/x"),
    (["a~", "B=~"], ["a~", "B=HOME"]),
    ("~other/x", "~other/x"),
    ("a/~/b", "a/~/b"),
    ("~/lr=0.1", "HOME/lr=0.1"),
    ("A=~/lr=0.1", "A=HOME/lr=0.1"),
    ("lr=0.1/~", "lr=0.1/~"),
    (3, 3),
  ],
)
def test_tilde_is_the_home_folder_where_a_shell_would_say_so(given, meant, monkeypatch):
  monkeypatch.setenv("HOME", "HOME")
  assert from_home(given) == meant


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
