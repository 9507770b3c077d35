"""LSA-Probe as a user sets it up, and its tau."""

import dataclasses

import numpy as np
import pytest
import toy_corpus
import toy_model
from tiny_experiment import CLIP_SECONDS

from lsaprobe_jax import attacks
from lsaprobe_jax import search as searches
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.scoring.factories import make_search
from lsaprobe_jax.scoring.method import LSAProbe, calibrate_tau, method_name
from lsaprobe_jax.scoring.scores import score

MODEL = toy_model.model()
DEVELOPMENT = toy_corpus.noise(20 * "d")
LADDER = searches.get("continuation", eta_max=0.8, rungs=3, steps=1)


@pytest.fixture(scope="module")
def opened(settings, corpus_folder):
  """Model A of the experiment, and its corpus as the experiment opens it."""
  model = load_model(settings.targets["A"], name="A")
  clips = lambda count, groups: corpora.open_corpus(
    corpus_folder,
    sample_rate=model.sample_rate,
    clip_seconds=CLIP_SECONDS,
    clips_per_track=count,
    groups=groups,
  )
  return model, clips(3, ["dev"]), clips(1, ["a", "b"])


def test_tau_and_scores_are_those_of_an_evaluation(opened, settings, finished):
  model, development, halves = opened
  probe = LSAProbe(
    distance=settings.distance,
    t_ratio=settings.t_ratio,
    search=make_search(settings.search),
    eta_ref=settings.tau.eta_ref,
    quantile=settings.tau.quantile,
  )
  probe = calibrate_tau(model, probe, development)
  kind = {"method": "lsa_probe", "model": "A"}
  rows = {
    row["clip"]: row for row in finished.result.rows if kind.items() <= row.items()
  }
  (tau,) = {row["tau"] for row in rows.values()}
  assert probe.tau == pytest.approx(tau, rel=1e-5)
  scores = score(model, probe, halves)
  own = [rows[clip] for clip in scores.clips]
  assert scores.reached.tolist() == [row["reached"] for row in own]
  costs = [np.nan if row["cost"] is None else row["cost"] for row in own]
  np.testing.assert_allclose(scores.cost, costs, rtol=1e-4)
  np.testing.assert_allclose(scores.score, [row["score"] for row in own], rtol=1e-3)


def test_the_rest_of_the_settings_stays():
  probe = LSAProbe(distance="waveform", search=LADDER, t_ratio=0.2, eta_ref=0.1)
  found = calibrate_tau(MODEL, probe, DEVELOPMENT)
  assert dataclasses.replace(found, tau=None) == probe
  again = calibrate_tau(MODEL, dataclasses.replace(probe, tau=5.0), DEVELOPMENT)
  assert again == found
  wider = dataclasses.replace(probe, eta_ref=0.4)
  assert calibrate_tau(MODEL, wider, DEVELOPMENT).tau > found.tau
  lower = dataclasses.replace(probe, quantile=0.2)
  assert calibrate_tau(MODEL, lower, DEVELOPMENT).tau < found.tau


def test_tau_is_calibrated_on_any_music_that_was_not_trained_on():
  """A flat folder is dealt to groups by its names, also to the model's own."""
  probe = LSAProbe(distance="waveform", search=LADDER, t_ratio=0.2, eta_ref=0.1)
  clips = toy_corpus.noise(20 * "a")
  recorded = dataclasses.replace(MODEL, group="a", members={"theirs": "other samples"})
  assert calibrate_tau(recorded, probe, clips) == calibrate_tau(MODEL, probe, clips)
  seen = dataclasses.replace(recorded, members={"theirs": clips.clips[3].sha256})
  with pytest.raises(ArgumentError, match=r"^clips: a\d+: A was trained on it"):
    calibrate_tau(seen, probe, clips)
  track = {f"{clips.clips[3].track}@9+1": "other samples"}
  other = dataclasses.replace(recorded, members=track)
  with pytest.raises(ArgumentError, match=r"^clips: a\d+: A was trained on track a-tr"):
    calibrate_tau(other, probe, clips)
  # Other music may bear the name.
  assert calibrate_tau(other, probe, clips, members=[]).tau


def test_a_search_without_curves_climbs_at_eta_ref():
  """A linear model has a D that grows as the square of the budget."""
  search = searches.get(
    "bisection", eta_max=0.8, halvings=2, ascent_steps=4, restarts=1
  )
  probe = LSAProbe(distance="waveform", search=search, t_ratio=0.2, eta_ref=0.1)
  found = calibrate_tau(MODEL, probe, DEVELOPMENT)
  wider = calibrate_tau(MODEL, dataclasses.replace(probe, eta_ref=0.2), DEVELOPMENT)
  assert wider.tau == pytest.approx(4 * found.tau, rel=0.05)


def test_searches_are_named_or_given():
  named = LSAProbe(search="continuation", eta_max=0.5).make_search()
  assert named == searches.get("continuation", eta_max=0.5)
  assert LSAProbe(search=LADDER, eta_max=0.5).make_search() is LADDER


