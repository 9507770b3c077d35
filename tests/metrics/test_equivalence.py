import math

import numpy as np
import pytest
from scipy import stats

from lsaprobe_jax.metrics import equivalence, permutation, power, versions
from lsaprobe_jax.metrics.equivalence import compare_with_reference
from lsaprobe_jax.metrics.versions import TrackVersions


def leaning(tracks, lean, seed, albums=None):
  """Tracks in two versions, of which the model prefers the first by `lean`."""
  scores = np.random.default_rng(seed).normal(size=(tracks, 2))
  return TrackVersions(scores=scores + np.array([lean, 0.0]), blocks=albums)


def test_a_preference_of_the_model_is_centred_away():
  suspects, reference = leaning(20, 1.5, 0), leaning(25, 1.5, 1)
  found = compare_with_reference(suspects, reference)
  assert found.suspects.p_value < 0.01
  assert found.reference.p_value < 0.01
  assert found.reference.two_sided
  assert found.p_value > 0.05
  trained = compare_with_reference(leaning(20, 3.0, 0), reference)
  assert trained.p_value < 0.01
  assert trained.suspects == versions.compare_versions(leaning(20, 3.0, 0))


def test_the_centred_test_is_that_of_permutation_by_album():
  albums = ["p", "p", "q", None, "r", "r"], ["q", "s", "s", None, "t", "u"]
  suspects, reference = leaning(6, 1.0, 2, albums[0]), leaning(6, 0.0, 3, albums[1])
  design = permutation.design([True] * 6 + [False] * 6, [*albums[0], *albums[1]])
  differences = np.concatenate([suspects.differences, reference.differences])
  for two_sided in (False, True):
    found = compare_with_reference(suspects, reference, two_sided=two_sided)
    assert found.p_value == permutation.p_values(
      design, differences, permutations=9_999, seed=0, two_sided=two_sided
    )
    assert found.suspects.two_sided == found.two_sided == two_sided
  assert (found.difference, found.effect) == permutation.effect(design, differences)
  assert found.lowest == pytest.approx(1 / design.arrangements)
  assert found.exact
  drawn = compare_with_reference(suspects, reference, permutations=50)
  assert (drawn.exact, drawn.lowest) == (False, pytest.approx(1 / 51))


def test_sides_of_unlike_versions_are_refused():
  other = TrackVersions(scores=np.ones((3, 4)))
  with pytest.raises(ValueError, match="suspects of 2 versions and a reference of 4"):
    compare_with_reference(leaning(5, 0.0, 0), other)


