"""Tests of suspects against their own other versions, on synthetic scores."""

import numpy as np
import pytest
from scipy import stats
from tiny_audits import clip

from lsaprobe_jax.audit import version_gates, version_scores
from lsaprobe_jax.audit.track_scores import PANEL
from lsaprobe_jax.audit.version_scores import VersionScores
from lsaprobe_jax.errors import LsaProbeError

ALPHA = 0.05


def drawn(rng, tracks=12, clips=2, versions=2, shift=0.0, lean=None):
  """Two methods of unlike scale that share a track's difficulty, and differ in noise.

  Args:
    rng: of all draws.
    tracks: how many.
    clips: of each.
    versions: of each, the one given among them.
    shift: by which the version given is higher.
    lean: [tracks] by which that of each track is; an album's may lean together.
  """
  names = [f"suspect-{i:02d}" for i in range(tracks)]
  lean = np.zeros(tracks) if lean is None else lean
  scores = {"loss": {}, "probe": {}}
  for name, own in zip(names, lean, strict=True):
    hard = 5 * rng.exponential() + rng.normal(size=(clips, versions))
    hard[:, 0] += shift + own
    scores["loss"][name] = 1e3 * (hard + 0.3 * rng.normal(size=hard.shape))
    scores["probe"][name] = hard + rng.standard_t(3, size=hard.shape)
  return VersionScores(scores=scores).with_panel()


def judged(scores, albums=None, **how):
  how = {"permutations": 999, "seed": 0, "alpha": ALPHA} | how
  return version_scores.judge_set(scores, albums, name="x", assumes="y", **how)


@pytest.mark.parametrize("versions", [2, 3])
def test_p_is_uniform_where_versions_can_be_exchanged(versions):
  rng = np.random.default_rng(versions)
  scores = [drawn(rng, versions=versions) for _ in range(300)]
  p_values = [
    version_scores.compare_versions(
      one.track_versions(PANEL), permutations=199, seed=draw
    ).p_value
    for draw, one in enumerate(scores)
  ]
  assert stats.kstest(p_values, "uniform").pvalue > 0.01
  law = stats.binom(300, ALPHA)
  assert law.ppf(0.005) <= sum(p <= ALPHA for p in p_values) <= law.ppf(0.995)


def test_suspects_that_lie_above_their_versions_are_found():
  test = judged(drawn(np.random.default_rng(0), shift=1.5))
  assert test.p_value < 0.01
  assert test.kind == "versions"
  assert (test.name, test.assumes) == ("x", "y")
  panel, loss = test.sets[PANEL], test.sets["loss"]
  assert panel.p_value == test.p_value
  assert panel.effect > 0.5
  assert loss.p_value <= loss.p_holm <= 2 * loss.p_value
  assert test.lowest == 1 / 1000
  assert not test.by_album
  assert 0 < test.power.detectable < 2
  assert test.power.detectable_auc is None


def test_below_their_versions_they_are_found_on_both_sides_alone():
  scores = drawn(np.random.default_rng(0), shift=-1.5)
  assert judged(scores).p_value > 0.9
  assert judged(scores, two_sided=True).p_value < 0.02


def test_power_of_a_two_sided_test_goes_by_the_size_of_the_difference():
  below = judged(drawn(np.random.default_rng(0), shift=-1.5), two_sided=True)
  assert below.sets[PANEL].effect < 0
  assert below.power.at_estimate > 0.5


def test_two_albums_that_lean_are_no_evidence_by_album():
  """Each leans as a whole, by chance one of them up and so the other."""
  rng = np.random.default_rng(3)
  scores = drawn(rng, lean=np.repeat([2.0, 1.0], 6))
  albums = {f"suspect-{i:02d}": "one" if i < 6 else "two" for i in range(12)}
  assert judged(scores).p_value < 0.01
  test = judged(scores, albums)
  assert test.p_value == test.lowest == 1 / 4
  assert test.by_album
  assert test.albums_exchanged
  assert test.power.detectable is None


def test_an_exchange_of_versions_leaves_the_panel_s_scale():
  """By clip, or by track: otherwise the p-value would not be exact."""
  scores = drawn(np.random.default_rng(4))
  plain = {m: v for m, v in scores.scores.items() if m != PANEL}
  swapped = {m: {t: x.copy() for t, x in own.items()} for m, own in plain.items()}
  for own in swapped.values():
    own["suspect-03"][1] = own["suspect-03"][1][::-1]
  again = VersionScores(scores=swapped).with_panel().scores[PANEL]
  for track, values in scores.scores[PANEL].items():
    expected = values.copy()
    if track == "suspect-03":
      expected[1] = expected[1][::-1]
    np.testing.assert_allclose(again[track], expected)
  rms = np.sqrt(np.mean(np.square(np.concatenate(list(again.values())))))
  assert 0.5 < rms <= 1


