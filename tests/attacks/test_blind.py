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


def _side(values):
  """Columns of what stereo has besides: four means, then four spreads."""
  return np.concatenate([values[:, 48:52], values[:, 100:]], axis=1)


def test_in_stereo_they_are_those_of_the_mean_and_of_the_side():
  rng = np.random.default_rng(5)
  left, other = (_clips(rng, np.arange(4)) for _ in range(2))
  right = 0.5 * left + 0.1 * other
  audio = np.stack([left, right], axis=1)
  values = blind.features(audio, 8_000)
  assert values.shape == (4, len(blind.feature_names(2)))
  assert blind.feature_names(2)[50].endswith("spectral centroid of the side")
  middle = blind.features((left + right) / 2, 8_000)
  np.testing.assert_allclose(values[:, :48], middle[:, :48], 1e-4, 1e-4)
  np.testing.assert_allclose(values[:, 52:100], middle[:, 48:], 1e-3, 1e-4)
  # The side alone, as a clip of one channel, has its centroid and bandwidth.
  side = blind.features((left - right) / 2, 8_000)
  np.testing.assert_allclose(values[:, 50:52], side[:, 46:48], 1e-4)
  np.testing.assert_allclose(
    values[:, 48], side[:, 45] - middle[:, 45], rtol=1e-4, atol=1e-4
  )
  # A swap turns the balance round and leaves the rest.
  swapped = blind.features(audio[:, ::-1], 8_000)
  np.testing.assert_allclose(swapped[:, 49], -values[:, 49], 1e-4)
  kept = [i for i in range(104) if i != 49]
  np.testing.assert_allclose(swapped[:, kept], values[:, kept], 1e-4, 1e-4)


def test_the_side_of_simple_stereo_is_as_by_hand():
  left = _clips(np.random.default_rng(6), np.arange(3))
  both = lambda right: _side(blind.features(np.stack([left, right], axis=1), 8_000))
  softer = both(0.5 * left)
  decibels = lambda ratio: 20 * np.log10(ratio)
  expected = np.tile([decibels(0.25 / 0.75), decibels(2.0)], (3, 1))
  np.testing.assert_allclose(softer[:, :2], expected, atol=1e-3)
  np.testing.assert_allclose(softer[:, 4:6], 0, atol=1e-3)
  equal, apart, alone = both(left), both(-left), both(0 * left)
  np.testing.assert_array_equal(equal[:, :4], np.tile([-60.0, 0, 0, 0], (3, 1)))
  np.testing.assert_array_equal(apart[:, 0], 60.0)
  np.testing.assert_allclose(alone[:, :2], np.tile([0, 60.0], (3, 1)), atol=1e-3)


def test_finds_a_leak_of_width():
  sides, tracks = _split()
  rng = np.random.default_rng(7)
  middle, side = (_clips(rng, tracks) for _ in range(2))
  side *= np.where(sides, 0.5, 0.05)[:, None]
  audio = np.stack([middle + side, middle - side], axis=1)
  in_mono = blind.blind_scores(audio.mean(axis=1), 8_000, sides, tracks, seed=0)
  in_stereo = blind.blind_scores(audio, 8_000, sides, tracks, seed=0)
  assert roc.auc(in_mono, sides) < 0.8
  assert roc.auc(in_stereo, sides) > 0.9


def test_long_clips_are_taken_fewer_at_a_time(monkeypatch):
  audio = _clips(np.random.default_rng(0), np.arange(5))
  whole = blind.features(audio, 8_000)
  monkeypatch.setattr(blind, "_BATCH_SAMPLES", 2 * audio.shape[1])
  np.testing.assert_allclose(blind.features(audio, 8_000), whole, 1e-4)


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
