"""What an experiment is refused for before anything is scored, by its own name."""

import json
import re
import shutil

import numpy as np
import pytest
import tiny_experiment
import toy_corpus

from lsaprobe_jax import distances
from lsaprobe_jax.errors import ArgumentError, LsaProbeError, SettingError
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.scoring import experiment_inputs, factories
from lsaprobe_jax.scoring.experiment import open_evaluation
from lsaprobe_jax.scoring.probe_rows import tau_of
from lsaprobe_jax.scoring.settings import Experiment


def refusal(folder, settings, changes=None, limit=None):
  """The one line with which these settings are refused, in one of the two kinds."""
  with pytest.raises(LsaProbeError) as caught:
    open_evaluation(settings.changed(changes or {}), folder, limit=limit)
  assert isinstance(caught.value, SettingError | ArgumentError)
  assert "\n" not in str(caught.value)
  assert "--config" not in str(caught.value)
  return str(caught.value)


@pytest.fixture
def claimed(finished, tmp_path):
  """A copy of the finished run's folder."""
  return shutil.copytree(finished.folder, tmp_path / "claimed")


def rename(folder, *names, value):
  """Changes what the folder's run.json says."""
  run = inner = json.loads((folder / "run.json").read_text())
  for name in names[:-1]:
    inner = inner[name]
  inner[names[-1]] = value
  (folder / "run.json").write_text(json.dumps(run))


def test_the_same_settings_are_let_in(claimed, settings, finished):
  run = open_evaluation(settings, claimed)
  assert len(run.scores.rows) == len(finished.result.rows)


def test_what_decides_no_row_may_change_on_the_way(claimed, settings, finished):
  changed = settings.changed({"batch_size": 2, "bootstrap_resamples": 50})
  assert changed.batch_size != settings.batch_size
  assert len(open_evaluation(changed, claimed).scores.rows) == len(finished.result.rows)


def test_another_configuration_is_refused(claimed, settings):
  line = refusal(claimed, settings, {"search.eta_max": 0.5, "tau.quantile": 0.9})
  assert line.startswith(f"workdir={claimed} holds a run that differs in ")
  assert "differs in config.search.eta_max, config.tau.quantile;" in line


def test_other_weights_are_refused(claimed, settings, tmp_path):
  params, record = checkpoints.load_model(settings.targets["B"])
  params["input_projection"]["bias"] = params["input_projection"]["bias"] + 1
  folder = tmp_path / "B"
  checkpoints.save_model(folder, params, record["model"], record["training"])
  change = {"targets.B": str(folder)}
  line = refusal(claimed, settings, change)
  assert "differs in config.targets.B, weights.B;" in line
  # Under the same name, too.
  rename(claimed, "config", "targets", "B", value=str(folder))
  assert "differs in weights.B;" in refusal(claimed, settings, change)


def test_another_description_of_the_same_weights_is_refused(
  claimed, settings, tmp_path
):
  params, record = checkpoints.load_model(settings.targets["B"])
  folder = tmp_path / "B"
  changed = record["model"] | {"scale": 2 * record["model"]["scale"]}
  checkpoints.save_model(folder, params, changed, record["training"])
  rename(claimed, "config", "targets", "B", value=str(folder))
  line = refusal(claimed, settings, {"targets.B": str(folder)})
  assert "differs in described.B;" in line


def test_other_data_is_refused(claimed, settings, tmp_path, corpus_folder):
  moved = shutil.copytree(corpus_folder, tmp_path / "tiny")
  shutil.copy(moved / "dev" / "dev00.wav", moved / "dev" / "again.wav")
  rename(claimed, "config", "corpus", "path", value=str(moved))
  change = {"corpus.path": str(moved)}
  assert "differs in data.development;" in refusal(claimed, settings, change)
  assert "data.halves" in refusal(claimed, settings, limit=2)


def test_a_file_of_rows_that_cannot_be_read_is_named(claimed, settings):
  with (claimed / "scores.jsonl").open("a") as file:
    file.write('{"clip": "x"}\n')
  line = refusal(claimed, settings)
  assert line.startswith(f"workdir={claimed}: ")
  assert "scores.jsonl: line" in line


