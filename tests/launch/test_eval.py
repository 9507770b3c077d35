"""launch.eval from its command line: whole, killed, refused."""

import collections
import json
import re
import shutil
import types

import numpy as np
import pytest
from absl import app
from launching import (
  BAD_FILES,
  complaint,
  eval_flags,
  read_rows,
  sorted_rows,
  write_corpus,
)

from configs import mini
from lsaprobe_jax import distances
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import LSAProbe
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.scoring import cost_estimate, experiment, factories

# What every record of summary.json holds, whatever else it may.
RECORD_KEYS = {
  "method", "model", "corpus", "distance", "t_ratio", "difficulty_calibration", "n_member",
  "n_nonmember", "n_tracks", "auc", "auc_ci", "tpr", "tpr_ci", "fpr_realised",
  "false_positives", "nfe_forward", "nfe_backward", "seconds",
}  # fmt: skip
ROW_KEYS = {
  "clip", "track", "split", "model", "corpus", "method", "distance", "t_ratio",
  "score", "cost", "reached", "nfe_forward", "nfe_backward", "seconds", "seed",
}  # fmt: skip
A, B, DEV = 4, 5, 21  # clips; the fifth of b is the file at another rate
METHODS = ("loss", "rediffuse", "random_stability", "lsa_probe")


def load(workdir, settings, limit=None):
  """What the launcher does with its flags before it scores, without a process."""
  config = mini.get_config()
  config.update_from_flattened_dict(settings)
  return experiment.load(config, workdir, limit)


def test_every_clip_has_a_row_under_every_model_and_method(finished):
  rows = read_rows(finished[0] / "scores.jsonl")
  assert all(set(row) >= ROW_KEYS for row in rows)
  count = collections.Counter((r["method"], r["model"], r["split"]) for r in rows)
  expected = {("blind", "A", "member"): A, ("blind", "A", "nonmember"): B}
  for method in METHODS:
    expected[method, "A", "member"] = expected[method, "B", "nonmember"] = A
    expected[method, "A", "nonmember"] = expected[method, "B", "member"] = B
    expected[method, "A", "dev"] = expected[method, "B", "dev"] = DEV
    expected[method, "reference", "nonmember"] = A + B
    # For cuts of scores less the reference's.
    expected[method, "reference", "dev"] = DEV
  assert count == expected
  assert all(np.isfinite(row["score"]) for row in rows)
  groups = {"a": "member", "b": "nonmember", "dev": "dev"}
  assert all(r["split"] == groups[r["group"]] for r in rows if r["model"] == "A")


def test_rows_tell_what_was_spent(finished):
  rows = read_rows(finished[0] / "scores.jsonl")
  passes = {row["method"]: (row["nfe_forward"], row["nfe_backward"]) for row in rows}
  assert passes["blind"] == (0, 0)
  assert passes["loss"] == (2, 0)
  assert passes["random_stability"] == (3, 0)
  for row in rows:
    if row["method"] == "lsa_probe":
      assert row["reached"] == (row["cost"] is not None)
      assert row["nfe_backward"] > 0
      assert row["nfe_forward"] >= 1 + 2 * row["nfe_backward"]
    else:
      assert row["reached"] is row["cost"] is None


def test_tau_is_the_quantile_of_the_development_clips(finished):
  curves = read_rows(finished[0] / "curves.jsonl")
  assert len(curves) == 3 * (A + B + DEV)
  calibration = [row for row in curves if row["split"] == "dev"]
  scores = read_rows(finished[0] / "scores.jsonl")
  for model in ("A", "B", "reference"):
    worst = [degradation_at(0.2, row) for row in calibration if row["model"] == model]
    found = {
      row["tau"]
      for row in scores
      if (row["model"], row["method"]) == (model, "lsa_probe")
    }
    assert len(worst) == DEV
    np.testing.assert_allclose(list(found), [np.quantile(worst, 0.95)], rtol=1e-4)


