import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lsaprobe_jax.metrics import versions
from lsaprobe_jax.metrics.versions import TrackVersions, compare_clips, compare_versions

NAN_PAIR = (math.nan, math.nan)


def toy(tracks, others, seed=0, shift=0.0):
  """Exchangeable versions of tracks of unlike difficulty, but for the shift."""
  rng = np.random.default_rng(seed)
  scores = 5 * rng.normal(size=(tracks, 1)) + rng.normal(size=(tracks, 1 + others))
  scores[:, 0] += shift
  return scores


def p_value(scores, blocks=None, weights=None, permutations=9_999, seed=0, **how):
  tracks = TrackVersions(scores=scores, blocks=blocks, weights=weights)
  return versions.p_value(tracks, permutations=permutations, seed=seed, **how)


def naive_statistic(scores, weights, given):
  """The weighted mean difference if `given[i]` were the version of track i given."""
  total = 0.0
  for row, weight, column in zip(scores, weights, given, strict=True):
    total += weight * (row[column] - np.delete(row, column).mean())
  return total / sum(weights)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("others", [1, 3])
def test_all_ways_by_counting(others, two_sided):
  scores = toy(8, others, seed=others, shift=1.2)
  weights = [1, 2, 3, 1, 5, 1, 2, 4]
  albums = ["p", "p", None, "q", None, "q", "q", "p"]
  blocks = [[0, 1, 7], [2], [3, 5, 6], [4]]
  size = abs if two_sided else float
  values = []
  for way in itertools.product(range(1 + others), repeat=len(blocks)):
    given = np.zeros(8, int)
    for block, column in zip(blocks, way, strict=True):
      given[block] = column
    values.append(size(naive_statistic(scores, weights, given)))
  observed = values[0]  # every block at column 0
  expected = np.mean([value >= observed - 1e-12 for value in values])
  assert 0 < expected < 0.5
  found = compare_versions(
    TrackVersions(scores=scores, weights=weights, blocks=albums), two_sided=two_sided
  )
  assert found.p_value == pytest.approx(expected)
  assert found.exact
  assert (found.tracks, found.blocks, found.versions) == (8, 4, 1 + others)
  assert abs(found.difference) == pytest.approx(abs(observed))
  assert len(values) * found.lowest == pytest.approx(1 + (two_sided and others == 1))


def test_with_one_other_version_it_is_scipys_test_of_signs():
  scores = toy(10, 1, shift=0.8)
  for alternative, two_sided in (("greater", False), ("two-sided", True)):
    theirs = stats.permutation_test(
      (scores[:, 0] - scores[:, 1],),
      lambda x, axis: x.mean(axis),
      vectorized=True,
      permutation_type="samples",
      alternative=alternative,
    )
    found = p_value(scores, two_sided=two_sided)
    assert found == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("tracks", "others"), [(11, 1), (6, 3)])
def test_drawn_ways_agree_with_all_of_them(tracks, others):
  scores = toy(tracks, others, seed=1, shift=0.5)
  exact, permutations = p_value(scores), 2_000
  assert (1 + others) ** tracks > permutations
  drawn = p_value(scores, permutations=permutations)
  assert 0.01 < exact < 0.5
  error = math.sqrt(exact * (1 - exact) / permutations)
  assert drawn == pytest.approx(exact, abs=4 * error)
  count = drawn * (permutations + 1)
  assert count == pytest.approx(round(count))


def test_a_design_of_many_ways_has_the_observed_one_counted_in():
  """More ways than whole numbers of the machine."""
  found = compare_versions(TrackVersions(scores=toy(80, 3, shift=9.0)))
  assert not found.exact
  assert found.p_value == found.lowest == pytest.approx(1 / 10_000)


