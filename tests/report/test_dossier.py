"""What a dossier says first."""

import re

import pytest

from lsaprobe_jax.report import dossier

FOUND = {
  "p_value": 0.01,
  "alpha": 0.05,
  "evidence": True,
  "difficulty_calibration": "reference",
  "reference_unknown": False,
  "by_album": True,
  "tracks": [{}],
  "power": {"detectable": None},
}


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({}, "the suspect scores above .* Of one track"),
    ({"tracks": [{}, {}]}, "the suspects score above .* about the set as a whole"),
    ({"evidence": False, "p_value": 0.3}, "No evidence .* finds nothing reliably"),
    (
      {"difficulty_calibration": "none"},
      "^Evidence of training, not calibrated for difficulty: ",
    ),
    ({"difficulty_calibration": "none"}, "easier for any model would look the same"),
    (
      {"difficulty_calibration": "none", "evidence": False},
      "^No evidence of training, not calibrated for difficulty",
    ),
    ({"reference_unknown": True}, "saw neither side is taken on trust"),
    ({"by_album": False}, "likeness to tracks of the same album"),
  ],
)
def test_a_verdict_is_about_as_many_tracks_as_there_are(changes, message):
  assert re.search(message, dossier.verdict([], FOUND | changes))


def test_what_is_ruled_out_is_not_said():
  said = dossier.verdict([], FOUND)
  assert said.startswith("Evidence of training: ")
  assert "easier" not in said
  assert "album" not in said
  assert "trust" not in said


def test_without_a_verdict_the_failing_gates_are_named():
  gates = [
    {"name": "size", "holds": False, "text": "3 tracks", "mend": "add 16 more"},
    {"name": "blind", "holds": True, "text": "", "mend": ""},
  ]
  said = dossier.verdict(gates, None)
  assert said == "No verdict. A gate fails: size: add 16 more."


def test_a_dossier_does_not_hang_on_its_pictures(monkeypatch, tmp_path):
  def full(*_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(dossier, "draw", full)
  assert dossier.draw_if_possible(None, None, [], tmp_path) == {}