@pytest.mark.parametrize(
  ("change", "match"),
  [
    ({"distance": "lpips"}, r"^distance=lpips: known: waveform, mr_stft"),
    ({"corpus.clip_seconds": 0.05}, r"^(corpus|targets|distance)"),
    ({"corpus.path": "/nowhere/at/all"}, r"^corpus: .*/nowhere/at/all: no such folder"),
    ({"corpus.scored_seconds": 0.5}, r"^corpus\.scored_seconds: "),
    ({"search.name": "magic"}, r"^search\.name=magic: known: .*bisection"),
    ({"search.norm": "l3"}, r"^search\.norm=l3: known: rms"),
    ({"batch_size": -1}, r"^batch_size=-1: 0 finds it"),
    ({"num_inference_steps": 0}, r"^num_inference_steps=0: at least 1"),
    ({"tau.quantile": 95.0}, r"^tau\.quantile=95\.0: above 0 and at most 1"),
    (
      {"methods": ("loss_nfe_matched", "lsa_probe")},
      r"^methods: loss_nfe_matched must come after lsa_probe",
    ),
    (
      {"methods": ("lsa_probe", "relative_degradation_nfe_matched")},
      r"^methods: relative_degradation_nfe_matched: relative_degradation has nothing",
    ),
    ({"methods": ("magic",)}, r"^methods: 'magic' is not one of lsa_probe, .*loss"),
    (
      {"search.continuation.rungs": 1},
      r"^search\.continuation\.rungs=1: it must be at",
    ),
    (
      {"methods": ("lsa_probe",), "search.eta_max": 0.1},
      r"^tau\.eta_ref=0\.2: no curve goes beyond search\.eta_max, 0\.1",
    ),
    (
      {"methods": ("relative_degradation",), "search.norm": "linf"},
      r"^methods: relative_degradation compares .* search\.norm is linf",
    ),
    (
      {"methods": ("secmi",), "baselines.secmi.t_ratio": 1.0},
      r"^baselines\.secmi\.t_ratio=1: SecMI takes a step beyond t",
    ),
    ({"t_ratio": 1.5}, r"^t_ratio.*=1\.5 gives t = 30"),
    ({"part": "train"}, r"^part=train: one of tune, test"),
    ({"targets.B": "no-such"}, r"^targets\.B: no model folder no-such"),
    ({"targets": {}, "targets.A": "x"}, r"^targets\.A: no model folder x"),
    (
      {"corpus.dev_clips_per_track": 1},
      r"only 7 development clips to calibrate tau on",
    ),
    ({"corpus.clips_per_track": 2}, r"^corpus: .* on track .* but not on this clip"),
    (
      {"stop_at": "mel"},
      r"^stop_at|^distance=log_mel needs waveforms; with stop_at=mel",
    ),
  ],
)
def test_wrong_settings_are_named_and_lock_nothing(tmp_path, settings, change, match):
  line = ""
  try:
    line = refusal(tmp_path / "run", settings, change)
  except SettingError as error:  # Some are refused as they are set.
    line = str(error)
  assert re.search(match, line), line
  assert not (tmp_path / "run").exists()


def test_what_compares_with_a_waveform_is_known(settings):
  """It is refused where a model decodes to log-mel spectrograms."""
  asks = lambda name, own=settings: experiment_inputs._compares_with_clip(own, name)
  names = ("trajectory", "rediffuse", "loss", "lsa_probe_anchored")
  assert [asks(name) for name in names] == [True, True, False, False]
  decoded = settings.changed({"baselines.rediffuse.decoded": True})
  assert not asks("rediffuse", decoded)


def test_there_is_a_model_at_least(settings):
  values = settings.to_dict() | {"targets": {}}
  with pytest.raises(SettingError, match=r"^targets=\{\}: name at least one model"):
    experiment_inputs.open_inputs(Experiment.from_dict(values))


def test_a_null_control_alone_is_refused(settings):
  values = settings.to_dict() | {"targets": {"reference": settings.targets["A"]}}
  with pytest.raises(SettingError, match=r"^targets: reference is the null control"):
    experiment_inputs.open_inputs(Experiment.from_dict(values))


def test_a_null_control_that_was_trained_on_a_side_is_refused(settings):
  targets = {"model": settings.targets["A"], "reference": settings.targets["B"]}
  values = Experiment.from_dict(settings.to_dict() | {"targets": targets})
  with pytest.raises(SettingError, match=r"^targets: reference was trained on \d+ of"):
    experiment_inputs.open_inputs(values)


@pytest.mark.parametrize(("own", "what"), [("", "no"), ("ab", "every")])
def test_a_model_of_which_one_side_alone_is_judged_is_refused(
  settings, tmp_path, own, what
):
  model = shutil.copytree(settings.targets["reference"], tmp_path / "model")
  record = json.loads((model / "model.json").read_text())
  corpus = open_evaluation(settings, tmp_path / "run").halves
  seen = [{"id": c.id, "sha256": c.sha256} for c in corpus.clips if c.group in own]
  record["training"]["clips"] += seen
  (model / "model.json").write_text(json.dumps(record))
  targets = {"targets": {"model": str(model)}}
  changed = Experiment.from_dict(settings.to_dict() | targets)
  with pytest.raises(SettingError, match=rf"^corpus: {what} clip is a member of model"):
    experiment_inputs.open_inputs(changed)


