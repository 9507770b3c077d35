"""What the tests of the launchers share: a corpus, a training, a way to run."""

import pytest
from launching import (
  Launcher,
  eval_flags,
  tiny_weights,
  train_flags,
  write_bad_files,
  write_corpus,
  write_track,
)

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.models import checkpoints

# By their names some are tune tracks and some test tracks.
PARTED = {
  "a": ("a00", "a01", "a02", "a03", "a04"),
  "b": ("b00", "b01", "b06", "b10"),
  "dev": tuple(f"dev{i:02d}" for i in range(7)),
}


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
  """Four tracks a half, development clips for tau, and bad files in group b."""
  folder = write_corpus(tmp_path_factory.mktemp("corpus") / "tiny")
  write_bad_files(folder / "b")
  return folder


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
  """See Launcher."""
  launcher = Launcher(tmp_path_factory.mktemp("compiled"))
  yield launcher
  launcher.close()


@pytest.fixture(scope="session")
def trained(tmp_path_factory, corpus_folder, launcher):
  """Working folder of a training on group a that nothing disturbed."""
  workdir = tmp_path_factory.mktemp("train") / "undisturbed"
  done = launcher.run("train", f"--workdir={workdir}", *train_flags(corpus_folder))
  assert done.returncode == 0, done.stderr
  return workdir


@pytest.fixture(scope="session")
def settings(tmp_path_factory, corpus_folder, trained):
  """What is changed in configs/mini.py: tiny models, clips and searches."""
  record = checkpoints.load_model(trained / "model")[1]
  folders = {"A": trained / "model"}
  for seed, (name, group) in enumerate((("B", "b"), ("reference", "reference"))):
    clips = corpora.open_corpus(
      corpus_folder,
      sample_rate=8000,
      clip_seconds=0.256,
      clips_per_track=1,
      groups=[group],
    )
    seen = [{"id": clip.id, "sha256": clip.sha256} for clip in clips.clips]
    folders[name] = tmp_path_factory.mktemp("models") / name
    weights = tiny_weights(record["model"], seed)
    training = {"group": group, "clips": seen}
    checkpoints.save_model(folders[name], weights, record["model"], training)
  return {
    "corpus.path": str(corpus_folder),
    "corpus.clip_seconds": 0.256,
    "corpus.dev_clips_per_track": 3,
    **{f"targets.{name}": str(folder) for name, folder in folders.items()},
    "distance": "log_mel",
    "tau.eta_ref": 0.2,
    "part": "all",
    "search.continuation.rungs": 3,
    "search.continuation.steps": 1,
    "bootstrap_resamples": 50,
    "baselines.loss.draws": 2,
    "baselines.random_stability.draws": 2,
    "baselines.rediffuse.draws": 2,
    "batch_size": 4,
  }


@pytest.fixture(scope="session")
def finished(tmp_path_factory, launcher, settings):
  """(working folder, process) of an evaluation that nothing disturbed."""
  workdir = tmp_path_factory.mktemp("eval") / "undisturbed"
  done = launcher.run("eval", *eval_flags(workdir, settings))
  assert done.returncode == 0, done.stderr
  return workdir, done


@pytest.fixture(scope="session")
def parted(tmp_path_factory, settings):
  """The settings with a corpus of both parts, and models said to be trained on it."""
  corpus = tmp_path_factory.mktemp("bench") / "tiny"
  for seed, (group, name) in enumerate((g, n) for g, ns in PARTED.items() for n in ns):
    write_track(corpus / group / f"{name}.wav", seed)
  changes = {"corpus.path": str(corpus)}
  model = checkpoints.load_model(settings["targets.A"])[1]["model"]
  for seed, (name, group) in enumerate((("A", "a"), ("B", "b"))):
    clips = corpora.open_corpus(
      corpus, sample_rate=8000, clip_seconds=0.256, clips_per_track=1, groups=[group]
    )
    seen = [{"id": clip.id, "sha256": clip.sha256} for clip in clips.clips]
    folder = tmp_path_factory.mktemp("bench-models") / name
    weights = tiny_weights(model, seed)
    checkpoints.save_model(folder, weights, model, {"group": group, "clips": seen})
    changes[f"targets.{name}"] = str(folder)
  return settings | changes
