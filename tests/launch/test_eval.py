"""launch.eval from its command line: whole, killed, refused, on a disk that is full."""

import json
import re
import resource
import shutil
import subprocess

import pytest
from launching import complaint, eval_flags
from stored_rows import read_rows, untimed, untimed_summary
from tiny_tracks import BAD_FILES

from configs import mini
from lsaprobe_jax.scoring.evaluate import evaluate
from lsaprobe_jax.scoring.settings import Experiment

METHODS = ("loss", "rediffuse", "lsa_probe", "lsa_probe_anchored")
FILES = ("scores.jsonl", "curves.jsonl")


def result_of(done, folder):
  """The lines of the result, which ends what the command prints."""
  text = done.stdout[done.stdout.rindex("blind baseline, A against B (tiny): AUC") :]
  return text.rstrip().splitlines()


def test_a_short_result_is_printed_and_the_first_line_is_the_blind_baseline(finished):
  folder, done = finished
  first = next(line for line in done.stdout.splitlines() if line.strip())
  assert first.startswith("blind baseline, A against B (tiny): AUC")
  lines = result_of(done, folder)
  assert len(lines) <= 15
  assert max(map(len, lines[:-1])) <= 100
  text = "\n".join(lines)
  header = next(line for line in lines if line.startswith("method "))
  assert header.split("  ")[-1] == "by both"
  for method in METHODS:
    assert re.search(rf"^{method} +\d", text, re.MULTILINE)
  assert lines[-1].startswith(f"{folder} has the long tables in tables.txt: ")
  assert {row["method"] for row in read_rows(folder / "scores.jsonl")} == {
    "blind", *METHODS
  }  # fmt: skip
  (environment,) = json.loads((folder / "environment.json").read_text())
  assert environment["command"].startswith(
    "python -m launch.eval --config=configs/mini"
  )


def test_files_that_cannot_be_used_are_named_once(finished, corpus_folder):
  err = finished[1].stderr
  for name in BAD_FILES:
    path = corpus_folder / "b" / f"{name}.wav"
    # Groups are opened once, so a file is named once, on one line.
    assert len([line for line in err.splitlines() if f"{path}:" in line]) == 1, name
  assert "odd_rate.wav" not in err


def test_a_killed_run_ends_with_the_same_rows(finished, tmp_path, launcher, settings):
  """The second time in an interpreter that hashes strings in its own way."""
  workdir = tmp_path / "killed"
  scores, curves = workdir / "scores.jsonl", workdir / "curves.jsonl"
  args = eval_flags(workdir, settings)
  # Three methods are done then, and curves, which calibrate tau, are on their way.
  launcher.run_and_kill(lambda: read_rows(curves), "eval", *args)
  some = read_rows(scores)
  assert len(some) >= 9
  assert not (workdir / "summary.json").exists()
  done = launcher.run_afresh("eval", *args)
  assert done.returncode == 0, done.stderr
  assert read_rows(scores)[: len(some)] == some
  for name in FILES:
    rows = [untimed(read_rows(folder / name)) for folder in (workdir, finished[0])]
    assert rows[0] == rows[1]
  assert untimed_summary(workdir) == untimed_summary(finished[0])


def test_a_function_call_goes_on_with_a_folder_of_the_command(
  finished, settings, tmp_path
):
  """The flags make the settings that a call of the library is given."""
  folder = shutil.copytree(finished[0], tmp_path / "again")
  before = {name: (folder / name).read_bytes() for name in (*FILES, "summary.json")}
  whole = Experiment.from_dict(mini.get_config().to_dict())
  evaluate(whole.changed(settings), folder)
  assert before == {name: (folder / name).read_bytes() for name in before}


def test_a_dry_run_prints_an_estimate_and_writes_nothing(tmp_path, launcher, settings):
  args = eval_flags(tmp_path / "none", settings | {"methods": ("loss",)}, "--dry_run")
  done = launcher.run("eval", *args)
  assert done.returncode == 0, done.stderr
  assert re.search(r"loss: \d+ clips, \S+ s each and \d+ s to compile:", done.stdout)
  assert " GiB on " in done.stdout
  assert not (tmp_path / "none").exists()


def test_the_long_tables_are_written_to_a_file(finished):
  folder, done = finished
  text = (folder / "tables.txt").read_text()
  assert text.startswith("blind baseline, A against B (tiny): AUC")
  for method in METHODS:
    for model in ("A", "B", "mean"):
      assert re.search(rf"^{method} +{model} ", text, re.MULTILINE)
  for part in ("TPR% (FPR%) cut on dev", "minus probe [95% by track]", "within clip"):
    assert part in text
  assert "rank correlation of lsa_probe with loss under A: " in text
  # All that was printed of AUCs is there too.
  shown = next(ln for ln in result_of(done, folder) if ln.startswith("loss "))
  assert shown in text.splitlines()


@pytest.mark.parametrize(
  ("change", "line"),
  [
    ({"search.eta_max": 0.0}, "error: --config.search.eta_max=0.0: above 0"),
    ({"corpus.path": "/no/where"}, "error: --config.corpus: /no/where: no such folder"),
    ({"targets.B": "nix"}, "error: --config.targets.B: no model folder nix"),
  ],
)
def test_what_cannot_be_used_ends_in_one_line(
  tmp_path, launcher, settings, change, line
):
  workdir = tmp_path / "run"
  said = complaint(launcher.run("eval", *eval_flags(workdir, settings | change)))
  assert said.startswith(line)
  assert not workdir.exists()


def test_a_folder_of_another_run_ends_in_one_line(finished, launcher, settings):
  changed = settings | {"tau.quantile": 0.9}
  said = complaint(launcher.run("eval", *eval_flags(finished[0], changed)))
  assert said.startswith(f"error: --workdir={finished[0]} holds a run that differs in")
  assert "config.tau.quantile; choose a new folder or delete this one" in said


@pytest.mark.slow
def test_a_full_disk_ends_an_evaluation_in_one_line(
  finished, launcher, settings, tmp_path
):
  """The next rows find no room behind those that are there already."""
  workdir = tmp_path / "full"
  workdir.mkdir()
  shutil.copy(finished[0] / "run.json", workdir / "run.json")
  lines = (finished[0] / "scores.jsonl").read_text().splitlines(keepends=True)
  (workdir / "scores.jsonl").write_text("".join(lines[:5]))
  limit = (workdir / "scores.jsonl").stat().st_size + 100
  process = launcher.start("eval", *eval_flags(workdir, settings))
  resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
  out, err = process.communicate(timeout=300)
  line = complaint(subprocess.CompletedProcess([], process.returncode, out, err))
  assert "File too large" in line
  assert "give the same command" in line
  assert len(read_rows(workdir / "scores.jsonl")) == 5