def degradation_at(eta, curve):
  """Worst D within eta, on a straight line between the rungs."""
  worst = np.maximum.accumulate(curve["degradations"])
  return np.interp(eta, [0, *curve["budgets"]], [0, *worst])


def test_costs_are_read_off_the_curves(finished):
  curves = {
    (row["model"], row["clip"]): row for row in read_rows(finished[0] / "curves.jsonl")
  }
  probe = [
    row
    for row in read_rows(finished[0] / "scores.jsonl")
    if row["method"] == "lsa_probe"
  ]
  assert any(row["reached"] for row in probe)
  for row in probe:
    curve = curves[row["model"], row["clip"]]
    assert (row["budgets"], row["degradations"]) == (
      curve["budgets"],
      curve["degradations"],
    )
    hits = [
      budget
      for budget, degradation in zip(
        curve["budgets"], curve["degradations"], strict=True
      )
      if degradation >= row["tau"]
    ]
    assert row["cost"] == (min(hits) if hits else None)
    if hits:
      assert degradation_at(row["score"], curve) == pytest.approx(row["tau"], rel=1e-4)


def test_the_summary_holds_what_it_promises(finished):
  records = json.loads((finished[0] / "summary.json").read_text())
  assert all(set(record) >= RECORD_KEYS for record in records)
  found = {(r["method"], r["model"], r["difficulty_calibration"]): r for r in records}
  expected = {("blind", "A", False)}
  for method in METHODS:
    expected |= {(method, model, raw) for model in "AB" for raw in (False, True)}
    expected |= {(method, "mean", False), (method, "mean", True)}
    expected |= {(method, "reference", False)}
  assert set(found) == expected
  for record in records:
    assert set(record["tpr"]) == {"0.001", "0.01", "0.05"}
    assert set(record["tpr"]) == set(record["tpr_ci"]) == set(record["fpr_realised"])
    low, high = record["auc_ci"]
    assert low <= record["auc"] <= high
  raw_and_calibrated = [r for r in records if r["model"] == "A"]
  for record in raw_and_calibrated:
    assert record["n_dev"] == (0 if record["method"] == "blind" else DEV)
  probe = found["lsa_probe", "mean", False]
  assert (probe["n_member"], probe["n_nonmember"], probe["n_tracks"]) == (9, 9, 9)
  assert (probe["corpus"], probe["distance"]) == ("tiny", "log_mel")


def test_the_first_printed_line_is_the_blind_baseline(finished):
  out = finished[1].stdout
  first = next(line for line in out.splitlines() if line.strip())
  assert first.startswith("blind baseline, A against B (tiny): AUC")
  for method in METHODS:
    assert re.search(rf"^{method} +mean ", out, re.MULTILINE)


def test_bad_files_are_named_and_left_out(finished, corpus_folder):
  err = finished[1].stderr
  for name in BAD_FILES:
    path = corpus_folder / "b" / f"{name}.wav"
    # Groups are opened once, so a file is named once, on one line.
    assert len([line for line in err.splitlines() if f"{path}:" in line]) == 1, name
  assert "odd_rate.wav" not in err
  tracks = {row["track"] for row in read_rows(finished[0] / "scores.jsonl")}
  assert "odd_rate" in tracks or "odd-rate" in tracks
  assert not tracks & set(BAD_FILES)


def test_a_killed_run_ends_with_the_same_rows(
  finished, tmp_path_factory, launcher, settings
):
  workdir = tmp_path_factory.mktemp("eval") / "killed"
  scores, curves = workdir / "scores.jsonl", workdir / "curves.jsonl"
  args = eval_flags(workdir, settings)
  # Two methods are done then, and the rows that tau is set from are on their way.
  launcher.run_and_kill(lambda: read_rows(curves), "eval", *args)
  some = read_rows(scores)
  assert len(some) >= A + B
  assert not (workdir / "summary.json").exists()
  done = launcher.run("eval", *args)
  assert done.returncode == 0, done.stderr
  assert read_rows(scores)[: len(some)] == some
  for name in ("scores.jsonl", "curves.jsonl"):
    assert sorted_rows(workdir / name) == sorted_rows(finished[0] / name)
  summaries = [
    json.loads((folder / "summary.json").read_text())
    for folder in (workdir, finished[0])
  ]
  for record in (*summaries[0], *summaries[1]):
    del record["seconds"]
  assert summaries[0] == summaries[1]


