import itertools

import numpy as np
import pytest
from scipy import stats

from lsaprobe_jax.metrics import permutation

SUSPECTS = [True] * 4 + [False] * 6


def p_value(suspect, scores, albums=None, permutations=9_999, seed=0):
  made = permutation.design(suspect, albums)
  return permutation.p_values(made, scores, permutations=permutations, seed=seed)


def test_without_albums_it_is_scipys_test_of_the_mean_difference():
  scores = np.random.default_rng(0).normal(size=10)
  theirs = stats.permutation_test(
    (scores[:4], scores[4:]),
    lambda x, y, axis: x.mean(axis) - y.mean(axis),
    vectorized=True,
    alternative="greater",
  )
  assert p_value(SUSPECTS, scores) == pytest.approx(theirs.pvalue)
  drawn = p_value(SUSPECTS, scores, permutations=200)
  assert drawn == pytest.approx(theirs.pvalue, abs=0.1)
  assert drawn * 201 == pytest.approx(round(drawn * 201))


def test_one_suspect_has_its_conformal_p_value():
  scores = np.array([3.0, 1.0, 2.0, 3.0, 4.0])
  assert p_value([True] + [False] * 4, scores) == pytest.approx(3 / 5)


def test_albums_on_one_side_are_exchanged_whole():
  """Two of five albums are suspects: by counting the ten ways to take two."""
  albums = ["p", "p", "p", "q", "r", "r", "s", "t", "t"]
  suspect = np.array([album in "pq" for album in albums])
  scores = np.random.default_rng(1).normal(size=9) + 2 * suspect
  centred = scores - scores.mean()
  taken = lambda way: centred[[album in way for album in albums]]
  mean = lambda way: taken(way).mean() * len(taken(way)) ** 0.5
  of_album = {a: scores[[b == a for b in albums]].mean() for a in "pqrst"}
  equal = lambda way: sum(of_album[album] for album in way)
  ways = list(itertools.combinations("pqrst", 2))
  # Albums are of unlike size: both weights have to be large.
  expected = max(
    np.mean([weight(way) >= weight(("p", "q")) - 1e-12 for way in ways])
    for weight in (mean, equal)
  )
  made = permutation.design(suspect, albums)
  assert made.arrangements == len(ways) == 10
  assert made.lowest(99) == pytest.approx(1 / 10)
  assert p_value(suspect, scores, albums) == pytest.approx(expected)


def test_an_album_on_both_sides_is_dealt_within_itself():
  albums = ["p"] * 5 + ["q"] * 3
  suspect = np.array([1, 1, 0, 0, 0, 1, 0, 0], bool)
  scores = np.array([5.0, 1.0, 2.0, 3.0, 4.0, 90.0, 80.0, 95.0])
  made = permutation.design(suspect, albums)
  assert made.arrangements == 10 * 3
  # What an album has in common cancels.
  other = scores + np.where(np.array(albums) == "q", 1000.0, 0.0)
  assert p_value(suspect, other, albums) == p_value(suspect, scores, albums)
  means = {"p": 3.0, "q": 265 / 3}
  centred = scores - [means[album] for album in albums]
  statistics = [
    centred[[*pair]].sum() + centred[one]
    for pair in itertools.combinations(range(5), 2)
    for one in (5, 6, 7)
  ]
  observed = centred[suspect].sum()
  expected = np.mean([value >= observed - 1e-12 for value in statistics])
  assert p_value(suspect, scores, albums) == pytest.approx(expected)


def test_tracks_without_an_album_are_albums_of_one():
  unknown = [None] * 10
  scores = np.random.default_rng(2).normal(size=10)
  assert p_value(SUSPECTS, scores, unknown) == p_value(SUSPECTS, scores)


def test_drawn_ways_respect_albums():
  albums = [f"s{i // 3}" for i in range(12)] + [f"r{i // 2}" for i in range(30)]
  suspect = np.arange(42) < 12
  made = permutation.design(suspect, albums)
  masks, exact = made.masks(500, 0)
  assert not exact
  codes = np.unique(albums, return_inverse=True)[1]
  for mask in masks:
    assert len(set(codes[mask])) == 4
    assert set(codes[mask]).isdisjoint(codes[~mask])


@pytest.mark.parametrize("known", [True, False])
def test_album_mates_alike_are_no_evidence_where_albums_are_known(known):
  """Three albums of five tracks against ten, alike within an album by nature."""
  rng, rejected = np.random.default_rng(3), []
  albums = np.repeat(np.arange(13), 5)
  for draw in range(300):
    scores = rng.normal(size=13)[albums] + 0.5 * rng.normal(size=65)
    p = p_value(albums < 3, scores, albums if known else None, 199, draw)
    rejected.append(p <= 0.05)
  law = stats.binom(300, 0.05)
  assert (sum(rejected) <= law.ppf(0.995)) == known


def test_p_values_of_exchangeable_tracks_are_uniform():
  rng = np.random.default_rng(4)
  suspect = np.arange(30) < 8
  p_values = [
    p_value(suspect, rng.standard_t(3, size=30), permutations=499, seed=draw)
    for draw in range(400)
  ]
  assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_scores_of_several_methods_share_their_permutations():
  scores = np.random.default_rng(5).normal(size=(3, 42))
  made = permutation.design(np.arange(42) < 12)
  both = permutation.p_values(made, scores, permutations=99, seed=7)
  alone = [permutation.p_values(made, s, permutations=99, seed=7) for s in scores]
  np.testing.assert_array_equal(both, alone)


def test_equal_scores_are_no_evidence_and_equal_sides_the_strongest():
  assert p_value(SUSPECTS, np.ones(10)) == 1
  assert p_value(SUSPECTS, np.array(SUSPECTS, float)) == pytest.approx(1 / 210)


def test_designs_that_are_none():
  with pytest.raises(ValueError, match="tracks on both sides"):
    permutation.design([True, True])
  with pytest.raises(ValueError, match="1 albums for tracks"):
    permutation.design([True, False], ["x"])


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize(
  ("suspects", "reference"),
  [
    ([12], [6] * 20),
    ([10], [1] * 20),
    ([3], [12] * 20),
    ([20, 1, 1], [1] * 25),
    ([2, 2], [9] * 12),
  ],
)
@pytest.mark.parametrize("two_sided", [False, True])
def test_albums_of_unlike_size_are_no_evidence(suspects, reference, alike, two_sided):
  """With one weight alone up to one in three of these would be evidence at 5%."""
  sizes = [*suspects, *reference]
  albums = np.repeat(np.arange(len(sizes)), sizes)
  made = permutation.design(albums < len(suspects), albums)
  assert made.uneven
  assert made.unmoved == 0
  rng, draws = np.random.default_rng(7), 1000
  own = rng.normal(size=(draws, albums.size)) * (1 - alike) ** 0.5
  scores = own + rng.normal(size=(draws, len(sizes)))[:, albums] * alike**0.5
  p = permutation.p_values(made, scores, permutations=199, seed=0, two_sided=two_sided)
  assert np.sum(p <= 0.05) <= stats.binom(draws, 0.05).ppf(0.999)


def test_suspects_that_nothing_can_take_the_place_of_count_for_nothing():
  albums = ["x"] * 2 + ["y"] * 20 + ["x"] * 10
  made = permutation.design(np.arange(32) < 22, albums)
  assert made.unmoved == 20
  scores = np.random.default_rng(0).normal(size=32)
  raised = scores + 100 * np.array([album == "y" for album in albums])
  ask = lambda scores: permutation.p_values(made, scores, permutations=999, seed=0)
  assert ask(scores) == ask(raised)
