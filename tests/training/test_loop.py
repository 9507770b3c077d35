"""Whole trainings of a tiny DiffWave on a folder of tones, by function calls."""

import hashlib
import json
import shutil

import chex
import numpy as np
import pytest
import soundfile

from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.training import TrainSettings, estimate, loop, preparation, train

RATE, SECONDS, TRACKS, EPOCHS = 8000, 0.256, 4, 24


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory):
  """Four tracks of a tone and noise in each of two groups."""
  folder, rng = tmp_path_factory.mktemp("corpus") / "tiny", np.random.default_rng(0)
  time = np.arange(2 * RATE) / RATE
  for group in "ab":
    (folder / group).mkdir(parents=True)
    for i in range(TRACKS):
      tone = np.sin(2 * np.pi * rng.uniform(100, 1500) * time)
      music = 0.2 * tone + 0.3 * rng.normal(size=time.size)
      soundfile.write(folder / group / f"{group}{i:02d}.wav", music, RATE, "FLOAT")
  return folder


@pytest.fixture(scope="module")
def settings(corpus_folder):
  """24 epochs of two steps, a checkpoint every four."""
  return TrainSettings.from_dict(
    dict(
      corpus=dict(path=str(corpus_folder), groups=["a"], clip_seconds=SECONDS),
      model=dict(
        family="diffwave",
        network=dict(channels=4, layers=2, dilation_cycle=2, embedding_width=8),
        schedule=dict(
          name="linear", num_train_timesteps=20, beta_start=1e-4, beta_end=0.2
        ),
        sample_rate=RATE,
        scale=4.0,
      ),
      eval_groups=["a", "b"],
      batch_size=3,
      epochs=EPOCHS,
      learning_rate=1.5e-3,
      warmup_steps=5,
      log_every=1,
      eval_epochs=6,
      save_epochs=4,
      snapshot_epochs=[12, 24],
    )
  )


@pytest.fixture(scope="module")
def trained(tmp_path_factory, settings):
  """Working folder of a whole training on group a."""
  workdir = tmp_path_factory.mktemp("train") / "whole"
  assert train(settings, workdir) == workdir / "model"
  return workdir


def read_rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def files(folder):
  return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def training_of(folder):
  return checkpoints.load_model(folder)[1]["training"]