def test_a_finished_run_adds_no_row(finished, launcher, settings):
  workdir, before = finished[0], {}
  names = ("scores.jsonl", "curves.jsonl", "summary.json")
  before = {name: (workdir / name).read_bytes() for name in names}
  done = launcher.run_afresh("eval", *eval_flags(workdir, settings))
  assert done.returncode == 0, done.stderr
  assert {name: (workdir / name).read_bytes() for name in names} == before


def test_limit_untrained_weights_and_the_papers_search(
  finished, tmp_path, launcher, settings
):
  papers = {
    "search.name": "bisection",
    "search.bisection.halvings": 2,
    "search.bisection.ascent_steps": 2,
    "search.bisection.restarts": 1,
  }
  args = eval_flags(tmp_path, settings | papers, "--limit=2", "--config.untrained=True")
  done = launcher.run("eval", *args)
  assert done.returncode == 0, done.stderr
  rows = read_rows(tmp_path / "scores.jsonl")
  halves = collections.Counter(
    (r["method"], r["model"], r["group"]) for r in rows if r["group"] != "dev"
  )
  assert set(halves.values()) == {2}
  assert len(halves) == 2 * (1 + 3 * len(METHODS))
  identity = lambda row: (row["method"], row["model"], row["clip"])
  untrained = {identity(row): row["score"] for row in rows}
  trained = {
    identity(row): row["score"] for row in read_rows(finished[0] / "scores.jsonl")
  }
  for (method, model, clip), score in untrained.items():
    assert np.isfinite(score)
    if method != "blind":
      assert score != trained[method, model, clip]
      if model == "A":
        assert score != untrained[method, "B", clip]


def test_a_dry_run_counts_a_whole_search_and_writes_nothing(
  tmp_path, launcher, settings
):
  papers = {
    "search.name": "bisection",
    "search.bisection.halvings": 9,
    "search.bisection.ascent_steps": 1,
    "search.bisection.restarts": 20,
    "methods": ("lsa_probe", "loss_nfe_matched"),
  }
  args = eval_flags(tmp_path / "none", settings | papers, "--dry_run")
  done = launcher.run("eval", *args)
  assert done.returncode == 0, done.stderr
  clips, each, compiling, minutes = (
    float(figure)
    for figure in re.search(
      r"lsa_probe: (\d+) clips, (\S+) s each and (\d+) s to compile: (\S+) min",
      done.stdout,
    ).groups()
  )
  # Under three models: both halves, and development clips, twice where tau needs it.
  assert clips == 3 * (A + B + 2 * DEV)
  assert minutes * 60 == pytest.approx(clips * each + compiling, rel=0.05, abs=6)
  matched = re.search(r"loss_nfe_matched: (\d+) clips, (\S+) s each", done.stdout)
  assert int(matched[1]) == clips
  # As many evaluations as two hundred climbs of the probe take.
  assert float(matched[2]) > 0.01
  assert " GiB on " in done.stdout
  assert not (tmp_path / "none").exists()


def test_a_dry_run_times_one_climb_of_all():
  bisection = searches.get("bisection", halvings=9, restarts=20)
  whole = LSAProbe(distance=None, tau=np.inf, search=bisection)
  short, climbs = cost_estimate.one_climb(whole)
  # At eta_max and nine halvings, from twenty starts each.
  assert climbs == 10 * 20
  assert (short.search.halvings, short.search.restarts) == (1, 1)
  assert short.search.ascent_steps == bisection.ascent_steps
  ladder = LSAProbe(distance=None, tau=np.inf, search=searches.get("continuation"))
  assert cost_estimate.one_climb(ladder) == (ladder, 1)


