"""configs/sweep_larger.py names what configs/train_diffwave.py leaves on disk."""

import pathlib

import pytest

from configs import sweep_larger, sweep_mini, train_diffwave


@pytest.mark.parametrize("corpus", sweep_larger.EPOCHS)
def test_targets_are_snapshots_of_the_trainings(corpus):
  config = sweep_larger.get_config(corpus)
  variants = config.sweep.variants.epochs
  by_epochs = {label: variants[label].get("targets") for label in variants}
  # The last is the main run, without changes.
  last = str(sweep_larger.EPOCHS[corpus][-1])
  assert by_epochs.pop(last) is None
  for label, targets in (*by_epochs.items(), (last, config.targets)):
    for name in "ab":
      assert int(label) == epochs_of(targets[name.upper()], corpus, config, name)
    assert targets.reference == config.targets.reference


@pytest.mark.parametrize("corpus", ["multigenre", "piano"])
def test_embedded_models_are_followed_along_their_own_trainings(corpus):
  config = sweep_mini.get_config(corpus)
  variants = config.sweep.variants.epochs
  (last,) = (label for label, changes in variants.items() if not changes)
  assert int(last) == train_diffwave.get_config(f"{corpus},a").epochs
  for label in set(variants) - {last}:
    for name in "ab":
      found = variants[label].targets[name.upper()]
      assert int(label) == epochs_of(found, corpus, config, name)


def epochs_of(snapshot, corpus, config, group):
  """All epochs of a snapshot, those of the model that it was trained on from too."""
  path = pathlib.PurePosixPath(snapshot)
  run = path.parts[2].removesuffix(f"-{group}")
  assert path.parts[:2] == ("runs", "train")
  assert path.parts[2:-1] == (f"{run}-{group}", "snapshots")
  assert run.startswith(corpus)
  training = train_diffwave.get_config(f"{run},{group}")
  own = int(path.name)
  assert own in training.snapshot_epochs
  assert training.corpus.path == config.corpus.path
  assert training.corpus.clip_seconds == config.corpus.clip_seconds
  before = training.initial
  return own + (epochs_of(before, corpus, config, group) if before else 0)


def test_an_unknown_corpus_is_refused():
  with pytest.raises(ValueError, match="known: core, core-full, chorales"):
    sweep_larger.get_config("opera")
