"""Settings that are refused before anything is opened, each by its own name."""

import copy
import functools
import types

import pytest
from absl import app

from configs import (
  audit,
  grid,
  larger,
  mini,
  paper_diffwave,
  paper_musicldm,
  paper_train,
  train_diffwave,
  train_musicldm,
  tune_mini,
)
from lsaprobe_jax.scoring import experiment_inputs, factories, rules, variations
from lsaprobe_jax.scoring.scorer import Target

BIG = 10**400


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
    ("sweep.draws", (1, 0)),
    ("sweep.t_ratio", (0.1, 1.5)),
    ("sweep.eta_max", (0.1, float("nan"))),
    ("sweep.eta_ref", (-0.1,)),
    ("precision", "float64"),
    ("methods", ("loss", 5)),
  ],
)
def test_a_setting_that_cannot_be_used_is_named(name, value):
  config = mini.get_config().unlock()
  *outer, last = name.split(".")
  node = functools.reduce(getattr, outer, config)
  del node[last]  # Its type too: a configuration file may set anything.
  node[last] = value
  with pytest.raises(app.UsageError, match=rf"^--config\.{name}=.*: ") as caught:
    rules.check(config)
  assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
  ("name", "value"),
  [("epochs", 0), ("ema_decay", 1.5), ("learning_rate", float("nan")), ("seed", -1)],
)
def test_settings_of_a_training_too(name, value):
  config = train_diffwave.get_config()
  with config.ignore_type():
    config[name] = value
  with pytest.raises(app.UsageError, match=rf"^--config\.{name}="):
    rules.check(config)


@pytest.mark.parametrize(("name", "value"), [("alpha", 0.7), ("permutations", -1)])
def test_settings_of_an_audit_too(name, value):
  config = audit.get_config()
  config[name] = value
  with pytest.raises(app.UsageError, match=rf"^--config\.{name}="):
    rules.check(config)


def test_the_configurations_that_are_there_are_allowed():
  found = [
    *(mini.get_config(name) for name in ("multigenre", "piano")),
    *(larger.get_config(name) for name in larger.EPOCHS),
    *(train_diffwave.get_config(",".join(pair)) for pair in train_diffwave._SIZES),
    *(train_musicldm.get_config(name) for name in ("vae", "vocoder", "piano,a")),
    *(module.get_config() for module in (audit, grid, paper_diffwave, paper_musicldm)),
    paper_train.get_config(),
  ]
  for config in found:
    rules.check(config)
    if "search" in config:
      factories.check_searches(config.search)
    if "sweep" in config:
      variations.check_sweep(config)
  for name in tune_mini._GRIDS:
    variations.of_grid(tune_mini.get_config(name))


def test_a_search_that_only_a_recording_uses_is_checked():
  config = mini.get_config()
  config.search.bisection.min_gain = -1.0
  config.search.bisection.patience = 0
  with pytest.raises(app.UsageError, match=r"--config\.search"):
    factories.check_searches(config.search)


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"tau": {"eta_ref": -1.0}}, r"variants\.own\.x\.tau\.eta_ref=-1"),
    ({"num_inference_steps": "two"}, r"variants\.own\.x: "),
    ({"no_such": 1}, r"variants\.own\.x: .*no_such"),
    ({"search": {"continuation": {"rungs": 1}}}, r"variants\.own\.x\.search: "),
  ],
)
def test_a_variant_is_refused_before_the_main_table_is_scored(changes, match):
  config = mini.get_config().unlock()
  config.sweep.variants = {"own": {"x": changes}}
  config.lock()
  with pytest.raises(app.UsageError, match=rf"^--config\.sweep\.{match}"):
    variations.check_sweep(config)


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"tau.eta_ref": 0.0}, r"\.tau\.eta_ref=0\.0"),
    ({"no.such": 1}, ": "),
    ({"part": "test"}, ": part is test"),
    ({"search.continuation.rungs": 1}, r"\.search: "),
  ],
)
def test_the_last_setting_of_a_grid_is_refused_before_the_first_is_tried(
  changes, match
):
  config = tune_mini.get_config("own")
  config = copy.deepcopy(config).unlock()
  config.grid = [*config.grid, changes]
  config.base.lock()
  with pytest.raises(app.UsageError, match=rf"^--config\.grid\[6\]{match}"):
    variations.of_grid(config)


def _target(name, members, group=None):
  return Target(name=name, model=None, group=group, members=members)


def test_a_cross_over_has_every_clip_on_one_side_of_each_model():
  """Two converted models have no records, and both would have group a for members."""
  clip = lambda name: types.SimpleNamespace(id=name, group=name[0], sha256="h")
  halves = types.SimpleNamespace(clips=[clip("a0"), clip("a1"), clip("b0"), clip("b1")])
  a, b = ({f"{g}{i}": "h" for i in range(2)} for g in "ab")
  good = [_target("A", a, "a"), _target("B", b, "b"), _target("reference", None)]
  experiment_inputs._check_cross_over(good, halves)
  experiment_inputs._check_cross_over([_target("A", None), good[1]], halves)
  experiment_inputs._check_cross_over(
    [_target("A", None), _target("model", None)], halves
  )
  with pytest.raises(app.UsageError, match=r"nothing records what A and B had.*alone"):
    experiment_inputs._check_cross_over(
      [_target("A", None), _target("B", None)], halves
    )
  with pytest.raises(app.UsageError, match="nothing records what B had"):
    experiment_inputs._check_cross_over([good[0], _target("B", None)], halves)
  with pytest.raises(app.UsageError, match="4 clips, such as a0, are on the same side"):
    experiment_inputs._check_cross_over([good[0], _target("B", a, "a")], halves)
