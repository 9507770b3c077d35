"""The dose benchmark: its trainings and what is tried fit together."""

import pathlib

import pytest

from configs import train_dose, tune_dose


@pytest.mark.parametrize("family", train_dose.FAMILIES)
def test_fine_tunes_go_on_from_the_base_at_a_constant_rate(family):
  base = train_dose.get_config(f"{family},base")
  assert list(base.corpus.groups) == ["reference"]
  assert not base.initial
  seeds = {base.seed}
  for group in ("a", "b"):
    for more in ("", ",1"):
      tuned = train_dose.get_config(f"{family},{group}{more}")
      assert tuned.initial == f"runs/train/dose-{family}-base/model"
      assert list(tuned.corpus.groups) == [group]
      assert tuned.corpus.path == base.corpus.path
      assert tuned.corpus.clip_seconds == base.corpus.clip_seconds
      assert tuned.learning_rate == tuned.final_learning_rate
      assert tuple(tuned.snapshot_epochs) == train_dose.DOSES
      assert tuned.model == base.model
      seeds.add(tuned.seed)
  assert len(seeds) == 3


@pytest.mark.parametrize("arg", ["diffwave", "diffwave,c", "wavenet,a", "diffwave,a,x"])
def test_a_training_that_there_is_not_is_refused(arg):
  with pytest.raises(ValueError, match=f"train_dose.py:{arg}: give diffwave"):
    train_dose.get_config(arg)


@pytest.mark.parametrize("family", train_dose.FAMILIES)
def test_every_method_is_tried_at_both_doses(family):
  config = tune_dose.get_config(family)
  tried = [(c["methods"][0], pathlib.Path(c["targets.A"]).name) for c in config.grid]
  under = {}
  for method, dose in tried:
    under.setdefault(method, []).append(dose)
  assert {"lsa_probe", "lsa_probe_anchored", "loss", "random_stability"} < under.keys()
  for doses in under.values():
    # As often at either.
    assert {doses.count(f"{dose:05d}") for dose in tune_dose.DOSES} == {len(doses) // 2}
