"""The blind gate: its level, and what it must see at any number of suspects."""

import numpy as np
import pytest
from scipy import stats

from lsaprobe_jax.attacks import blind
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.metrics import likeness, permutation

RATE, SAMPLES = 8_000, 4_096
COUNTS = (1, 2, 3, 5, 7, 8, 20)


def compare(features, suspects, names=blind.FEATURE_NAMES, albums=None, **settings):
  made = permutation.design(np.arange(len(features)) < suspects, albums)
  return likeness.compare(made, features, names, **settings)


def test_features_have_names():
  audio = np.random.default_rng(0).normal(size=(2, SAMPLES))
  values = blind.features(audio, RATE)
  assert values.shape == (2, len(blind.FEATURE_NAMES))
  louder = blind.features(2 * audio, RATE) - values
  (place,) = [i for i, n in enumerate(blind.FEATURE_NAMES) if n == "mean of loudness"]
  np.testing.assert_allclose(louder[:, place], 20 * np.log10(2), rtol=1e-5)
  centroid = blind.FEATURE_NAMES.index("mean of spectral centroid")
  np.testing.assert_allclose(louder[:, centroid], 0, atol=1e-3)


@pytest.mark.parametrize("suspects", COUNTS)
def test_white_noise_is_told_from_quiet_tones(suspects):
  rng = np.random.default_rng(1)
  noise = rng.uniform(-1, 1, size=(suspects, SAMPLES))
  time = np.arange(SAMPLES) / RATE
  pitch, level = rng.uniform(100, 800, (40, 1)), rng.uniform(0.01, 0.05, (40, 1))
  tones = level * np.sin(2 * np.pi * pitch * time)
  features = blind.features(np.concatenate([noise, tones]), RATE)
  assert compare(features, suspects).p_value <= 0.05


@pytest.fixture(scope="module")
def music():
  """Acoustic features of all shipped tracks."""
  clips = corpora.open_corpus(
    "multigenre", sample_rate=RATE, clip_seconds=0.512, clips_per_track=1
  )
  return blind.features(clips.audio, RATE)


@pytest.mark.parametrize("suspects", COUNTS)
def test_real_tracks_dealt_at_random_fail_at_the_level(music, suspects):
  rng = np.random.default_rng([2, suspects])
  failed = [
    compare(
      music[rng.permutation(len(music))[: suspects + 40]],
      suspects,
      permutations=199,
      seed=draw,
    ).p_value
    <= 0.05
    for draw in range(300)
  ]
  law = stats.binom(300, 0.05)
  assert law.ppf(0.0005) <= sum(failed) <= law.ppf(0.9995)


def test_a_single_feature_that_differs_is_named():
  rng = np.random.default_rng(3)
  features = rng.normal(size=(60, 40))
  features[:20, 7] += 2
  found = compare(features, 20, [f"f{i}" for i in range(40)])
  assert found.p_value <= 0.01
  assert found.feature == "f7"
  # A shift of 2 within a standard deviation that holds the shift itself.
  expected = features[:20, 7].mean() - features[20:, 7].mean()
  assert found.difference == pytest.approx(expected / features[:, 7].std())


def test_many_features_that_differ_a_little_are_seen():
  rng = np.random.default_rng(4)
  features = rng.normal(size=(60, 40))
  features[:20] += 0.5
  assert compare(features, 20, [str(i) for i in range(40)]).p_value <= 0.01


def test_where_albums_are_exchanged_albums_alike_are_no_difference():
  rng, failed = np.random.default_rng(5), []
  albums = np.repeat(np.arange(13), 4)
  for draw in range(200):
    features = rng.normal(size=(13, 6))[albums] + 0.3 * rng.normal(size=(52, 6))
    found = compare(
      features, 12, list("abcdef"), albums=albums, permutations=199, seed=draw
    )
    failed.append(found.p_value <= 0.05)
  assert sum(failed) <= stats.binom(200, 0.05).ppf(0.995)


def test_the_energy_distance_is_szekelys():
  rng = np.random.default_rng(6)
  x, y = rng.normal(size=(5, 1)), rng.normal(1, 2, size=(9, 1))
  masks = (np.arange(14) < 5)[None]
  theirs = stats.energy_distance(x[:, 0], y[:, 0])
  found = likeness._energy(masks, np.concatenate([x, y]))
  # SciPy's is its root, without the sizes.
  np.testing.assert_allclose(found, theirs**2 * 5 * 9 / 14)


def test_features_that_are_not_finite_are_refused():
  with pytest.raises(ValueError, match="not finite"):
    compare(np.array([[1.0], [np.nan]]), 1, ["x"])
