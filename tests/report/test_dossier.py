"""What a dossier says first."""

import re

import pytest

from lsaprobe_jax.report import dossier

FOUND = {
  "p_value": 0.01,
  "alpha": 0.05,
  "evidence": True,
  "tracks": [{}],
  "power": {"detectable": None},
}


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({}, "the suspect scores above .* Of one track"),
    ({"tracks": [{}, {}]}, "the suspects score above .* about the set as a whole"),
    ({"evidence": False, "p_value": 0.3}, "No evidence .* finds nothing reliably"),
  ],
)
def test_a_verdict_is_about_as_many_tracks_as_there_are(changes, message):
  assert re.search(message, dossier.verdict([], FOUND | changes))


def test_without_a_verdict_the_failing_gates_are_named():
  gates = [
    {"name": "size", "holds": False, "text": "3 tracks", "mend": "add 16 more"},
    {"name": "blind", "holds": True, "text": "", "mend": ""},
  ]
  said = dossier.verdict(gates, None)
  assert said == "No verdict. A gate fails: size: add 16 more."