@pytest.mark.parametrize("mean", [-0.3, 0.0, 0.1, 0.8])
def test_equivalence_is_two_one_sided_tests_of_block_means(mean):
  rng = np.random.default_rng(4)
  differences = mean + rng.normal(size=60)
  albums = [None if i % 6 == 0 else i // 2 for i in range(60)]
  found = equivalence.equivalence(differences, albums, margin=0.5)
  names = [f"alone {i}" if a is None else f"album {a}" for i, a in enumerate(albums)]
  means = np.array(
    [
      np.mean([d for d, other in zip(differences, names, strict=True) if other == name])
      for name in dict.fromkeys(names)
    ]
  )
  deviation = means.std(ddof=1)
  p = max(
    stats.ttest_1samp(means, -0.5 * deviation, alternative="greater").pvalue,
    stats.ttest_1samp(means, 0.5 * deviation, alternative="less").pvalue,
  )
  ci = stats.ttest_1samp(means, 0).confidence_interval(0.9)
  assert found.blocks == len(means) == 40
  assert (found.difference, found.deviation) == pytest.approx((means.mean(), deviation))
  assert found.p_value == pytest.approx(p)
  assert found.ci == pytest.approx((ci.low / deviation, ci.high / deviation))
  assert found.effect == pytest.approx(means.mean() / deviation)
  assert found.shown == (p <= 0.05) == (np.abs(found.ci).max() < 0.5)
  assert found.lean_shown == (not found.ci[0] <= 0 <= found.ci[1])


def test_equivalence_is_shown_of_no_lean_and_a_lean_of_a_lean():
  """With fewer blocks than needed neither is, and of a small lean both."""
  rng = np.random.default_rng(5)
  centred = rng.normal(size=80)
  centred -= centred.mean()
  none = equivalence.equivalence(centred, margin=0.3)
  lean = equivalence.equivalence(centred + 1, margin=0.3)
  few = equivalence.equivalence(centred[:8], margin=0.3)
  small = equivalence.equivalence(centred + 0.25, margin=0.6)
  shown = [(e.shown, e.lean_shown) for e in (none, lean, few, small)]
  assert shown == [(True, False), (False, True), (False, False), (True, True)]


@pytest.mark.parametrize(("margin", "alpha"), [(0.3, 0.05), (0.8, 0.01)])
def test_the_blocks_needed_give_the_power_and_one_less_does_not(margin, alpha):
  needed = equivalence.blocks_needed(margin, alpha)
  rng, rates = np.random.default_rng(6), []
  for count in (needed // 2, needed):
    draws = [rng.normal(size=count) for _ in range(800)]
    found = [equivalence.equivalence(d, margin=margin, alpha=alpha) for d in draws]
    assert {e.blocks_needed for e in found} == {needed}
    rates.append(np.mean([e.shown for e in found]))
  assert rates[0] < 0.6
  assert rates[1] == pytest.approx(0.8, abs=0.05)
  law = stats.t(needed - 2)
  within = margin * math.sqrt(needed - 1) - law.ppf(1 - alpha)
  assert law.cdf(within) - law.cdf(-within) < 0.8


@pytest.mark.parametrize(("margin", "level"), [(0.25, 0.053), (0.5, 0.06), (1.0, 0.09)])
def test_a_lean_of_the_margin_passes_as_often_as_the_docstring_says(margin, level):
  rng = np.random.default_rng(7)
  passed = [
    equivalence.equivalence(margin + rng.normal(size=400), margin=margin).shown
    for _ in range(1_000)
  ]
  assert sum(passed) <= stats.binom(1_000, level).ppf(0.999)


def test_equivalence_of_versions_that_the_model_cannot_tell_apart():
  none = equivalence.equivalence(np.zeros(5), margin=0.3)
  assert (none.p_value, none.ci, none.shown) == (0, (0, 0), True)
  assert not none.lean_shown
  lean = equivalence.equivalence(np.full(5, -0.1), margin=0.3)
  assert (lean.p_value, lean.effect, lean.shown) == (1, -math.inf, False)
  assert lean.lean_shown


@pytest.mark.parametrize(
  ("differences", "how", "message"),
  [
    (np.ones((2, 2)), {}, r"differences \(2, 2\) must be \[n\]"),
    ([1.0, math.nan, 2.0], {}, "1 differences are not finite"),
    ([1.0, 2.0], {"blocks": ["p"]}, "1 blocks for 2 differences"),
    ([1.0, 2.0], {"blocks": ["p", "p"]}, "1 blocks: equivalence needs two"),
    ([], {}, "0 blocks: equivalence needs two"),
    ([1.0, 2.0], {"margin": 0.0}, "margin=0.0: finite and above 0"),
    ([1.0, 2.0], {"alpha": 0.5}, "alpha=0.5: above 0 and below 0.5"),
  ],
)
def test_what_equivalence_refuses(differences, how, message):
  with pytest.raises(ValueError, match=message):
    equivalence.equivalence(differences, **{"margin": 0.3, **how})


@pytest.mark.parametrize(
  ("blocks", "count", "alpha", "two_sided"),
  [(8, 2, 0.05, False), (15, 2, 0.05, True), (20, 4, 0.01, False), (6, 4, 0.05, True)],
)
def test_the_detectable_effect_is_found_with_its_power(blocks, count, alpha, two_sided):
  """By the very test, on noise of its own."""
  effect = equivalence.detectable(blocks, count, alpha, two_sided=two_sided)
  rng, rejected = np.random.default_rng(8), 0
  for draw in range(1_000):
    # A version less the mean of the others has standard deviation 1.
    scores = rng.normal(size=(blocks, count)) * math.sqrt(1 - 1 / count)
    scores[:, 0] += effect
    p = versions.p_value(
      TrackVersions(scores=scores), permutations=999, seed=draw, two_sided=two_sided
    )
    rejected += p <= alpha
  assert rejected / 1_000 == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(("count", "two_sided"), [(2, True), (4, False)])
def test_large_designs_have_nearly_the_effect_of_students_t(count, two_sided):
  effects = equivalence.critical_effects(400, count, 0.05, two_sided=two_sided)
  nearly = equivalence.detectable(401, count, 0.05, two_sided=two_sided)
  assert power.detectable(effects) == pytest.approx(nearly, rel=0.025)
  assert power.at(effects, nearly) == pytest.approx(0.8, abs=0.025)


def test_designs_without_a_low_p_value_detect_nothing():
  assert equivalence.detectable(4, 2, 0.05) == math.inf
  assert equivalence.detectable(5, 2, 0.05) < math.inf
  assert equivalence.detectable(5, 2, 0.05, two_sided=True) == math.inf
  assert equivalence.detectable(500, 2, 0.01, permutations=50) == math.inf
  # A low level needs more ways than the usual simulation draws.
  assert equivalence.detectable(30, 2, 5e-4) < math.inf


def test_more_blocks_detect_less():
  found = [equivalence.detectable(blocks, 3, 0.01) for blocks in (8, 16, 64, 500)]
  assert found == sorted(found, reverse=True)
