"""One clip under one model: D against eta, and C_adv where tau is given."""

import dataclasses
import re

import numpy as np
import pytest
import soundfile
import toy_corpus
import toy_model

from lsaprobe_jax import search as searches
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data.border import AudioError
from lsaprobe_jax.errors import ArgumentError, LsaProbeError
from lsaprobe_jax.scoring.method import LSAProbe
from lsaprobe_jax.scoring.one_clip import load_clip, probe_clip

MODEL = toy_model.model()
CLIPS = toy_corpus.noise("a")
PROBE = LSAProbe(
  distance="waveform",
  t_ratio=0.2,
  search=searches.get("continuation", eta_max=0.8, rungs=4, steps=1),
  eta_max=0.8,
  tau=0.01,
)
TIMES = np.arange(4000) / 8000


@pytest.fixture(scope="module")
def curve():
  return probe_clip(MODEL, PROBE, CLIPS.audio[0])


def test_a_clip_is_probed(curve):
  np.testing.assert_allclose(curve.budgets, [0.05, 0.126, 0.3175, 0.8], rtol=1e-3)
  assert np.all(np.diff(curve.degradations) > 0)
  # The first rung whose degradation reaches tau bounds it from above.
  assert 0 < curve.cost <= curve.budgets[curve.degradations >= PROBE.tau].min()
  # Beside the gradients the clean side, and D after the last step.
  assert curve.nfe_forward == curve.nfe_backward + 2 > 2
  assert curve.seconds > 0
  first, *lines = str(curve).splitlines()
  schedule = MODEL.model.schedule
  t = round(0.2 * schedule.num_train_timesteps)
  ratio = float(schedule.signal[t] / schedule.noise[t])
  assert first == f"t = {t}, log-SNR {2 * np.log(ratio):.2f}"
  found = [re.fullmatch(r"eta (\S+)  D (\S+)", line) for line in lines[:-1]]
  assert [float(match[1]) for match in found] == [0.05, 0.126, 0.3175, 0.8]
  assert lines[-1] == f"C_adv {curve.cost:.4f} at tau 0.01"


def test_its_noise_is_that_of_the_seed(curve):
  again = probe_clip(MODEL, PROBE, CLIPS.audio[0])
  np.testing.assert_array_equal(again.degradations, curve.degradations)
  other = probe_clip(MODEL, PROBE, CLIPS.audio[0], seed=1)
  assert (other.degradations != curve.degradations).all()


def test_a_tau_out_of_reach_is_censored():
  curve = probe_clip(MODEL, dataclasses.replace(PROBE, tau=1e3), CLIPS.audio[0])
  assert curve.cost is None
  assert str(curve).endswith("tau 1000 is not reached within eta 0.8: censored")


def test_a_search_that_is_an_object_has_its_own_largest_budget():
  wide = dataclasses.replace(PROBE, search=PROBE.search, eta_max=0.1)
  assert probe_clip(MODEL, wide, CLIPS.audio[0]).eta_max == 0.8
  narrow = dataclasses.replace(PROBE, search="continuation", eta_max=0.1)
  assert probe_clip(MODEL, narrow, CLIPS.audio[0]).eta_max == 0.1


def test_without_a_tau_there_is_the_curve_alone():
  curve = probe_clip(MODEL, dataclasses.replace(PROBE, tau=None), CLIPS.audio[0])
  assert curve.cost is None
  assert len(str(curve).splitlines()) == 5


@pytest.mark.parametrize(
  ("change", "match"),
  [
    ({"t_ratio": 1.5}, r"t_ratio=1\.5 gives t = 30"),
    ({"tau": 0.0}, r"^tau=0: a number above 0"),
    ({"tau": -1.0}, r"^tau=-1: a number above 0"),
    ({"tau": float("nan")}, r"^tau=nan: a number above 0"),
    ({"eta_max": -0.1}, r"^eta_max=-0\.1: a number above 0"),
    ({"distance": "loud"}, r"distance=loud: known"),
    ({"search": "bisection"}, r"^search=bisection: it gives no curve"),
  ],
)
def test_what_cannot_be_probed_is_refused(change, match):
  with pytest.raises(ArgumentError, match=match):
    probe_clip(MODEL, dataclasses.replace(PROBE, **change), CLIPS.audio[0])