def test_every_step_is_logged_and_the_loss_falls(trained):
  rows = read_rows(trained / "losses.jsonl")
  steps = [row for row in rows if "loss" in row]
  assert [row["step"] for row in steps] == list(range(1, 2 * EPOCHS + 1))
  assert [row["epoch"] for row in steps] == [i // 2 for i in range(2 * EPOCHS)]
  loss = [row["loss"] for row in steps]
  assert np.mean(loss[-12:]) < np.mean(loss[:6])
  followed = [row for row in rows if "eval_loss" in row]
  assert [row["epoch"] for row in followed] == [6, 12, 18, 24]
  assert all(set(row["eval_loss"]) == {"a", "b"} for row in followed)


def test_an_interrupted_training_ends_as_one_left_alone(
  trained, settings, tmp_path, monkeypatch
):
  """An exception between two checkpoints; a kill is tests/launch/test_train.py's."""
  epoch, broken = loop._train_epoch, []

  def breaking(*args):
    if args[4] == 10 and not broken:
      broken.append(True)
      raise KeyboardInterrupt
    return epoch(*args)

  monkeypatch.setattr(loop, "_train_epoch", breaking)
  with pytest.raises(KeyboardInterrupt):
    train(settings, tmp_path)
  assert not (tmp_path / "model").exists()
  train(settings, tmp_path)
  names = ["losses.jsonl", "model/model.json", "model/weights.safetensors"]
  names += [f"snapshots/{epoch:05d}/weights.safetensors" for epoch in (12, 24)]
  for name in names:
    assert (tmp_path / name).read_bytes() == (trained / name).read_bytes(), name


def test_the_record_names_the_clips_of_the_group_alone(trained, corpus_folder):
  params, record = checkpoints.load_model(trained / "model")
  chex.assert_tree_all_finite(params)
  clips = open_corpus(
    corpus_folder, sample_rate=RATE, clip_seconds=SECONDS, clips_per_track=1
  ).select("a")
  expected = [
    {"id": clip.id, "sha256": hashlib.sha256(audio.tobytes()).hexdigest()}
    for clip, audio in zip(clips.clips, clips.audio, strict=True)
  ]
  training = record["training"]
  assert training["clips"] == expected
  assert len(expected) == TRACKS
  assert (training["group"], training["epochs"]) == ("a", EPOCHS)
  assert training["config"]["model"] == record["model"]
  assert training["config"]["learning_rate"] == 1.5e-3
  assert training["eval_loss"] == read_rows(trained / "losses.jsonl")[-1]["eval_loss"]
  assert len(training["eval_loss"]["a"]) == len(training["eval_t_ratios"])
  half = checkpoints.load_model(trained / "snapshots" / "00012")
  assert half[1]["training"]["epochs"] == 12
  assert not np.array_equal(
    half[0]["input_projection"]["kernel"], params["input_projection"]["kernel"]
  )


def test_the_settings_come_back_from_the_record(trained, settings):
  config = training_of(trained / "model")["config"]
  assert TrainSettings.from_dict(config) == settings
  run = json.loads((trained / "run.json").read_text())
  assert run["config"] == config
  assert len(run["data"]) == 64


def test_other_settings_are_refused(trained, settings):
  before = files(trained)
  with pytest.raises(ArgumentError, match=r"differs in config.learning_rate;"):
    train(settings.changed({"learning_rate": 0.1}), trained)
  assert files(trained) == before


def test_an_estimate_writes_nothing(settings, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  found = estimate(settings)
  assert (found.clips, found.epochs, found.steps_per_epoch) == (TRACKS, EPOCHS, 2)
  assert found.hours == EPOCHS * 2 * found.step_seconds / 3600 > 0
  assert "4 clips, 24 epochs of 2 steps" in str(found)
  assert not list(tmp_path.iterdir())


def test_another_model_in_the_place_of_the_export_is_not_replaced(
  tmp_path, trained, settings
):
  export = shutil.copytree(trained / "model", tmp_path / "export")
  before = (export / "model.json").read_bytes()
  with pytest.raises(ArgumentError, match=r"^export=.*: it holds another model"):
    train(settings.changed({"seed": 9}), tmp_path / "run", export)
  assert (export / "model.json").read_bytes() == before
  # Nothing was begun.
  assert not (tmp_path / "run").exists()
  # What a version before had no setting for does not tell models apart.
  record = json.loads(before)
  del record["training"]["config"]["lora_rank"]
  (export / "model.json").write_text(json.dumps(record))
  loop._check_export(export, settings)


def test_goes_on_from_another_model_and_counts_its_clips(tmp_path, trained, settings):
  changes = {"initial": str(trained / "model"), "corpus.groups": ["b"], "epochs": 2}
  changes |= {"learning_rate": 1e-7, "final_learning_rate": 1e-7}
  export = train(settings.changed(changes), tmp_path / "run", tmp_path / "export")
  assert export == tmp_path / "export"
  before, old = checkpoints.load_model(trained / "model")
  after, new = checkpoints.load_model(export)
  chex.assert_trees_all_close(before, after, atol=1e-5)
  training = new["training"]
  assert training["initial"] == old["weights_sha256"]
  # The clips are of both groups, hence neither half's are the members.
  assert training["group"] is None
  ids = {clip["id"] for clip in training["clips"]}
  assert ids > {clip["id"] for clip in old["training"]["clips"]}
  assert [sum(name.startswith(g) for name in ids) for g in "ab"] == [TRACKS, TRACKS]


def test_a_whole_corpus_is_trained_on_and_its_losses_followed_on_some_clips(
  tmp_path, settings
):
  def record(clips):
    """The record of a training that changes nothing."""
    changes = {"epochs": 1, "corpus.clips_per_track": clips}
    changes |= {"learning_rate": 0.0, "final_learning_rate": 0.0}
    return training_of(train(settings.changed(changes), tmp_path / str(clips)))

  whole, one = record(3), record(1)
  assert (len(whole["clips"]), len(one["clips"])) == (3 * TRACKS, TRACKS)
  # The weights are untrained, the clips and draws the same.
  assert whole["eval_loss"] == one["eval_loss"]


def test_a_loss_that_is_no_number_is_neither_kept_nor_exported(tmp_path, settings):
  # Between two lines of the log, which would say so too.
  changes = {"epochs": 4, "log_every": 100, "learning_rate": 1e30}
  with pytest.raises(
    SettingError, match=r"learning_rate=1e\+30: the loss is (nan|inf)"
  ):
    train(settings.changed(changes), tmp_path)
  assert not (tmp_path / "model").exists()
  assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_a_gradient_that_is_no_number_is_not_kept_either(
  tmp_path, settings, monkeypatch
):
  make_step = preparation.make_step

  def diverging(*args):
    step = make_step(*args)

    def at_the_end(state, batch, mask, key, count):
      state, figures = step(state, batch, mask, key, count)
      return state, figures | {"grad_norm": np.where(count == 7, np.inf, 1.0)}

    return at_the_end

  monkeypatch.setattr(preparation, "make_step", diverging)
  with pytest.raises(SettingError, match=r"the grad_norm is inf at step 8; .*workdir"):
    train(settings.changed({"epochs": 4, "log_every": 100}), tmp_path)
  assert not (tmp_path / "model").exists()
  assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_one_step_is_a_training(tmp_path, settings):
  changes = {"epochs": 1, "batch_size": TRACKS, "snapshot_epochs": [1]}
  folder = train(settings.changed(changes), tmp_path)
  assert checkpoints.load_model(folder)[1]["training"]["epochs"] == 1


def test_a_snapshot_that_will_not_be_is_said(settings, caplog):
  estimate(settings.changed({"epochs": 13}))
  assert "none after 24 epochs, as the training ends after 13" in caplog.text


def test_a_model_without_a_rate_is_refused(tmp_path, settings):
  own = settings.to_dict()
  del own["model"]["sample_rate"]
  with pytest.raises(SettingError, match=r"^model\.sample_rate: is missing"):
    train(TrainSettings.from_dict(own), tmp_path)


def initial_model(trained, folder, change):
  """A copy of the trained model with something changed."""
  change(shutil.copytree(trained / "model", folder))
  return str(folder)


def other_samples(folder):
  record = json.loads((folder / "model.json").read_text())
  record["training"]["clips"][0]["sha256"] = "0" * 64
  (folder / "model.json").write_text(json.dumps(record))


def cut_short(folder):
  with (folder / "weights.safetensors").open("r+b") as file:
    file.truncate(1000)


@pytest.mark.parametrize(
  ("change", "match"),
  [
    (other_samples, r"initial=.*other: it was trained on other samples of a\d\d@"),
    (cut_short, r"initial: .*other: damaged"),
  ],
)
def test_a_model_that_is_not_what_it_says_is_not_trained_on(
  tmp_path, trained, settings, change, match
):
  other = initial_model(trained, tmp_path / "other", change)
  with pytest.raises(SettingError, match=match):
    train(settings.changed({"initial": other}), tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"log_every": 0}, "log_every=0: at least 1"),
    ({"save_epochs": 0}, "save_epochs=0: at least 1"),
    ({"epochs": 0}, "epochs=0: at least 1"),
    ({"batch_size": 65_537}, "batch_size=65537: at least 1 and at most 65536"),
    ({"corpus.groups": ["c"]}, r"corpus: groups=\['c'\]"),
    ({"corpus.path": "/nowhere"}, "corpus: "),
    ({"trains": "choir"}, "trains=choir: one of denoiser, lora, vae, vocoder"),
    ({"trains": "vae"}, "trains=vae: a model of family diffwave has none"),
    ({"parts": {"vae": "nowhere"}}, "parts.vae: no model folder nowhere"),
    ({"initial": "nowhere"}, "initial: no model folder nowhere"),
    ({"model": {"family": "x"}}, "model: unknown model family"),
    ({"model": {"network": {"channels": -1}}}, "model: .*channels"),
    ({"snapshot_epochs": [0]}, "snapshot_epochs=.*0.*: at least 1"),
  ],
)
def test_a_setting_that_cannot_be_used_is_named(tmp_path, settings, changes, match):
  with pytest.raises(SettingError, match=f"^{match}"):
    train(settings.changed(changes), tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_a_model_of_other_size_is_not_trained_on(tmp_path, trained, settings):
  changes = {"initial": str(trained / "model"), "model": {"scale": 3.0}}
  match = r"^initial=.*model: its scale is not that of `model`: 4.0 and 3.0"
  with pytest.raises(SettingError, match=match):
    train(settings.changed(changes), tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_a_part_comes_from_a_folder_as_it_is(tmp_path, trained, settings):
  """A network of that name must be in it."""
  changes = {"parts": {"vae": str(trained / "model")}}
  with pytest.raises(SettingError, match=r"^parts.vae: .*model: has no vae, but"):
    train(settings.changed(changes), tmp_path / "run")
