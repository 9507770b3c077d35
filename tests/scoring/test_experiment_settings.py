"""Settings of an experiment, refused by their own names before anything is opened."""

import dataclasses

import pytest

from configs import (
  audit,
  grid,
  mini,
  musicldm,
  paper_diffwave,
  paper_musicldm,
  paper_train,
  sweep_grid,
  sweep_larger,
  sweep_mini,
  train_diffwave,
  train_musicldm,
)
from lsaprobe_jax.audit.settings import AuditSettings
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.scoring import factories
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.scoring.sweep_settings import SweepSettings, check_sweep
from lsaprobe_jax.training.settings import TrainSettings

BIG = 10**400
MINI = Experiment.from_dict(mini.get_config().to_dict())
SWEEP = SweepSettings.from_dict(sweep_mini.get_config().to_dict())
TRAIN = TrainSettings.from_dict(train_diffwave.get_config().to_dict())


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("seed", -1),
    ("seed", 10**20),
    ("seed", 2**31),
    ("seed", True),
    ("batch_size", -1),
    ("batch_size", 10**10),
    ("num_inference_steps", 0),
    ("num_inference_steps", 10**9),
    ("num_inference_steps", "two"),
    ("bootstrap_resamples", -1),
    ("bootstrap_resamples", 0),
    ("bootstrap_resamples", 10**12),
    ("corpus.clip_seconds", float("nan")),
    ("corpus.clip_seconds", BIG),
    ("corpus.clip_seconds", -1.0),
    ("corpus.scored_seconds", float("inf")),
    ("corpus.clips_per_track", 0),
    ("corpus.dev_clips_per_track", BIG),
    ("t_ratio", float("nan")),
    ("tau.eta_ref", 0.0),
    ("tau.eta_ref", -1.0),
    ("tau.eta_ref", float("nan")),
    ("tau.eta_ref", float("inf")),
    ("tau.quantile", 0.0),
    ("tau.quantile", 95.0),
    ("search.eta_max", 0.0),
    ("search.eta_max", float("inf")),
    ("search.continuation.rungs", 10**9),
    ("search.bisection.halvings", 10**9),
    ("search.bisection.step_size", float("nan")),
    ("baselines.loss.draws", 0),
    ("baselines.loss.draws", 10**12),
    ("baselines.loss.t_ratio", 0.0),
    ("baselines.trajectory.times", 0),
    ("baselines.pfami.gain", float("nan")),
    ("baselines.pfami.shift", -1),
    ("baselines.random_stability.eta", -0.1),
    ("baselines.pia.order", 0.0),
    ("max_degradation.eta", 0.0),
    ("precision", "float64"),
    ("untrained", 1),
    ("methods", ("loss", 5)),
  ],
)
def test_a_setting_that_cannot_be_used_is_named(name, value):
  with pytest.raises(SettingError, match=rf"^{name}=.*: ") as caught:
    MINI.changed({name: value})
  assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("sweep.draws", (1, 0)),
    ("sweep.t_ratio", (0.1, 1.5)),
    ("sweep.eta_max", (0.1, float("nan"))),
    ("sweep.eta_ref", (-0.1,)),
  ],
)
def test_settings_of_a_sweep_too(name, value):
  with pytest.raises(SettingError, match=rf"^{name}="):
    SWEEP.changed({name: value})


@pytest.mark.parametrize(
  ("name", "value"),
  [("epochs", 0), ("ema_decay", 1.5), ("learning_rate", float("nan")), ("seed", -1)],
)
def test_settings_of_a_training_too(name, value):
  with pytest.raises(SettingError, match=rf"^{name}="):
    TRAIN.changed({name: value})


@pytest.mark.parametrize(("name", "value"), [("alpha", 0.7), ("permutations", -1)])
def test_settings_of_an_audit_too(name, value):
  with pytest.raises(SettingError, match=rf"^{name}="):
    AuditSettings().changed({name: value})


def test_the_configurations_that_are_there_are_allowed():
  experiments = [
    *(mini.get_config(name) for name in ("multigenre", "piano")),
    *(grid.get_config(cell) for cell in grid.CELLS),
    *(module.get_config() for module in (musicldm, paper_diffwave, paper_musicldm)),
  ]
  for config in experiments:
    factories.check_searches(Experiment.from_dict(config.to_dict()).search)
  sweeps = [
    *(sweep_mini.get_config(name) for name in ("multigenre", "piano")),
    *(sweep_larger.get_config(name) for name in sweep_larger.EPOCHS),
    *(sweep_grid.get_config(cell) for cell in grid.CELLS),
  ]
  for config in sweeps:
    check_sweep(SweepSettings.from_dict(config.to_dict()))
  for config in (
    *(train_musicldm.get_config(name) for name in ("vae", "vocoder", "piano,a")),
    paper_train.get_config(),
  ):
    TrainSettings.from_dict(config.to_dict())
  AuditSettings.from_dict(audit.get_config().to_dict())


def test_an_experiment_is_its_dict_and_back():
  values = MINI.to_dict()
  assert Experiment.from_dict(values) == MINI
  assert (
    values["search"]["continuation"]["rungs"]
    == MINI.search.options["continuation"]["rungs"]
  )
  assert "options" not in values["search"]
  assert Experiment(targets={"A": "x"}).to_dict()["targets"] == {"A": "x"}
  assert dataclasses.replace(MINI, seed=1) == MINI.changed({"seed": 1})


def test_what_is_changed_is_checked_anew_and_leaves_the_rest():
  changed = MINI.changed({"search.bisection.halvings": 3, "tau": {"quantile": 0.5}})
  assert changed.search.options["bisection"]["halvings"] == 3
  assert changed.search.options["continuation"] == MINI.search.options["continuation"]
  assert (changed.tau.quantile, changed.tau.eta_ref) == (0.5, MINI.tau.eta_ref)
  assert MINI.tau.quantile != 0.5


def test_a_search_that_only_a_recording_uses_is_checked():
  unused = {"search.bisection.min_gain": -1.0, "search.bisection.patience": 0}
  settings = MINI.changed(unused)
  with pytest.raises(SettingError, match=r"^search\.bisection"):
    factories.check_searches(settings.search)


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"tau": {"eta_ref": -1.0}}, r"variants\.own\.x\.tau\.eta_ref=-1"),
    ({"num_inference_steps": "two"}, r"variants\.own\.x\.num_inference_steps=two: "),
    ({"no_such": 1}, r"variants\.own\.x\.no_such: there is no such setting"),
    ({"search": {"continuation": {"rungs": 1}}}, r"variants\.own\.x\.search\."),
  ],
)
def test_a_variant_is_refused_before_the_main_table_is_scored(changes, match):
  settings = SWEEP.changed({"sweep.variants.own": {"x": changes}})
  with pytest.raises(SettingError, match=rf"^sweep\.{match}"):
    check_sweep(settings)


def test_a_budget_of_tau_beyond_the_curves_is_refused():
  settings = SWEEP.changed({"sweep.eta_ref": (0.1, 2.0)})
  with pytest.raises(SettingError, match=r"^sweep\.eta_ref=2: no curve goes beyond"):
    check_sweep(settings)