def test_a_missing_corpus_ends_in_one_line(tmp_path, launcher, settings):
  settings = settings | {"corpus.path": str(tmp_path / "nowhere")}
  line = complaint(launcher.run("eval", *eval_flags(tmp_path / "run", settings)))
  assert "--config.corpus" in line
  assert f"{tmp_path / 'nowhere'}: no such folder" in line
  assert not (tmp_path / "run").exists()


def refusal(workdir, settings, limit=None):
  """The one line with which these settings are refused."""
  with pytest.raises(app.UsageError) as error:
    load(workdir, settings, limit)
  assert "\n" not in str(error.value)
  return str(error.value)


@pytest.fixture
def claimed(finished, tmp_path):
  """A copy of the finished run's folder."""
  return shutil.copytree(finished[0], tmp_path / "claimed")


def test_the_same_settings_are_let_in(claimed, settings):
  run = load(claimed, settings)
  assert len(run.scores.rows) == len(read_rows(claimed / "scores.jsonl"))


def test_another_configuration_is_refused(claimed, settings):
  changed = settings | {"search.eta_max": 0.5, "tau.quantile": 0.9}
  line = refusal(claimed, changed)
  assert "differs in config.search.eta_max, config.tau.quantile;" in line


def test_other_weights_are_refused(claimed, settings, tmp_path):
  params, record = checkpoints.load_model(settings["targets.B"])
  params["input_projection"]["bias"] = params["input_projection"]["bias"] + 1
  folder = tmp_path / "B"
  checkpoints.save_model(folder, params, record["model"], record["training"])
  line = refusal(claimed, settings | {"targets.B": str(folder)})
  assert "differs in config.targets.B, weights.B;" in line
  # Under the same name, too.
  shutil.copytree(settings["targets.B"], tmp_path / "kept")
  run = json.loads((claimed / "run.json").read_text())
  run["config"]["targets"]["B"] = str(folder)
  (claimed / "run.json").write_text(json.dumps(run))
  line = refusal(claimed, settings | {"targets.B": str(folder)})
  assert "differs in weights.B;" in line


def test_other_data_is_refused(claimed, settings, tmp_path, corpus_folder):
  moved = shutil.copytree(corpus_folder, tmp_path / "tiny")
  shutil.copy(moved / "dev" / "dev00.wav", moved / "dev" / "again.wav")
  run = json.loads((claimed / "run.json").read_text())
  run["config"]["corpus"]["path"] = str(moved)
  (claimed / "run.json").write_text(json.dumps(run))
  line = refusal(claimed, settings | {"corpus.path": str(moved)})
  assert "differs in data.development;" in line
  assert "data.halves" in refusal(claimed, settings, limit=2)


def test_a_damaged_row_file_is_named(claimed, settings):
  with (claimed / "scores.jsonl").open("a") as file:
    file.write('{"clip": "x"}\n')
  line = refusal(claimed, settings)
  assert "--workdir" in line
  assert "scores.jsonl: line" in line


@pytest.mark.parametrize(
  ("change", "match"),
  [
    ({"distance": "lpips"}, r"--config\.distance.*'lpips'; known: waveform, mr_stft"),
    ({"corpus.clip_seconds": 0.05}, r"--config\."),
    ({"search.name": "magic"}, r"--config\.search\.name=magic: known: .*bisection"),
    ({"search.norm": "l3"}, r"--config\.search\.norm=l3: known: "),
    ({"batch_size": -1}, r"--config\.batch_size=-1: 0 finds it"),
    ({"num_inference_steps": 0}, r"--config\.num_inference_steps=0: at least 1"),
    ({"tau.quantile": 95.0}, r"--config\.tau\.quantile=95\.0: above 0 and at most 1"),
    (
      {"methods": ("loss_nfe_matched", "lsa_probe")},
      r"--config\.methods: loss_nfe_matched must come after lsa_probe",
    ),
    (
      {"methods": ("lsa_probe", "relative_degradation_nfe_matched")},
      r"--config\.methods: relative_degradation_nfe_matched: relative_degradation has nothing to",
    ),
    ({"search.continuation.rungs": 1}, r"--config\.search: search\.rungs must be at"),
    ({"t_ratio": 1.5}, r"--config\.t_ratio.*t_ratio=1\.5 gives t = 30"),
    ({"part": "train"}, r"--config\.part: unknown part 'train'; known: tune, test"),
    ({"targets.B": "no-such"}, r"--config\.targets\.B: no model folder no-such"),
    ({"corpus.dev_clips_per_track": 1}, r"only 7 development clips to set tau with"),
    ({"corpus.clips_per_track": 2}, r"was trained on group .* but not on this clip"),
  ],
)
def test_wrong_settings_are_named_and_lock_nothing(tmp_path, settings, change, match):
  assert re.search(match, refusal(tmp_path / "run", settings | change))
  assert not (tmp_path / "run").exists()


