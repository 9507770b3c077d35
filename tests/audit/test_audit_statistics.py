"""The statistics of an audit on synthetic scores."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from lsaprobe_jax.audit import statistics
from lsaprobe_jax.audit.findings import to_plain
from lsaprobe_jax.audit.reference_split import smallest_reference, split_reference
from lsaprobe_jax.audit.track_scores import PANEL, TrackScores
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.metrics import permutation, power, sets

SIZE = smallest_reference(alpha=0.05, clips_per_track=4, clips_for_tau=20)


def judge(found, albums=None, **how):
  """Against the comparison tracks alone."""
  contrasts = [statistics.reference_contrast(found, albums)]
  return statistics.judge(found, contrasts, **how)


def scores(rng, suspects=12, reference=40, shift=0.0):
  """Two methods that share a track's own difficulty, skewed and of unlike scale."""
  tracks = [f"r{i:02d}" for i in range(reference)]
  development, comparison = split_reference(tracks, SIZE, seed=int(rng.integers(1e6)))
  parts = {
    "suspects": [f"s{i:02d}" for i in range(suspects)],
    "comparison": comparison,
    "development": development,
  }
  found = {}
  for part, names in parts.items():
    hard = rng.exponential(size=len(names)) + shift * (part == "suspects")
    values = {
      "loss": 1e3 * (hard + 0.3 * rng.normal(size=len(names))),
      "probe": hard + rng.standard_t(3, size=len(names)),
    }
    found[part] = {m: dict(zip(names, v, strict=True)) for m, v in values.items()}
  return TrackScores(**found).with_panel()


def test_rejections_of_exchangeable_tracks_keep_their_level(monkeypatch):
  """200 audits in which there is nothing to find, by set and by track."""
  # How many tracks would be needed takes most of the time, and no part in a verdict.
  monkeypatch.setattr(power, "tracks_needed", lambda *_: 20.0)
  rng = np.random.default_rng(7)
  evidence, flagged = 0, []
  for draw in range(200):
    found = judge(scores(rng), alpha=0.05, permutations=199, seed=draw)
    evidence += found.evidence
    flagged.append(found.flagged / 12)
  law = stats.binom(200, 0.05)
  assert law.ppf(0.025) <= evidence <= law.ppf(0.975)
  # Suspects of one audit share the comparison tracks: audits are what is independent.
  error = np.std(flagged, ddof=1) / math.sqrt(200)
  assert abs(np.mean(flagged) - 0.05) <= 3 * error


def test_members_are_found():
  found = judge(scores(np.random.default_rng(1), shift=5.0), alpha=0.05)
  (test,) = found.tests
  assert found.evidence
  assert found.p_value == test.p_value == test.sets[PANEL].p_value < 0.01
  assert found.flagged > 3 * found.expected_flags
  assert all(t.flagged == (t.p[PANEL] <= 0.05) for t in found.tracks)
  own = [test.sets[m] for m in ("loss", "probe")]
  assert max(t.p_holm for t in own) <= 2 * max(t.p_value for t in own)


def test_a_single_suspect_has_its_conformal_p_value():
  found = judge(scores(np.random.default_rng(2), suspects=1), alpha=0.05)
  (test,) = found.tests
  assert test.sets[PANEL] is None
  assert found.p_value == pytest.approx(found.tracks[0].p[PANEL])
  assert test.power.detectable > 1
  assert test.power.at_estimate is None


def test_the_first_of_several_contrasts_decides():
  """Each has a test of its own; what another one says changes nothing."""
  found = scores(np.random.default_rng(1), shift=5.0)
  one = statistics.reference_contrast(found)
  flat = {method: np.arange(one.design.suspect.size) for method in one.scores}
  other = dataclasses.replace(one, name="other", scores=flat)
  alone = statistics.judge(found, [one], alpha=0.05)
  both = statistics.judge(found, [one, other], alpha=0.05)
  assert [test.name for test in both.tests] == ["raw", "other"]
  np.testing.assert_equal(to_plain(both.tests[0]), to_plain(alone.tests[0]))
  assert both.p_value == alone.p_value != both.tests[1].p_value


def test_conformal_p_values_by_counting():
  p = statistics.conformal([3.0, 0.0, 9.0], [1.0, 2.0, 3.0, 4.0])
  np.testing.assert_allclose(p, [3 / 5, 1.0, 1 / 5])


def test_the_panel_is_the_mean_in_development_deviations():
  own = {"x": {"p": 1.0, "q": 3.0}, "y": {"p": 10.0, "q": 30.0}}
  found = TrackScores(suspects=own, comparison=own, development=own).with_panel()
  expected = [-1 / math.sqrt(2), 1 / math.sqrt(2)]
  np.testing.assert_allclose(list(found.suspects[PANEL].values()), expected)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"development": {"x": {"p": 1.0, "q": 1.0}}}, "x does not vary"),
    ({"suspects": {"y": {"p": 1.0}}}, "suspects: methods or tracks differ"),
    ({"comparison": {"x": {}}}, None),
  ],
)
def test_scores_that_cannot_be_put_together(change, message):
  own = {"x": {"p": 1.0, "q": 3.0}}
  parts = {"suspects": own, "comparison": own, "development": own} | change
  if message is None:
    assert TrackScores(**parts).with_panel().comparison[PANEL] == {}
    return
  with pytest.raises(LsaProbeError, match=message):
    TrackScores(**parts).with_panel()