@pytest.mark.parametrize(
  ("change", "clips", "error", "match"),
  [
    ({}, DEVELOPMENT.take(range(19)), ArgumentError, r"^clips: 19 clips .*and 20 are"),
    ({"distance": "ear"}, DEVELOPMENT, SettingError, "^distance=ear: known: waveform"),
    (
      {},
      toy_corpus.noise(20 * "d", rate=16000),
      ArgumentError,
      r"^clips: they have 16000 Hz and the model 8000 Hz",
    ),
    ({"search": "magic"}, DEVELOPMENT, SettingError, r"^search\.name=magic: known: "),
  ],
)
def test_what_calibrates_no_tau_is_named(change, clips, error, match):
  probe = LSAProbe(**{"distance": "waveform", "t_ratio": 0.2} | change)
  with pytest.raises(error, match=match):
    calibrate_tau(MODEL, probe, clips)


def test_a_probe_has_one_time():
  probe = LSAProbe(distance="waveform", search=LADDER, t_ratio=0.2, tau=0.01)
  clips = DEVELOPMENT.take([0])
  with pytest.raises(ArgumentError, match=r"^t_ratio=0\.9: this LSAProbe has t_ratio="):
    score(MODEL, probe, clips, t_ratio=0.9)
  assert len(score(MODEL, probe, clips, t_ratio=0.2)) == 1


def test_a_model_that_answers_nothing_calibrates_no_tau():
  """Clips whose D is not finite are left out, and nothing is left."""
  deaf = dataclasses.replace(
    MODEL, model=MODEL.model.replace(params=np.full((32, 32), np.nan, np.float32))
  )
  probe = LSAProbe(distance="waveform", search=LADDER, t_ratio=0.2, eta_ref=0.1)
  with pytest.raises(ArgumentError, match=r"^clips: 0 clips to calibrate"):
    calibrate_tau(deaf, probe, DEVELOPMENT)


def test_names_of_methods():
  class SpectralLoss:
    pass

  assert method_name(LSAProbe()) == "lsa_probe"
  assert method_name(SpectralLoss()) == "spectral_loss"
  assert LSAProbe(distance="mr_stft").distance_name == "mr_stft"
  own = LSAProbe(distance="waveform").make_distance(8000)
  assert LSAProbe(distance=own).distance_name == "waveform"


def test_the_anchored_probe_is_that_of_an_evaluation(opened, settings, finished):
  model, development, halves = opened
  own = settings.anchored
  probe = LSAProbe(
    distance=settings.distance,
    t_ratio=own.t_ratio,
    search=make_search(settings.search),
    eta_ref=own.tau.eta_ref,
    quantile=own.tau.quantile,
    anchor="clip",
  )
  probe = calibrate_tau(model, probe, development)
  assert method_name(probe) == "lsa_probe_anchored"
  kind = {"method": "lsa_probe_anchored", "model": "A"}
  rows = {
    row["clip"]: row for row in finished.result.rows if kind.items() <= row.items()
  }
  (tau,) = {row["tau"] for row in rows.values()}
  assert probe.tau == pytest.approx(tau, rel=1e-5)
  scores = score(model, probe, halves, twins=["polarity", "reversal"])
  wanted = [rows[clip] for clip in scores.clips]
  np.testing.assert_allclose(
    scores.score, [row["score"] for row in wanted], rtol=2e-3, atol=1e-4
  )
  twins = [row["twin_scores"] for row in scores.rows]
  np.testing.assert_allclose(
    twins, [row["twin_scores"] for row in wanted], rtol=2e-3, atol=1e-4
  )
  less = scores.by_twins()
  assert less.rows[0]["difficulty_calibration"] == "twins"
  np.testing.assert_allclose(
    less.score, scores.score - np.mean(twins, axis=1), rtol=1e-4, atol=1e-6
  )


def test_an_anchor_that_is_none_is_refused():
  with pytest.raises(ArgumentError, match="anchor=cliff: one of reconstruction, clip"):
    LSAProbe(anchor="cliff")


def test_clips_without_twins_have_no_scores_by_twins(opened):
  model, _, halves = opened
  scores = score(model, attacks.Loss(draws=1), halves, t_ratio=0.4)
  with pytest.raises(ArgumentError, match="twins: these clips were scored without"):
    scores.by_twins()
  with pytest.raises(SettingError, match=r"twins.names=channel_swap: the clips have"):
    score(model, attacks.Loss(), halves, t_ratio=0.4, twins=["channel_swap"])


def test_rows_with_other_twins_are_not_gone_on_from(opened, tmp_path):
  model, _, halves = opened
  how = {"t_ratio": 0.4, "path": tmp_path / "rows.jsonl"}
  score(model, attacks.Loss(draws=1), halves, twins=["polarity"], **how)
  refused = "holds rows with the twins polarity, not none; choose a new file"
  with pytest.raises(ArgumentError, match=refused):
    score(model, attacks.Loss(draws=1), halves, **how)