def test_more_times_than_the_schedule_has_are_refused(settings):
  settings = settings.changed({"methods": ("lsa_probe", "sima")})
  distance = distances.get("waveform", sample_rate=8000)
  factories.check_methods(settings, distance, num_train_timesteps=20)
  settings = settings.changed({"baselines.sima.times": 21})
  with pytest.raises(SettingError, match=r"sima\.times=21: the schedule has 20"):
    factories.check_methods(settings, distance, num_train_timesteps=20)


@pytest.fixture
def model_folder(settings, tmp_path):
  """A copy of model A."""
  return shutil.copytree(settings.targets["A"], tmp_path / "A")


def edit(folder, *names, value):
  """Changes what the folder's model.json says of the model."""
  record = json.loads((folder / "model.json").read_text())
  inner = record["model"]
  for name in names[:-1]:
    inner = inner[name]
  inner[names[-1]] = value
  (folder / "model.json").write_text(json.dumps(record))


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_missing_model_file_is_named(tmp_path, settings, model_folder, name):
  (model_folder / name).unlink()
  line = refusal(tmp_path / "run", settings, {"targets.A": str(model_folder)})
  assert line.startswith(f"targets.A: {model_folder}: no {name}")


@pytest.mark.parametrize(
  "text", ["[" * 100_000, "9" * 5000, "[]", '{"model": 3}'], ids=range(4)
)
def test_a_deep_or_odd_model_record_is_named(tmp_path, settings, model_folder, text):
  (model_folder / "model.json").write_text(text)
  line = refusal(tmp_path / "run", settings, {"targets.A": str(model_folder)})
  assert line.startswith(f"targets.A: {model_folder}")
  assert "damaged" in line


def test_an_unknown_family_of_models_is_named(tmp_path, settings, model_folder):
  edit(model_folder, "family", value="wavegan")
  line = refusal(tmp_path / "run", settings, {"targets.A": str(model_folder)})
  assert line.startswith("targets.A: ")
  assert "unknown model family 'wavegan'; known: diffwave" in line


def test_sizes_that_make_no_network_are_named(tmp_path, settings, model_folder):
  edit(model_folder, "network", "dilation_cycle", value=0)
  line = refusal(tmp_path / "run", settings, {"targets.A": str(model_folder)})
  assert f"targets.A: {model_folder}: its model.json does not describe" in line
  assert "network.dilation_cycle = 0 is not supported" in line


def test_weights_that_do_not_fit_are_listed(tmp_path, settings):
  params, record = checkpoints.load_model(settings.targets["A"])
  params["extra"] = {"bias": np.zeros(1, np.float32)}
  del params["skip_projection"]["bias"]
  folder = tmp_path / "A"
  checkpoints.save_model(folder, params, record["model"], record["training"])
  line = refusal(tmp_path / "run", settings, {"targets.A": str(folder)})
  assert "left over: ['extra/bias']; missing: ['skip_projection/bias']" in line


def test_a_half_of_one_track_is_refused(tmp_path, settings):
  names = tiny_experiment.numbered({"a": 1, "b": 3, "dev": 7})
  folder = tiny_experiment.write_corpus(tmp_path / "small", names)
  line = refusal(tmp_path / "run", settings, {"corpus.path": str(folder)})
  assert f"corpus.path={folder}: group a has 1 tracks" in line
  assert "at least two a side" in line


@pytest.mark.parametrize("worst", [0.0, np.nan, np.inf])
def test_a_tau_that_is_no_target_is_refused(settings, worst):
  form = factories.probe_form(settings)
  with pytest.raises(SettingError, match=r"^tau: that of A is "):
    tau_of("A", [worst] * 30, form)
  assert tau_of("A", [0.5] * 30, form) == 0.5
  with pytest.raises(SettingError, match="only 19 development clips"):
    tau_of("A", [0.5] * 19, form)


def made_target(name, members, group=None):
  return TrainedModel(name=name, model=None, group=group, members=members)


def test_a_cross_over_has_every_clip_on_one_side_of_each_model():
  """Two converted models have no records, and both would have group a for members."""
  clips = [toy_corpus.clip(name, name[0]) for name in ("a0", "a1", "b0", "b1")]
  a, b = ({f"{g}{i}": f"of {g}{i}" for i in range(2)} for g in "ab")
  good = [made_target("A", a, "a"), made_target("B", b, "b")]
  check = lambda *targets: experiment_inputs.check_cross_over(targets, clips)
  check(*good, made_target("reference", None))
  check(made_target("A", None), good[1])
  check(made_target("A", None), made_target("model", None))
  with pytest.raises(SettingError, match=r"nothing records what A and B had.*alone"):
    check(made_target("A", None), made_target("B", None))
  with pytest.raises(SettingError, match="nothing records what B had"):
    check(good[0], made_target("B", None))
  with pytest.raises(SettingError, match="4 clips, such as a0, are on the same side"):
    check(good[0], made_target("B", a, "a"))