def test_more_times_than_the_schedule_has_are_refused():
  config = mini.get_config()
  config.methods = ("lsa_probe", "sima")
  distance = distances.get("waveform", sample_rate=8000)
  factories.check_methods(config, distance, num_times=20)
  config.baselines.sima.times = 21
  with pytest.raises(app.UsageError, match=r"sima\.times=21: the schedule has 20"):
    factories.check_methods(config, distance, num_times=20)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_missing_model_file_is_named(tmp_path, settings, name):
  folder = shutil.copytree(settings["targets.A"], tmp_path / "A")
  (folder / name).unlink()
  line = refusal(tmp_path / "run", settings | {"targets.A": str(folder)})
  assert line.startswith(f"--config.targets.A: {folder}: no {name}")


def test_an_unknown_family_of_models_is_named(tmp_path, settings):
  folder = shutil.copytree(settings["targets.A"], tmp_path / "A")
  record = json.loads((folder / "model.json").read_text())
  record["model"]["family"] = "wavegan"
  (folder / "model.json").write_text(json.dumps(record))
  line = refusal(tmp_path / "run", settings | {"targets.A": str(folder)})
  assert "--config.targets.A" in line
  assert "unknown model family 'wavegan'; known: diffwave" in line


def test_sizes_that_make_no_network_are_named(tmp_path, settings):
  folder = shutil.copytree(settings["targets.A"], tmp_path / "A")
  record = json.loads((folder / "model.json").read_text())
  record["model"]["network"]["dilation_cycle"] = 0
  (folder / "model.json").write_text(json.dumps(record))
  line = refusal(tmp_path / "run", settings | {"targets.A": str(folder)})
  assert f"--config.targets.A: {folder}: its model.json does not describe" in line
  assert "network.dilation_cycle = 0 is not supported" in line


def test_weights_that_do_not_fit_are_listed(tmp_path, settings):
  params, record = checkpoints.load_model(settings["targets.A"])
  params["extra"] = {"bias": np.zeros(1, np.float32)}
  del params["skip_projection"]["bias"]
  folder = tmp_path / "A"
  checkpoints.save_model(folder, params, record["model"], record["training"])
  line = refusal(tmp_path / "run", settings | {"targets.A": str(folder)})
  assert "left over: ['extra/bias']; missing: ['skip_projection/bias']" in line


def test_a_half_of_one_track_is_refused(tmp_path, settings):
  folder = write_corpus(tmp_path / "small", {"a": 1, "b": 3, "dev": 7})
  line = refusal(tmp_path / "run", settings | {"corpus.path": str(folder)})
  assert f"--config.corpus.path={folder}: group a has 1 tracks" in line
  assert "at least two a side" in line


@pytest.mark.parametrize("worst", [0.0, np.nan, np.inf])
def test_a_tau_that_is_no_target_is_refused(worst):
  run = types.SimpleNamespace(config=mini.get_config())
  target = types.SimpleNamespace(name="A")
  with pytest.raises(app.UsageError, match="tau of A is"):
    experiment._tau(run, target, [worst] * 30)
  assert experiment._tau(run, target, [0.5] * 30) == 0.5