@pytest.mark.parametrize(
  ("alpha", "clips", "expected"),
  [(0.05, 4, (10, 19)), (0.05, 1, (20, 19)), (0.01, 4, (10, 99)), (0.3, 4, (10, 3))],
)
def test_the_smallest_reference(alpha, clips, expected):
  size = smallest_reference(alpha=alpha, clips_per_track=clips, clips_for_tau=20)
  assert (size.development, size.comparison) == expected
  # With so many comparison tracks the level can be reached, with one fewer it cannot.
  assert 1 / (size.comparison + 1) <= alpha + 1e-12 < 1 / size.comparison


@pytest.mark.parametrize(("count", "comparison"), [(29, 19), (36, 19), (41, 21)])
def test_a_small_reference_is_dealt_as_needed(count, comparison):
  tracks = [f"t{i}" for i in range(count)]
  left, right = split_reference(tracks, SIZE, seed=0)
  assert len(right) == comparison
  assert sorted(left + right) == sorted(tracks)
  assert (left, right) == split_reference(tracks[::-1], SIZE, seed=0)
  assert (left, right) != split_reference(tracks, SIZE, seed=1)


def test_a_reference_that_is_too_small_is_refused():
  with pytest.raises(LsaProbeError, match="28 reference tracks where 29 are needed"):
    split_reference([f"t{i}" for i in range(28)], SIZE, seed=0)


def test_power_is_that_of_the_test():
  made = permutation.design(np.arange(32) < 12)
  test = sets.one_test(made, np.arange(32.0), permutations=99, seed=0)
  test = test._replace(effect=0.9, tracks_needed=20.0, tracks_needed_ci=(8, math.inf))
  found = statistics.power_of(made, 0.05, test)
  effects = power.critical_effects(made, 0.05)
  assert power.at(effects, found.detectable) == pytest.approx(0.8, abs=1e-3)
  assert found.detectable_auc == pytest.approx(
    stats.norm.cdf(found.detectable / math.sqrt(2))
  )
  assert found.at_estimate == power.at(effects, 0.9)
  assert found.tracks_needed_ci == (8.0, None)


@pytest.mark.parametrize("comparison", [19, 25, 39, 41])
def test_flags_expected_by_chance_follow_the_grid_of_p_values(comparison):
  """The mean over 4,000 deals of exchangeable tracks, at 5%."""
  rng = np.random.default_rng(comparison)
  scores = rng.normal(size=(4_000, comparison + 1))
  p_values = np.array([statistics.conformal(s[:1], s[1:])[0] for s in scores])
  expected = statistics.expected_flags(1, comparison, 0.05)
  law = stats.binom(4_000, expected)
  assert law.ppf(0.001) <= (p_values <= 0.05).sum() <= law.ppf(0.999)
  assert statistics.expected_flags(7, 39, 0.05) == pytest.approx(7 * 2 / 40)
  assert statistics.expected_flags(7, 41, 0.05) == pytest.approx(7 * 2 / 42)


def test_album_mates_of_what_was_trained_on_are_no_evidence_by_album():
  """Twelve suspects of one album, alike by nature, against forty of eight others."""
  rng, evidence = np.random.default_rng(8), {True: 0, False: 0}
  names = {
    "suspects": [f"s{i}" for i in range(12)],
    "comparison": [f"c{i}" for i in range(40)],
    "development": [f"d{i}" for i in range(12)],
  }
  albums = {f"s{i}": "theirs" for i in range(12)}
  albums |= {f"c{i}": f"other {i // 5}" for i in range(40)}
  for draw in range(20):
    parts = {
      part: {"loss": {t: 3.0 * (part == "suspects") + rng.normal() for t in tracks}}
      for part, tracks in names.items()
    }
    found = TrackScores(**parts).with_panel()
    for known in evidence:
      judged = judge(
        found, albums if known else None, alpha=0.05, permutations=199, seed=draw
      )
      evidence[known] += judged.evidence
      assert judged.tests[0].by_album == known
      assert judged.tests[0].lowest == pytest.approx(1 / 9 if known else 1 / 200)
  assert evidence == {True: 0, False: 20}


def test_three_comparison_tracks_have_no_halves():
  """An audit at 30% may have so few; its rate between halves is then not known."""
  own = {"loss": {"x": 0.0, "y": 1.0, "z": 2.0}}
  found = TrackScores(suspects=own, comparison=own, development=own).with_panel()
  assert statistics.null_rejections(found, alpha=0.3) is None


def test_album_effects_are_no_part_of_the_effect():
  """Ten suspects and three reference tracks of X lie 6 above the others."""
  rng = np.random.default_rng(9)
  albums = ["x"] * 13 + [f"y{i}" for i in range(19)]
  design = permutation.design(np.arange(32) < 10, albums)
  scores = rng.normal(size=32) + 6.0 * (np.arange(32) < 13)
  difference, effect = permutation.effect(design, scores)
  assert abs(difference) < 1.5
  assert abs(effect) < 1.5
  plain, _ = permutation.effect(permutation.design(design.suspect), scores)
  assert plain > 4


def test_albums_of_one_track_each_tell_of_no_likeness():
  """As one folder a track would be: the verdict then says that tracks stand alone."""
  found = scores(np.random.default_rng(0))
  tracks = [*found.suspects[PANEL], *found.comparison[PANEL]]
  contrast = lambda albums: statistics.reference_contrast(found, albums)
  assert not contrast({track: track for track in tracks}).by_album
  assert contrast({track: track[:2] for track in tracks}).by_album


def test_the_level_is_looked_at_with_as_many_permutations_as_it_takes(monkeypatch):
  asked = []
  note = lambda *args, permutations, **how: asked.append(permutations)
  monkeypatch.setattr(sets, "null_rejections", note)
  found = scores(np.random.default_rng(0))
  for alpha in (0.05, 0.004, 0.001, 1e-6):
    statistics.null_rejections(found, alpha=alpha)
  assert asked == [199, 250, 1000]
