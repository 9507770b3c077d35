import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from lsaprobe_jax.metrics import power, sets


def test_clips_of_a_track_count_once():
  means = sets.track_means([1.0, 3.0, 10.0, 2.0], ["b", "b", "a", "b"])
  np.testing.assert_array_equal(means, [10.0, 2.0])
  with pytest.raises(ValueError, match="1 scores are not finite"):
    sets.track_means([1.0, math.nan], ["a", "b"])


def test_p_value_by_counting_all_divisions():
  """Three suspects above four others: 1 of the 35 divisions is as extreme."""
  found = sets.compare_sets({"album": [5.0, 6.0, 7.5]}, [1.0, 2.0, 3.0, 2.5])["album"]
  assert found.p_value == pytest.approx(1 / 35)
  assert found.difference == pytest.approx(18.5 / 3 - 8.5 / 4)
  welch = stats.ttest_ind(
    [5.0, 6.0, 7.5], [1.0, 2.0, 3.0, 2.5], equal_var=False, alternative="greater"
  )
  assert found.p_welch == pytest.approx(welch.pvalue)


@pytest.fixture
def only_p_values(monkeypatch):
  """Leaves out how many tracks would be needed, most of a test's time."""
  monkeypatch.setattr(power, "tracks_needed", lambda *args, **how: np.nan)


def test_p_values_are_uniform_over_exchangeable_tracks(only_p_values):
  """Clips of a track alike, sets of unlike sizes, 200 draws (issue's own number)."""
  rng = np.random.default_rng(0)
  p_values, p_welch = [], []
  for draw in range(200):
    track = np.repeat(np.arange(32), rng.integers(1, 6, size=32))
    scores = rng.standard_t(4, size=32)[track] + rng.normal(size=track.size)
    means = sets.track_means(scores, track)
    found = sets.compare_sets(
      {"album": means[:10]}, means[10:], permutations=999, seed=draw
    )["album"]
    p_values.append(found.p_value)
    p_welch.append(found.p_welch)
  assert stats.kstest(p_values, "uniform").pvalue > 0.01
  # Counting clips as if they were tracks would not be; Welch on tracks nearly is.
  assert stats.kstest(p_welch, "uniform").pvalue > 0.01


def test_clips_taken_for_tracks_would_reject_too_often(only_p_values):
  rng = np.random.default_rng(1)
  p_values = []
  for draw in range(100):
    clips = np.repeat(rng.normal(size=20), 8) + 0.3 * rng.normal(size=160)
    found = sets.compare_sets(
      {"album": clips[:80]}, clips[80:], permutations=199, seed=draw
    )["album"]
    p_values.append(found.p_value)
  assert np.mean(np.array(p_values) <= 0.05) > 0.15


def test_several_suspects_are_corrected():
  rng = np.random.default_rng(2)
  reference = rng.normal(size=20)
  suspects = {"seen": rng.normal(2.0, 1.0, 8), "other": rng.normal(size=8)}
  found = sets.compare_sets(suspects, reference)
  assert found["seen"].p_holm == pytest.approx(2 * found["seen"].p_value)
  assert found["other"].p_holm >= found["other"].p_value
  assert found["seen"].p_holm < 0.01 < found["other"].p_holm


def test_the_number_of_tracks_needed_has_an_interval():
  rng = np.random.default_rng(3)
  found = sets.compare_sets({"album": rng.normal(1, 1, 15)}, rng.normal(size=40))[
    "album"
  ]
  fewest, most = found.tracks_needed_ci
  assert 2 <= fewest < found.tracks_needed < most
  low, high = power.effect_interval(found.effect, 15, 40)
  assert (fewest, most) == tuple(power.tracks_needed(e, 40) for e in (high, low))


def test_the_effect_is_in_pooled_deviations():
  suspects, reference = np.array([5.0, 6.0, 7.5]), np.array([1.0, 2.0, 3.0, 2.5])
  found = sets.compare_sets({"album": suspects}, reference)["album"]
  student = stats.ttest_ind(suspects, reference).statistic
  assert found.effect == pytest.approx(student * math.sqrt(1 / 3 + 1 / 4))


