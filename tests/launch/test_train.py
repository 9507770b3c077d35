"""launch.train from its command line, killed and not."""

import hashlib
import json
import re
import shutil

import jax
import numpy as np
import pytest
from launching import complaint, read_rows, train_flags

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.models import checkpoints


@pytest.fixture(scope="session")
def resumed(tmp_path_factory, corpus_folder, launcher, trained):
  """Working folder of the same training, killed between two checkpoints."""
  del trained  # first, so that this one finds everything compiled
  workdir = tmp_path_factory.mktemp("train") / "killed"
  flags = (f"--workdir={workdir}", *train_flags(corpus_folder))
  log = workdir / "losses.jsonl"
  launcher.run_and_kill(lambda: len(_steps(log)) > 2 * 6, "train", *flags)
  assert not (workdir / "model").exists()
  assert list((workdir / "checkpoints").iterdir())
  done = launcher.run("train", *flags)
  assert done.returncode == 0, done.stderr
  assert "resumed after epoch" in done.stderr
  assert "resumed after epoch 0" not in done.stderr
  return workdir


def _steps(log):
  return [row for row in read_rows(log) if "loss" in row]


def test_every_step_is_logged_and_the_loss_falls(trained):
  rows = _steps(trained / "losses.jsonl")
  assert [row["step"] for row in rows] == list(range(1, 49))
  assert [row["epoch"] for row in rows] == [i // 2 for i in range(48)]
  loss = [row["loss"] for row in rows]
  assert np.mean(loss[-12:]) < np.mean(loss[:6])
  held = [row for row in read_rows(trained / "losses.jsonl") if "held" in row]
  assert [row["epoch"] for row in held] == [6, 12, 18, 24]
  assert all(set(row["held"]) == {"a", "b"} for row in held)


def test_a_killed_run_ends_as_one_left_alone(trained, resumed):
  names = ["losses.jsonl", "model/model.json", "model/weights.safetensors"]
  names += [f"snapshots/{epoch:05d}/weights.safetensors" for epoch in (12, 24)]
  for name in names:
    assert (resumed / name).read_bytes() == (trained / name).read_bytes(), name


def test_the_record_names_the_clips_of_the_group_alone(trained, corpus_folder):
  params, record = checkpoints.load_model(trained / "model")
  clips = corpora.open_corpus(
    corpus_folder, sample_rate=8000, clip_seconds=0.256, clips_per_track=1
  ).select("a")
  expected = [
    {"id": clip.id, "sha256": hashlib.sha256(audio.tobytes()).hexdigest()}
    for clip, audio in zip(clips.clips, clips.audio, strict=True)
  ]
  training = record["training"]
  assert training["clips"] == expected
  assert len(expected) == 4
  assert (training["group"], training["epochs"]) == ("a", 24)
  assert training["config"]["model"] == record["model"]
  assert training["config"]["learning_rate"] == 1.5e-3
  last = read_rows(trained / "losses.jsonl")[-1]
  assert training["losses"] == last["held"]
  half = checkpoints.load_model(trained / "snapshots" / "00012")
  assert half[1]["training"]["epochs"] == 12
  assert not np.array_equal(
    half[0]["input_projection"]["kernel"], params["input_projection"]["kernel"]
  )


def test_other_settings_are_refused(trained, corpus_folder, launcher):
  before = _files(trained)
  flags = (f"--workdir={trained}", *train_flags(corpus_folder))
  done = launcher.run("train", *flags, "--config.learning_rate=0.1")
  assert done.returncode == 1
  assert "differs in config.learning_rate;" in complaint(done)
  assert _files(trained) == before


def _files(folder):
  return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_what_cannot_be_written_ends_it_in_one_line(
  tmp_path, trained, corpus_folder, launcher
):
  workdir = shutil.copytree(trained, tmp_path / "run")
  (workdir / "losses.jsonl").unlink()
  (workdir / "losses.jsonl").mkdir()
  flags = (f"--workdir={workdir}", *train_flags(corpus_folder))
  line = complaint(launcher.run("train", *flags))
  assert "losses.jsonl" in line
  assert "goes on from the last checkpoint" in line


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


def test_goes_on_from_another_model_and_counts_its_clips(
  tmp_path, trained, corpus_folder, launcher
):
  flags = (f"--workdir={tmp_path}", *train_flags(corpus_folder))
  flags += (f"--config.initial={trained / 'model'}", "--config.corpus.groups=('b',)")
  flags += ("--config.epochs=2", "--config.learning_rate=1e-7")
  flags += ("--config.final_learning_rate=1e-7",)
  done = launcher.run("train", *flags)
  assert done.returncode == 0, done.stderr
  before, old = checkpoints.load_model(trained / "model")
  after, new = checkpoints.load_model(tmp_path / "model")
  for left, right in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
    np.testing.assert_allclose(left, right, atol=1e-5)
  training = new["training"]
  assert training["initial"] == old["weights_sha256"]
  # Of both groups, hence a member group of neither half.
  assert training["group"] is None
  ids = {clip["id"] for clip in training["clips"]}
  assert ids > {clip["id"] for clip in old["training"]["clips"]}
  assert [sum(name.startswith(g) for name in ids) for g in "ab"] == [4, 4]


def test_a_model_of_other_size_is_not_trained_on(
  tmp_path, trained, corpus_folder, launcher
):
  flags = (f"--workdir={tmp_path / 'run'}", *train_flags(corpus_folder))
  flags += (f"--config.initial={trained / 'model'}", "--config.model.scale=3.0")
  line = complaint(launcher.run("train", *flags))
  assert f"--config.initial={trained / 'model'}: its scale is not that of" in line
  assert "4.0 and 3.0" in line
  assert not (tmp_path / "run").exists()


def test_a_model_that_saw_other_samples_under_an_id_is_not_trained_on(
  tmp_path, trained, corpus_folder, launcher
):
  other = tmp_path / "other"
  shutil.copytree(trained / "model", other)
  record = json.loads((other / "model.json").read_text())
  record["training"]["clips"][0]["sha256"] = "0" * 64
  (other / "model.json").write_text(json.dumps(record))
  flags = (f"--workdir={tmp_path / 'run'}", *train_flags(corpus_folder))
  line = complaint(launcher.run("train", *flags, f"--config.initial={other}"))
  assert f"other samples of {record['training']['clips'][0]['id']}" in line
  assert not (tmp_path / "run").exists()


def test_damaged_weights_are_not_trained_on(tmp_path, trained, corpus_folder, launcher):
  other = tmp_path / "other"
  shutil.copytree(trained / "model", other)
  with (other / "weights.safetensors").open("r+b") as file:
    file.truncate(1000)
  flags = (f"--workdir={tmp_path / 'run'}", *train_flags(corpus_folder))
  line = complaint(launcher.run("train", *flags, f"--config.initial={other}"))
  assert f"--config.initial: {other}: damaged" in line
  assert not (tmp_path / "run").exists()


def test_a_whole_corpus_is_trained_on_and_its_losses_followed_on_some_clips(
  tmp_path, corpus_folder, launcher
):
  def record(name, clips):
    """Of a training that changes nothing."""
    flags = (f"--workdir={tmp_path / name}", *train_flags(corpus_folder))
    flags += ("--config.epochs=1", f"--config.corpus.clips_per_track={clips}")
    flags += ("--config.learning_rate=0.0", "--config.final_learning_rate=0.0")
    done = launcher.run("train", *flags)
    assert done.returncode == 0, done.stderr
    return checkpoints.load_model(tmp_path / name / "model")[1]["training"]

  whole, one = record("whole", 3), record("one", 1)
  assert (len(whole["clips"]), len(one["clips"])) == (12, 4)
  # Untrained, of the same clips at the same draws.
  assert whole["losses"] == one["losses"]


@pytest.mark.parametrize("name", ["log_every", "save_epochs", "epochs"])
def test_an_interval_of_nothing_is_refused(tmp_path, corpus_folder, launcher, name):
  flags = (f"--workdir={tmp_path / 'run'}", *train_flags(corpus_folder))
  line = complaint(launcher.run("train", *flags, f"--config.{name}=0"))
  assert f"--config.{name}=0: at least 1" in line


def test_a_loss_that_is_no_number_is_neither_kept_nor_exported(
  tmp_path, corpus_folder, launcher
):
  flags = (f"--workdir={tmp_path}", *train_flags(corpus_folder), "--config.epochs=4")
  # Between two lines of the log, which would say so too.
  flags += ("--config.log_every=100", "--config.learning_rate=1e30")
  done = launcher.run("train", *flags)
  assert done.returncode != 0
  assert "the loss is nan" in done.stderr or "the loss is inf" in done.stderr
  assert not (tmp_path / "model").exists()
  assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_an_unknown_group_is_refused(tmp_path, corpus_folder, launcher):
  flags = (f"--workdir={tmp_path / 'run'}", *train_flags(corpus_folder))
  done = launcher.run("train", *flags, "--config.corpus.groups=('c',)")
  assert done.returncode == 1
  assert "--config.corpus: groups are among" in complaint(done)
  assert "not ['c']" in complaint(done)
  assert not (tmp_path / "run").exists()


def test_run_json_says_what_the_folder_is_for(trained):
  run = json.loads((trained / "run.json").read_text())
  assert run["config"]["corpus"]["groups"] == ["a"]
  assert len(run["data"]) == 64
