import warnings

import numpy as np
import pytest

from lsaprobe_jax.attacks import blind
from lsaprobe_jax.metrics import intervals, roc


def _clips(rng, tracks, samples=2048):
  """Noise with a tilt and a gain of its track: clips of a track are alike."""
  names = np.unique(tracks)
  gain = dict(zip(names, rng.uniform(0.1, 0.5, names.size), strict=True))
  audio = rng.normal(size=(tracks.size, samples))
  audio[:, 1:] += 0.8 * audio[:, :-1]
  return audio * np.array([gain[t] for t in tracks])[:, None] * 0.2


def _split(tracks_a_side=12, clips=3):
  tracks = np.repeat(np.arange(2 * tracks_a_side), clips)
  return tracks < tracks_a_side, np.char.add("track", tracks.astype(str))


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100])
def test_features_are_finite_without_warnings(sample_rate):
  audio = _clips(np.random.default_rng(0), np.arange(5))
  audio[1] = 0  # silence
  audio[2, :100] = 1
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    values = blind.features(audio, sample_rate)
  assert values.shape == (5, 2 * (32 + 13 + 3))
  assert np.isfinite(values).all()


def test_features_of_a_clip_do_not_depend_on_its_batch():
  audio = _clips(np.random.default_rng(0), np.arange(70))
  whole = blind.features(audio, 8_000)
  np.testing.assert_allclose(whole[66:67], blind.features(audio[66:67], 8_000), 1e-4)


def test_finds_a_leak_of_gain():
  sides, tracks = _split()
  audio = _clips(np.random.default_rng(1), tracks)
  audio[sides] *= 4
  scores = blind.blind_scores(audio, 8_000, sides, tracks, seed=0)
  assert roc.auc(scores, sides) > 0.8
  assert intervals.auc_ci(scores, sides, tracks, cross_fitted=True)[0] > 0.5


def test_is_deterministic_and_does_not_depend_on_names():
  sides, tracks = _split(8)
  audio = _clips(np.random.default_rng(2), tracks)
  scores = blind.blind_scores(audio, 8_000, sides, tracks, seed=3)
  again = blind.blind_scores(audio, 8_000, sides, tracks, seed=3)
  np.testing.assert_array_equal(scores, again)
  assert ((scores > 0) & (scores < 1)).all()


def test_no_track_is_scored_by_a_fit_that_saw_it():
  # The one feature names the track. A fit that saw a track would know its side.
  sides, tracks = _split(10, 4)
  values = (tracks[:, None] == np.unique(tracks)).astype(float)
  scores = blind.cross_fit(values, sides, tracks, seed=0)
  assert roc.auc(scores, sides) < 0.6


def test_null_auc_is_half_and_its_interval_honest():
  """Over random splits by track of the same clips, nothing being there to find."""
  rng = np.random.default_rng(4)
  tracks = np.repeat(np.arange(32), rng.integers(1, 5, 32))
  values = rng.normal(size=(32, 5))[tracks] + 0.7 * rng.normal(size=(tracks.size, 5))
  aucs, missed, naive = [], 0, 0
  for seed in range(120):
    sides = np.isin(tracks, rng.permutation(32)[:16])
    scores = blind.cross_fit(values, sides, tracks, seed)
    aucs.append(roc.auc(scores, sides))
    low, high = intervals.auc_ci(scores, sides, tracks, cross_fitted=True)
    missed += not low <= 0.5 <= high
    low, high = intervals.auc_ci(scores, sides, tracks)
    naive += not low <= 0.5 <= high
  assert abs(np.mean(aucs) - 0.5) < 3 * np.std(aucs) / np.sqrt(120)
  assert missed <= 13  # 6 of 120 expected, three standard deviations above
  assert naive > 12  # twice as many: why cross-fitted scores need the wider interval


def test_refuses_what_it_cannot_split():
  sides, tracks = _split(4)
  audio = _clips(np.random.default_rng(0), tracks)
  mixed = np.where(np.arange(tracks.size) == 0, "track7", tracks)
  with pytest.raises(ValueError, match=r"both sides, e\.g\. track7"):
    blind.blind_scores(audio, 8_000, sides, mixed, seed=0)
  with pytest.raises(ValueError, match="needs at least two on each side"):
    blind.blind_scores(audio[:6], 8_000, sides[:6], tracks[:6], seed=0)
  with pytest.raises(ValueError, match="samples >= 1024"):
    blind.blind_scores(audio[:, :512], 8_000, sides, tracks, seed=0)
  audio[3, 5] = np.nan
  with pytest.raises(ValueError, match="1 of 24 clips"):
    blind.blind_scores(audio, 8_000, sides, tracks, seed=0)