@pytest.mark.parametrize(
  ("weight", "match"),
  [(np.nan, "D is not finite along the curve"), (0.0, "D is 0 at every budget")],
)
def test_a_model_that_answers_nothing_is_no_finding(weight, match):
  model = MODEL
  if weight:
    params = np.full_like(MODEL.model.params, weight)
    model = dataclasses.replace(MODEL, model=MODEL.model.replace(params=params))
  else:
    silent = MODEL.model.replace(decode_fn=lambda params, x: 0 * x)
    model = dataclasses.replace(MODEL, model=silent)
  with pytest.raises(LsaProbeError, match=match):
    probe_clip(model, PROBE, CLIPS.audio[0])


@pytest.mark.parametrize(
  ("samples", "match"),
  [
    (np.zeros(4000), "silent"),
    (np.full(4000, 0.5), "constant"),
    (np.where(np.arange(4000) == 2000, 0.9, 0.0), "click"),
    (1e30 * np.sin(2000 * TIMES), "export it again"),
    (32767 * np.sin(2000 * TIMES), "they look like integers stored as floats"),
  ],
)
def test_audio_that_no_cost_can_be_had_of_is_refused(tmp_path, samples, match):
  path = tmp_path / "clip.wav"
  soundfile.write(path, samples, 8000, "FLOAT")
  with pytest.raises(AudioError, match=match) as caught:
    load_clip(path, 8000, seconds=0.5)
  assert str(path) in str(caught.value)


def test_a_clip_is_cut_where_it_begins_and_at_the_rate_of_the_model(tmp_path):
  path = tmp_path / "clip.wav"
  samples = np.random.default_rng(0).normal(scale=0.1, size=4000).astype(np.float32)
  soundfile.write(path, samples, 8000, "FLOAT")
  cut = load_clip(path, 8000, seconds=0.25, start=0.125)
  gain = cut[0] / samples[1000]
  np.testing.assert_allclose(cut, gain * samples[1000:3000], rtol=1e-5)
  assert load_clip(path, 16000, seconds=0.25).shape == (4000,)
  with pytest.raises(AudioError, match="3000 samples are left, not 4000"):
    load_clip(path, 8000, seconds=0.5, start=0.125)
  with pytest.raises(AudioError, match=r"none\.wav: no such file"):
    load_clip(tmp_path / "none.wav", 8000, seconds=0.5)


@pytest.mark.parametrize("seconds", [9.0, 3.2])
def test_a_clip_has_the_level_that_a_corpus_gives_it(tmp_path, seconds):
  """Tau and the model are of clips at that level, whatever the file's own is."""
  path = tmp_path / "clip.wav"
  rng = np.random.default_rng(0)
  swell = np.linspace(0.01, 0.3, round(44100 * seconds))
  soundfile.write(path, swell * rng.normal(size=len(swell)), 44100, "FLOAT")
  corpus = corpora.open_corpus(path, sample_rate=8000, clip_seconds=0.5)
  assert len(corpus) >= 4
  for clip, audio in zip(corpus.clips, corpus.audio, strict=True):
    own = load_clip(path, 8000, seconds=0.5, start=clip.start_seconds)
    np.testing.assert_allclose(own, audio, atol=1e-6)
  # Where no corpus has a clip there is one gain all the same.
  start = seconds - 0.6 if seconds < 4 else 3.8
  across = load_clip(path, 44100, seconds=0.5, start=start)
  first = round(44100 * start)
  raw = soundfile.read(path, dtype="float32")[0][first : first + 22050]
  gain = np.dot(across, raw) / np.dot(raw, raw)
  np.testing.assert_allclose(across, gain * raw, atol=1e-5)


def test_a_level_a_little_above_full_scale_is_probed(tmp_path):
  path = tmp_path / "clip.wav"
  soundfile.write(path, 1.4 * np.sin(2000 * TIMES), 8000, "FLOAT")
  clip = load_clip(path, 8000, seconds=32 / 8000)
  curve = probe_clip(MODEL, PROBE, clip)
  assert curve.cost in curve.budgets