def test_p_values_of_exchangeable_versions_are_uniform():
  rng = np.random.default_rng(2)
  p_values = []
  for draw in range(400):
    # Skewed scores, in albums of up to four tracks and with unlike weights.
    scores = -rng.exponential(size=(30, 3)) + rng.normal(size=(30, 1))
    albums, weights = rng.integers(18, size=30), rng.integers(1, 6, size=30)
    p_values.append(p_value(scores, albums, weights, 499, draw))
  assert stats.kstest(p_values, "uniform").pvalue > 0.01


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize(("tracks", "others"), [(5, 1), (3, 3)])
def test_exact_p_values_keep_every_level(tracks, others, two_sided):
  """P(p <= alpha) <= alpha, and with equality at the values that p can take."""
  rng = np.random.default_rng(3)
  found = np.array(
    [
      p_value(rng.standard_t(3, size=(tracks, 1 + others)), two_sided=two_sided)
      for _ in range(3_000)
    ]
  )
  ways = (1 + others) ** tracks
  step = 2 if two_sided and others == 1 else 1
  for count in (step, 2 * step, 4 * step, 8 * step):
    rejected = int((found <= count / ways + 1e-12).sum())
    low, high = stats.binom(3_000, count / ways).interval(0.999)
    assert low <= rejected <= high


def test_a_master_of_inverted_polarity_is_found_on_two_sides_alone():
  upright, inverted = toy(12, 1, shift=1.5), toy(12, 1, shift=1.5)[:, ::-1]
  assert p_value(upright) < 0.01
  assert p_value(inverted) > 0.99
  assert p_value(inverted, two_sided=True) < 0.01
  # With one other version both sides hold the same ways.
  assert p_value(upright, two_sided=True) == pytest.approx(2 * p_value(upright))


def test_power_grows_with_the_effect():
  rates = []
  for shift in (0.0, 0.5, 1.0, 2.0):
    p_values = [
      p_value(toy(15, 2, seed, shift), None, None, 199) for seed in range(150)
    ]
    rates.append(np.mean(np.array(p_values) <= 0.05))
  assert rates[0] < 0.12 < rates[1] < rates[2] < rates[3]
  assert rates[3] > 0.95


def test_an_album_that_leans_together_is_no_evidence_where_albums_are_known():
  """Twelve albums of five tracks that share the sign of their leaning."""
  rng, rejected = np.random.default_rng(4), {True: 0, False: 0}
  albums = np.repeat(np.arange(12), 5)
  for draw in range(300):
    lean = rng.choice([-1.0, 1.0], size=12)[albums]
    scores = np.stack([lean, -lean], axis=1) / 2 + 0.5 * rng.normal(size=(60, 2))
    for known in rejected:
      p = p_value(scores, albums if known else None, None, 199, draw)
      rejected[known] += p <= 0.05
  low, high = stats.binom(300, 0.05).interval(0.99)
  assert low <= rejected[True] <= high
  assert rejected[False] > 3 * high / 2


def test_difficulty_and_the_order_of_other_versions_do_not_matter():
  scores = toy(10, 3, seed=5, shift=0.5)
  harder = scores + 100 * np.random.default_rng(6).normal(size=(10, 1))
  assert p_value(harder) == p_value(scores)
  assert p_value(scores[:, [0, 3, 1, 2]], permutations=2_000_000) == pytest.approx(
    p_value(scores, permutations=2_000_000)
  )


def test_interval_and_effect_are_those_of_students_t():
  scores = toy(9, 2, seed=7, shift=1.0)
  differences = scores[:, 0] - scores[:, 1:].mean(axis=1)
  student = stats.ttest_1samp(differences, 0)
  found = compare_versions(TrackVersions(scores=scores))
  assert found.difference == pytest.approx(differences.mean())
  assert found.effect == pytest.approx(differences.mean() / differences.std(ddof=1))
  assert found.ci == pytest.approx(tuple(student.confidence_interval(0.95)))
  # Album mates that are copies are no more tracks than one, whatever their number.
  copies = TrackVersions(
    scores=np.repeat(scores, 4, axis=0),
    weights=np.full(36, 3.0),
    blocks=np.repeat(np.arange(9), 4),
  )
  again = compare_versions(copies)
  assert again.ci == pytest.approx(found.ci)
  assert (again.effect, again.p_value) == pytest.approx((found.effect, found.p_value))


def test_the_interval_of_unlike_blocks_covers():
  rng, covered = np.random.default_rng(8), 0
  weights = np.tile([1.0, 2.0, 4.0, 4.0], 10)
  for _ in range(400):
    scores = rng.normal(size=(40, 2)) / np.sqrt(weights)[:, None]
    scores[:, 0] += 0.3
    low, high = compare_versions(
      TrackVersions(scores=scores, weights=weights), permutations=1
    ).ci
    covered += low <= 0.3 <= high
  assert (
    stats.binom(400, 0.95).ppf(0.001) <= covered <= stats.binom(400, 0.95).ppf(0.999)
  )


