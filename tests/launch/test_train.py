"""launch.train from its command line, killed and not."""

import re

import pytest
from launching import complaint, train_flags
from stored_rows import read_rows

from configs import mini
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.scoring.evaluate import evaluate
from lsaprobe_jax.scoring.settings import Experiment


@pytest.fixture(scope="module")
def resumed(tmp_path_factory, corpus_folder, launcher, trained):
  """Working folder of the same training, killed between two checkpoints."""
  del trained  # first, so that this one finds everything compiled
  workdir = tmp_path_factory.mktemp("train") / "killed"
  flags = (f"--workdir={workdir}", *train_flags(corpus_folder))
  log = workdir / "losses.jsonl"
  steps = lambda: sum("loss" in row for row in read_rows(log))
  launcher.run_and_kill(lambda: steps() > 2 * 6, "train", *flags)
  assert not (workdir / "model").exists()
  assert list((workdir / "checkpoints").iterdir())
  done = launcher.run("train", *flags)
  assert done.returncode == 0, done.stderr
  assert "resumed after epoch" in done.stderr
  assert "resumed after epoch 0" not in done.stderr
  return workdir


def test_a_killed_run_ends_as_one_left_alone(trained, resumed):
  names = ["losses.jsonl", "model/model.json", "model/weights.safetensors"]
  names += [f"snapshots/{epoch:05d}/weights.safetensors" for epoch in (12, 24)]
  for name in names:
    assert (resumed / name).read_bytes() == (trained / name).read_bytes(), name


def test_what_cannot_be_written_ends_it_in_one_line(
  tmp_path, trained, corpus_folder, launcher
):
  """It ends before anything is compiled, as does a setting that cannot be used."""
  (tmp_path / "losses.jsonl").mkdir()
  (tmp_path / "run.json").write_text((trained / "run.json").read_text())
  flags = (f"--workdir={tmp_path}", *train_flags(corpus_folder))
  line = complaint(launcher.run("train", *flags))
  assert "losses.jsonl" in line
  assert f"goes on from the last checkpoint in {tmp_path}" in line
  line = complaint(launcher.run("train", *flags, "--config.log_every=0"))
  assert "error: --config.log_every=0: at least 1" in line
  line = complaint(launcher.run("train", *flags, "--config.learning_rate=0.1"))
  assert f"error: --workdir={tmp_path} holds a run that differs in" in line


def test_a_dry_run_estimates_and_writes_nothing(tmp_path, corpus_folder, launcher):
  flags = (f"--workdir={tmp_path / 'none'}", *train_flags(corpus_folder), "--dry_run")
  done = launcher.run("train", *flags)
  assert done.returncode == 0, done.stderr
  found = re.search(r"(\d+) clips, (\d+) epochs of (\d+) steps, (\S+) s", done.stdout)
  clips, epochs, steps = map(int, found.groups()[:3])
  assert clips > steps > 1
  hours = float(re.search(r"estimate: (\S+) h on ", done.stdout)[1])
  assert hours == pytest.approx(epochs * steps * float(found[4]) / 3600, abs=0.006)
  assert not (tmp_path / "none").exists()


def test_a_model_that_it_made_is_scored(trained, settings):
  """It knows its members, and would refuse another clip of its group."""
  source = trained / "model"
  model = load_model(source, name="A")
  assert model.group == "a"
  assert len(model.members) == 4
  whole = Experiment.from_dict(mini.get_config().to_dict())
  changes = settings | {"targets.A": str(source), "methods": ("loss",)}
  result = evaluate(whole.changed(changes))
  members = {row["clip"] for row in result.rows if row["split"] == "member"}
  assert members >= set(model.members)
