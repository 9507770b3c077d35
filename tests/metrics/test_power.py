"""Power is that of the test used, by simulating that very test."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats import power as statsmodels_power

from lsaprobe_jax.metrics import permutation, power


@pytest.mark.parametrize("comparison", [19, 40, 79])
@pytest.mark.parametrize("suspects", [1, 2, 5, 12, 40])
def test_promised_power_is_what_simulated_audits_have(suspects, comparison):
  made = permutation.design(np.arange(suspects + comparison) < suspects)
  effect = power.detectable(power.critical_effects(made, 0.05))
  rng = np.random.default_rng([suspects, comparison])
  tables = rng.normal(size=(800, suspects + comparison)) + effect * made.suspect
  found = [
    permutation.p_values(made, scores, permutations=499, seed=draw) <= 0.05
    for draw, scores in enumerate(tables)
  ]
  assert np.mean(found) == pytest.approx(0.8, abs=0.05)
  assert power.power(effect, suspects, comparison, 0.05) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(
  "sizes", [([3] * 3, [3] * 12), ([12], [6] * 25), ([1, 9], [2, 5, 8] * 8)]
)
def test_promised_power_holds_where_albums_are_exchanged(sizes):
  suspects, reference = sizes
  albums = np.repeat(np.arange(len(suspects) + len(reference)), suspects + reference)
  made = permutation.design(albums < len(suspects), albums.tolist())
  assert made.uneven == (len({*suspects, *reference}) > 1)
  effect = power.detectable(power.critical_effects(made, 0.05))
  noise = np.random.default_rng(0).normal(size=(800, albums.size))
  tables = noise + effect * made.suspect
  found = [
    permutation.p_values(made, scores, permutations=499, seed=draw) <= 0.05
    for draw, scores in enumerate(tables)
  ]
  assert np.mean(found) == pytest.approx(0.8, abs=0.05)


def test_critical_effects_by_trying_all_ways():
  """From this shift on, three suspects and five others of one noise have p = 2 / 56."""
  made = permutation.design(np.arange(8) < 3)
  for noise in np.random.default_rng(power._SEED).normal(size=(power._NOISES, 8))[:3]:
    p = lambda shift, noise=noise: permutation.p_values(
      made, noise + shift * made.suspect, permutations=99, seed=0
    )
    grid = np.linspace(-5, 5, 2001)
    first = grid[[p(shift) <= 2.5 / 56 for shift in grid].index(True)]
    effects = power.critical_effects(made, 2.5 / 56)
    assert np.abs(effects - first).min() <= 0.006


def test_no_effect_is_found_where_no_p_value_is_low_enough():
  made = permutation.design(np.arange(8) < 2)  # 28 ways
  assert power.detectable(power.critical_effects(made, 0.03)) == math.inf
  assert power.detectable(power.critical_effects(made, 0.04)) < 10


@pytest.mark.parametrize("effect", [0.2, 0.8, 1.5])
def test_students_power_agrees_with_statsmodels(effect):
  theirs = statsmodels_power.TTestIndPower().power(
    effect, nobs1=12, alpha=0.01, ratio=30 / 12, alternative="larger"
  )
  assert power.by_t(effect, 12, 30, 0.01) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("tracks", [50, 200])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_of_many_tracks_students_power_stands_for_it(tracks, alpha):
  rest = power._LARGE - tracks
  effect = 2.5 * math.sqrt(1 / tracks + 1 / rest)
  simulated = power.power(effect, tracks, rest, alpha)
  # A binomial's error of 2,000 noises is 0.011.
  assert simulated == pytest.approx(power.by_t(effect, tracks, rest, alpha), abs=0.035)


def test_tracks_needed_is_the_first_number_that_suffices():
  needed = int(power.tracks_needed(0.9, 40))
  assert power.power(0.9, needed, 40, 0.01) >= 0.8
  assert power.power(0.9, needed - 1, 40, 0.01) < 0.8
  assert power.tracks_needed(5.0, 40) == power.tracks_needed(math.inf, 40) == 2
  # Two against two have six divisions: no difference is found at 1%.
  assert power.power(math.inf, 2, 2, 0.01) == 0
  # Ten tracks of reference never show so small a difference.
  assert power.tracks_needed(0.3, 10) == math.inf
  assert power.tracks_needed(-0.5, 100) == math.inf
  assert power.tracks_needed(0.0, 100) == math.inf


def test_intervals_of_effects_cover():
  rng, hits = np.random.default_rng(1), 0
  for _ in range(400):
    suspects, reference = rng.normal(0.8, 1, 6), rng.normal(size=20)
    made = permutation.design(np.arange(26) < 6)
    _, effect = permutation.effect(made, np.concatenate([suspects, reference]))
    low, high = power.effect_interval(effect, 6, 20)
    hits += low <= 0.8 <= high
  law = stats.binom(400, 0.95)
  assert law.ppf(0.005) <= hits <= law.ppf(0.995)


def test_the_interval_of_an_effect_is_the_noncentral_ts():
  root = math.sqrt(1 / 10 + 1 / 40)
  low, high = power.effect_interval(0.9, 10, 40)
  for end, share in ((low, 0.975), (high, 0.025)):
    assert stats.nct.cdf(0.9 / root, 48, end / root) == pytest.approx(share, abs=1e-4)
  assert power.effect_interval(math.inf, 3, 9) == (math.inf, math.inf)
