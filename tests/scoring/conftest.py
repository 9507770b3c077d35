"""What tests of scoring share: an experiment of seconds, and one that is finished."""

import dataclasses
import pathlib

import pytest
import tiny_experiment
from tiny_tracks import write_bad_files

from configs import mini
from lsaprobe_jax.scoring.evaluate import EvaluationResult, evaluate
from lsaprobe_jax.scoring.settings import Experiment


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory):
  """Four tracks a half, development clips for tau, and bad files in group b."""
  folder = tiny_experiment.write_corpus(tmp_path_factory.mktemp("corpus") / "tiny")
  write_bad_files(folder / "b")
  return folder


@pytest.fixture(scope="session")
def settings(tmp_path_factory, corpus_folder):
  """The embedded experiment with tiny models, clips and searches."""
  targets = tiny_experiment.save_models(
    tmp_path_factory.mktemp("models"), corpus_folder
  )
  whole = Experiment.from_dict(mini.get_config().to_dict())
  return whole.changed(tiny_experiment.changes(corpus_folder, targets))


@dataclasses.dataclass(frozen=True)
class Finished:
  """An evaluation that nothing disturbed, what it said on the way, and its folder."""

  folder: pathlib.Path
  result: EvaluationResult
  progress: tuple[str, ...]


@pytest.fixture(scope="session")
def finished(tmp_path_factory, settings):
  """See `Finished`; tests that write into the folder take a copy of it."""
  folder, said = tmp_path_factory.mktemp("eval") / "undisturbed", []
  result = evaluate(settings, folder, progress=said.append)
  return Finished(folder, result, tuple(said))
