"""What a verdict says first, and what it takes for granted."""

import re

import pytest

from lsaprobe_jax.audit.findings import (
  Findings,
  MethodVersions,
  Power,
  SuspectsTest,
  TrackFinding,
)
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.audit.track_scores import PANEL
from lsaprobe_jax.audit.verdict import verdict


def said(
  *,
  p_value=0.01,
  tracks=1,
  by_album=True,
  calibration="reference",
  unknown=False,
  mode="reference",
  drawn=False,
  difference=1.0,
  unmoved=0,
):
  """The verdict of an audit at 5%."""
  test = SuspectsTest(
    name="raw",
    assumes="this holds",
    p_value=p_value,
    lowest=0.001,
    albums_exchanged=True,
    by_album=by_album,
    sets={
      PANEL: MethodVersions(
        tracks=tracks,
        blocks=tracks,
        difference=difference,
        effect=difference,
        ci=(0.0, 1.0),
        p_value=p_value,
        p_holm=p_value,
      )
    },
    power=Power(detectable=None, detectable_auc=None),
    unmoved=unmoved,
  )
  track = TrackFinding(track="x", score={}, p={}, q=1.0, flagged=False)
  findings = Findings(
    alpha=0.05,
    evidence=p_value <= 0.05,
    p_value=p_value,
    tests=(test,),
    tracks=(track,) * tracks,
    flagged=0,
    expected_flags=0.0,
    cutoffs={},
    mode=mode,
    drawn=drawn,
  )
  return verdict(
    [], findings, difficulty_calibration=calibration, reference_unknown=unknown
  )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({}, "the suspect scores above .* It is about one track"),
    ({"tracks": 2}, "the suspects score above .* about the set as a whole"),
    ({"p_value": 0.3}, "No evidence .* reliably, if tracks of an album were no more"),
    ({"calibration": "none"}, "^Evidence of training, not calibrated for difficulty: "),
    ({"calibration": "none"}, "easier for any model would look the same"),
    (
      {"calibration": "none", "p_value": 0.3},
      "^No evidence of training, not calibrated for difficulty",
    ),
    ({"unknown": True}, "saw neither side is taken on trust"),
    ({"calibration": "both", "unknown": True}, "saw neither side is taken on trust"),
    ({"by_album": False}, "likeness to tracks of the same album"),
    ({"calibration": "twins"}, "^Evidence of training: less what their twins score,"),
    (
      {"mode": "alone"},
      r"^This assumes that this holds, and no reference music has checked it\. Evidence"
      r" of training on these tracks, or on others of their albums: the suspects score"
      r" above their twins \(p = .* Give reference tracks .* as it was mastered",
    ),
    (
      {"mode": "alone", "p_value": 0.3},
      "^This assumes that this holds, and no .* No evidence .* finds nothing reliably",
    ),
    (
      {"mode": "alone", "difference": -1.0},
      "Evidence of training .*: the suspects score below their twins",
    ),
    ({"mode": "alone", "by_album": False}, "mastered. Tracks, or .* for independent"),
    (
      {"mode": "canary"},
      r"^This assumes that this holds\. Evidence .* held back .*says that the draw was",
    ),
    (
      {"mode": "canary", "drawn": True, "by_album": False},
      "held back .* about the set as a whole.$",
    ),
  ],
)
def test_a_verdict_says_what_it_rests_on(changes, message):
  assert re.search(message, said(**changes))


def test_what_is_ruled_out_is_not_said():
  text = said()
  assert text.startswith("Evidence of training: ")
  assert "easier" not in text
  assert "album" not in text
  assert "trust" not in text
  assert "independent" not in said(mode="alone")


def test_without_a_verdict_the_failing_gates_are_named():
  gates = [
    Gate(name="size", holds=False, text="3 tracks", mend="add 16 more"),
    Gate(name="blind", holds=True, text=""),
  ]
  text = verdict(gates, None, difficulty_calibration="none", reference_unknown=False)
  assert text == "No verdict. A gate fails: size: add 16 more."


@pytest.mark.parametrize(
  ("p_value", "shown"),
  [
    (0.0504, "p = 0.0504, above 0.05"),
    (0.05000001, "p = 0.05000001, above 0.05"),
    (0.05, "p = 0.05, at most 0.05"),
    (0.04996, "p = 0.04996, at most 0.05"),
    (0.123456, "p = 0.12, above 0.05"),
  ],
)
def test_p_is_shown_on_its_side_of_the_level(p_value, shown):
  assert shown in said(p_value=p_value)


@pytest.mark.parametrize("p_value", [0.01, 0.5])
def test_suspects_that_count_for_nothing_are_left_out_aloud(p_value):
  left_out = "It leaves out 2 of 5 suspects, of albums"
  assert left_out in said(p_value=p_value, tracks=5, unmoved=2)
  assert "leaves out" not in said(p_value=p_value, tracks=5)
