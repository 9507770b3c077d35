"""What the tests of the launchers share: a corpus, a training, a way to run."""

import pytest
from launching import Launcher, train_flags, write_bad_files, write_corpus


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
  """Four tracks a half, development clips for tau, and bad files in group b."""
  folder = write_corpus(tmp_path_factory.mktemp("corpus") / "tiny")
  write_bad_files(folder / "b")
  return folder


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
  """See Launcher."""
  return Launcher(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, corpus_folder, launcher):
  """Working folder of a training on group a that nothing disturbed."""
  workdir = tmp_path_factory.mktemp("train") / "undisturbed"
  done = launcher.run("train", f"--workdir={workdir}", *train_flags(corpus_folder))
  assert done.returncode == 0, done.stderr
  return workdir