def test_the_signed_rank_test_stands_where_it_is_valid():
  scores = toy(14, 1, shift=0.7)
  differences = scores[:, 0] - scores[:, 1]
  found = compare_versions(TrackVersions(scores=scores))
  theirs = stats.wilcoxon(differences, alternative="greater").pvalue
  assert found.p_wilcoxon == pytest.approx(theirs)
  both = compare_versions(TrackVersions(scores=scores), two_sided=True)
  assert both.p_wilcoxon == pytest.approx(stats.wilcoxon(differences).pvalue)
  for other in (
    TrackVersions(scores=scores[:4]),
    TrackVersions(scores=scores, blocks=["p", "p"] + [None] * 12),
    TrackVersions(scores=toy(14, 2)),
    TrackVersions(scores=np.ones((14, 2))),
  ):
    assert math.isnan(compare_versions(other).p_wilcoxon)


def test_the_signed_rank_test_of_several_other_versions_would_reject_too_often():
  """Why it is left out there: skewed scores, three other versions, nothing to find."""
  rng, rejected = np.random.default_rng(9), np.zeros(2)
  for draw in range(200):
    scores = -rng.exponential(size=(60, 4))
    differences = TrackVersions(scores=scores).differences
    ranks = stats.wilcoxon(differences, alternative="greater").pvalue
    ours = p_value(scores, None, None, 199, draw)
    rejected += np.array([ranks, ours]) <= 0.05
  high = stats.binom(200, 0.05).ppf(0.995)
  assert rejected[0] > high >= rejected[1]


def test_versions_that_do_not_differ_are_no_evidence():
  found = compare_versions(TrackVersions(scores=np.ones((6, 3))))
  assert (found.p_value, found.difference, found.effect) == (1, 0, 0)
  steady = compare_versions(TrackVersions(scores=np.tile([2.0, 1.0], (6, 1))))
  assert (steady.p_value, steady.effect) == (pytest.approx(1 / 64), math.inf)
  assert steady.ci == pytest.approx((1, 1))


def test_one_album_alone_says_little():
  album = TrackVersions(scores=toy(20, 3, shift=5.0), blocks=["p"] * 20)
  found = compare_versions(album)
  assert found.p_value == found.lowest == 0.25
  assert math.isnan(found.effect)
  np.testing.assert_equal(found.ci, NAN_PAIR)
  signs = TrackVersions(scores=toy(20, 1, shift=5.0), blocks=["p"] * 20)
  assert compare_versions(signs, two_sided=True).p_value == 1


def test_clips_of_one_track_choose_for_themselves():
  clips = toy(7, 2, seed=10, shift=2.0)
  found = compare_clips(clips)
  assert found.clips == 7
  assert found.p_value == p_value(clips)
  assert found.lowest == pytest.approx(3.0**-7)
  assert found.exact
  assert found.difference == pytest.approx((clips[:, 0] - clips[:, 1:].mean(1)).mean())
  many = compare_clips(toy(40, 2, shift=9.0), permutations=99)
  assert (many.exact, many.p_value, many.lowest) == (False, 0.01, 0.01)


def test_what_the_p_value_rests_on():
  scores = toy(6, 2)
  assert (
    "each of its 2 others" in compare_versions(TrackVersions(scores=scores)).assumes
  )
  drawn = compare_versions(TrackVersions(scores=scores, randomised=True))
  assert "drawn at random among 3" in drawn.assumes


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ({"scores": np.ones(3)}, r"scores \(3,\) must be \[n, 1 \+ k\]"),
    ({"scores": np.ones((3, 1))}, "another version or more"),
    ({"scores": np.ones((0, 2))}, "of a track or more"),
    ({"scores": [[1.0, math.nan], [math.inf, 2.0]]}, "2 scores are not finite"),
    ({"weights": [1.0]}, r"weights \(1,\) for 2 tracks"),
    ({"weights": [1.0, 0.0]}, "weights must be finite and above 0"),
    ({"weights": [1.0, math.inf]}, "weights must be finite and above 0"),
    ({"blocks": ["p"]}, "1 blocks for 2 tracks"),
  ],
)
def test_scores_that_cannot_be_tested_are_refused(given, message):
  with pytest.raises(ValueError, match=message):
    TrackVersions(**{"scores": np.ones((2, 2)), **given})