def test_sets_that_cannot_be_tested_are_refused():
  with pytest.raises(ValueError, match="album has 1 tracks"):
    sets.compare_sets({"album": [1.0]}, [1.0, 2.0])
  with pytest.raises(ValueError, match="the reference has 0 tracks"):
    sets.compare_sets({"album": [1.0, 2.0]}, [])
  with pytest.raises(ValueError, match="album has scores that are not finite"):
    sets.compare_sets({"album": [2.0, math.nan]}, [1.0, 1.0])


def test_sides_that_do_not_vary_are_the_strongest_evidence_or_none():
  found = sets.compare_sets({"s": [1, 1, 1]}, [0, 0, 0, 0])["s"]
  assert found.p_value == pytest.approx(1 / 35)
  # Four reference tracks are the first number with over a hundred divisions.
  assert (found.effect, found.tracks_needed) == (math.inf, 5)
  assert math.isnan(found.p_welch)
  assert "+inf" in sets.format_tests({"s": found})
  none = sets.compare_sets({"s": [2.0, 2.0]}, [2.0, 2.0])["s"]
  assert (none.p_value, none.effect, none.tracks_needed) == (1, 0, math.inf)
  assert none.tracks_needed_ci == (math.inf, math.inf)


def test_a_set_whose_scores_are_cut_off_can_be_tested():
  """All suspects at the largest budget: 1 of the 35 divisions is as extreme."""
  found = sets.compare_sets({"album": [9.0, 9.0, 9.0]}, [1.0, 2.0, 9.0, 3.0])["album"]
  # There are 4 ways to choose three of the four nines, each as extreme.
  assert found.p_value == pytest.approx(4 / 35)
  assert found.p_welch == pytest.approx(
    stats.ttest_1samp([1.0, 2.0, 9.0, 3.0], 9.0, alternative="less").pvalue
  )


def test_null_rejections_keep_the_level():
  rng = np.random.default_rng(4)
  tracks = np.repeat(np.arange(24), 3)
  scores = rng.normal(size=24)[tracks] + rng.normal(size=72)
  found = sets.null_rejections(scores, tracks, draws=300, permutations=199)
  assert found.ci[0] <= 0.05 <= found.ci[1]
  assert found.ci_welch[0] <= 0.05 <= found.ci_welch[1]
  count = round(found.rate * 300)
  expected = proportion_confint(count, 300, 0.05, "beta")
  assert found.ci == pytest.approx(expected)
  again = sets.null_rejections(scores, tracks, draws=300, permutations=199)
  assert found == again
  other = sets.null_rejections(scores, tracks, draws=300, permutations=199, seed=1)
  assert found != other


def test_null_rejections_show_a_test_that_loses_its_level():
  """Welch, five suspects against many, scores with a long tail downwards."""
  scores = -np.exp(2 * np.random.default_rng(5).normal(size=60))
  found = sets.null_rejections(
    scores, np.arange(60), suspects=5, draws=200, permutations=199
  )
  assert found.ci[0] <= 0.05 <= found.ci[1]
  assert found.ci_welch[0] > 0.05


def test_null_rejections_count_tracks_not_clips():
  with pytest.raises(ValueError, match="3 tracks cannot be divided into 1"):
    sets.null_rejections(np.arange(30.0), np.repeat(np.arange(3), 10))
  with pytest.raises(ValueError, match="24 tracks cannot be divided into 23"):
    sets.null_rejections(np.arange(24.0), np.arange(24), suspects=23)
  # Six tracks have 20 divisions: p is at least 1 / 20.
  few = sets.null_rejections(np.arange(6.0), np.arange(6), alpha=0.04, draws=20)
  assert few.rate == 0


def test_tests_read_as_text():
  found = sets.compare_sets(
    {"album": [5.0, 6.0, 7.5], "no": [1.0, 0.5]}, np.arange(4.0)
  )
  null = sets.null_rejections(np.arange(6.0), np.arange(6), draws=20)
  _, rule, album, no, last, taken = sets.format_tests(found, null).splitlines()
  assert taken.startswith("Tracks count as independent.")
  assert set(rule) == {"-"}
  assert album.split()[:4] == ["album", "3", "4", "+4.667"]
  assert no.endswith("none [none, none]")
  assert last.startswith("Without members, 20 random divisions")