def test_a_method_that_tells_no_versions_apart_is_refused():
  flat = {"loss": {"x": np.ones((2, 2)), "y": np.full((1, 2), 3.0)}}
  with pytest.raises(LsaProbeError, match="loss does not tell the versions"):
    VersionScores(scores=flat).with_panel()
  with pytest.raises(LsaProbeError, match="no clip has a score"):
    VersionScores(scores={"loss": {}}).with_panel()


def test_tracks_are_judged_by_their_clips():
  scores = drawn(np.random.default_rng(5), tracks=3, clips=6, shift=3.0)
  found, expected, lowest = version_scores.track_findings(
    scores, alpha=ALPHA, permutations=999, seed=0
  )
  assert lowest == 1 / 64
  assert expected == pytest.approx(3 * 3 / 64)
  assert [track.track for track in found] == list(scores.tracks)
  assert all(track.p[PANEL] >= lowest for track in found)
  assert all(track.flagged == (track.p[PANEL] <= ALPHA) for track in found)
  # Two clips can come to no p-value of 5%.
  few = drawn(np.random.default_rng(5), tracks=3, clips=2)
  _, expected, lowest = version_scores.track_findings(
    few, alpha=ALPHA, permutations=999, seed=0
  )
  assert (expected, lowest) == (0, 1 / 4)


def row(one, score, twins=(), magnitude=False, method="loss"):
  found = {"clip": one.id, "model": "model", "method": method, "score": score}
  found |= {"difficulty_calibration": "none"}
  if twins:
    found |= {"twins": "polarity,reversal", "twin_scores": list(twins)}
  return found | ({"magnitude": True} if magnitude else {})


def test_rows_become_scores_of_clips_and_the_twins_that_count():
  clips = [clip("s", "a", i) for i in range(2)] + [clip("t", "a")]
  rows = [row(clips[0], -2.0, (-4.0, -8.0), magnitude=True)]
  rows += [row(clips[1], -1.0, (-1.0, -9.0), magnitude=True)]
  scores, failed = version_scores.of_twins(rows, clips, ["polarity"])
  assert failed == ["t@0"]
  assert scores.methods == ("loss by twins",)
  expected = [[-np.log(2), -np.log(4)], [0.0, 0.0]]
  np.testing.assert_allclose(scores.scores["loss by twins"]["s"], expected)
  table = scores.track_scores()
  assert table.suspects["loss by twins"] == {"s": pytest.approx(np.log(2) / 2)}


def test_rows_become_scores_of_what_was_published_and_held_back():
  sides = [[clip(f"{side}-s", "a", i) for i in range(2)] for side in "xyz"]
  rows = [row(one, float(k)) for k, side in enumerate(sides) for one in side]
  scores, failed = version_scores.of_held_back(rows[:-1], sides)
  assert failed == ["x-s@1"]
  np.testing.assert_allclose(scores.scores["loss"]["x-s"], [[0.0, 1.0, 2.0]])


def test_reference_music_that_leans_is_said():
  """It never fails: the test that decides is centred by it."""
  rng = np.random.default_rng(6)
  unlike = lambda **how: VersionScores(
    scores={"loss": drawn(rng, **how).scores["loss"]}
  )
  gate = lambda scores: version_gates.centred(scores, None, ["polarity"])
  few = gate(unlike(tracks=6))
  assert few.holds is None
  assert "is not shown, which takes about" in few.text
  many = gate(unlike(tracks=150, clips=1))
  assert many.holds
  assert "beyond 0.5 sd either way is ruled out" in many.text
  leans = gate(unlike(tracks=40, shift=2.0))
  assert leans.holds is None
  assert version_gates.leans(leans)
  assert "scores above its twins" in leans.text
  alone = gate(unlike(tracks=1))
  assert alone.text.startswith("not run: 1 blocks")


@pytest.mark.parametrize(
  ("tracks", "count", "two_sided", "holds"),
  [(5, 2, False, True), (4, 2, False, False), (5, 2, True, False), (3, 3, False, True)],
)
def test_how_many_suspects_a_verdict_takes(tracks, count, two_sided, holds):
  how = dict(count=count, mode="alone", alpha=ALPHA, permutations=999)
  names = [f"s{i}" for i in range(tracks)]
  size, known = version_gates.enough_tracks(names, None, two_sided=two_sided, **how)
  assert size.holds is holds
  assert known.holds is None
  if not holds:
    assert size.mend.startswith("give 1 more tracks of other albums, or reference")
  albums = dict.fromkeys(names, "one")
  size, known = version_gates.enough_tracks(names, albums, two_sided=two_sided, **how)
  assert size.holds is False
  assert known.text == f"the album of {tracks} of {tracks} suspects is known"
