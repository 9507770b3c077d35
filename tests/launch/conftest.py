"""What the tests of the launchers share: a corpus, a training, a way to run."""

import pytest
import tiny_experiment
import tiny_parted
from launching import Launcher, eval_flags, train_flags
from tiny_tracks import write_bad_files


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
  """Four tracks a half, development clips for tau, and bad files in group b."""
  folder = tiny_experiment.write_corpus(tmp_path_factory.mktemp("corpus") / "tiny")
  write_bad_files(folder / "b")
  return folder


@pytest.fixture(scope="session")
def launcher():
  """See Launcher."""
  launcher = Launcher()
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
def settings(tmp_path_factory, corpus_folder):
  """What is changed in configs/mini.py: tiny models, clips and searches."""
  targets = tiny_experiment.save_models(
    tmp_path_factory.mktemp("models"), corpus_folder
  )
  return tiny_experiment.changes(corpus_folder, targets)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, launcher, settings):
  """(working folder, process) of an evaluation that nothing disturbed."""
  workdir = tmp_path_factory.mktemp("eval") / "undisturbed"
  done = launcher.run("eval", *eval_flags(workdir, settings))
  assert done.returncode == 0, done.stderr
  return workdir, done


@pytest.fixture(scope="session")
def parted(tmp_path_factory):
  """The settings with a corpus of both parts, and models said to be trained on it."""
  return tiny_parted.changes(tmp_path_factory.mktemp("parted"))
