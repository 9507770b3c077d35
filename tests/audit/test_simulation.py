"""Audits simulated from stored rows, and how suspects are drawn."""

import pathlib

import numpy as np
import pytest

from lsaprobe_jax.audit import AuditSettings, shift, simulation, simulation_tables
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics import difficulty

STUDY = pathlib.Path(__file__).parents[2] / "results" / "mini"
SETTINGS = AuditSettings().changed({"methods": simulation.METHODS})


@pytest.fixture(scope="module")
def parts():
  return simulation.read_study(STUDY)


def test_easier_tracks_are_audited_from_stored_rows(parts):
  made = shift.simulate_shifts(parts, SETTINGS, shifts=(0.0, 1.0), audits=2)
  assert [(one.model, one.suspects) for one in made] == [("A", 7)] * 2 + [("B", 6)] * 2
  assert made[1].shift > made[0].shift + 0.5
  assert made[3].shift > made[2].shift + 0.5
  for one in made:
    assert 0.5 < one.correlation < 1
    assert 0 <= one.raw.with_gate <= one.raw.evidence <= one.audits == 2
    assert one.by_reference.with_gate <= one.held
  lines = simulation_tables.format_shifts(made, alpha=0.05).splitlines()
  assert [line.split()[:2] for line in lines[2:6]] == [["A", "7"]] * 2 + [
    ["B", "6"]
  ] * 2
  assert "rank correlation with the reference model's Loss is 0." in lines[6]


@pytest.mark.parametrize("shifts", [(float("nan"),), (0.0, 10.0), (-1.0,)])
def test_shifts_that_cannot_be_used(parts, shifts):
  with pytest.raises(ArgumentError, match=r"^shifts=.*: numbers from 0 to 10"):
    shift.simulate_shifts(parts, SETTINGS, shifts=shifts)


def test_suspects_are_drawn_by_as_much_as_asked_for():
  ease = np.random.default_rng(0).normal(size=46)
  for wanted in (0.5, 1.0):
    slope = shift.slope_for(ease, 7, wanted)
    drawn = [
      shift.shift_of(ease, shift.draw_suspects(ease, 7, slope, 10**6 + i))
      for i in range(400)
    ]
    assert np.mean(drawn) == pytest.approx(wanted, abs=0.06)
  with pytest.raises(ArgumentError, match="cannot be 9 sd off"):
    shift.slope_for(ease, 7, 9)


def test_how_often_stored_audits_find_evidence(parts):
  made = simulation.simulate_null(parts, SETTINGS, audits=2, trained=(12, 99))
  size = simulation.needed_reference(SETTINGS).total
  kinds = [(one.model, one.suspects, one.trained, one.reference) for one in made]
  assert kinds == [
    ("A", 7, False, size),
    ("A", 12, True, 46),
    ("B", 6, False, size),
    ("B", 12, True, 45),
  ]
  assert [one.evidence for one in made if one.trained] == [2, 2]
  lines = simulation_tables.format_null(made, alpha=0.05).splitlines()
  assert ["A", "7", "unseen", str(size)] == lines[2].split()[:4]
  assert lines[5].split()[:5] == ["B", "12", "trained", "on", "45"]
  assert "between 0 and 1 of them" in lines[-1]


@pytest.mark.parametrize("count", [0, -3])
def test_numbers_of_suspects_that_cannot_be(parts, count):
  with pytest.raises(ArgumentError, match=rf"^suspects={count}: at least 1"):
    simulation.simulate_null(parts, SETTINGS, audits=1, trained=(5, count))


def test_stored_scores_by_reference_are_those_of_an_audit(parts):
  """Magnitudes are compared by their logarithms."""
  methods = SETTINGS.methods
  own, other = (
    simulation.unseen_clips(parts, model, methods) for model in ("A", "reference")
  )
  tracks = [track for track in own if track in other]
  sides = {"suspects": tracks[:5], "comparison": tracks[5:20]}
  sides["development"] = tracks[20:]
  own, other = ({t: rows[t] for t in tracks} for rows in (own, other))
  found = simulation.stored_scores(SETTINGS, own, sides, other)
  rows = [row for clips in (own, other) for t in clips for row in clips[t].values()]
  compared = 0
  for row in difficulty.by_reference(rows):
    if row["method"] != "lsa_probe" and row["track"] in sides["suspects"]:
      assert found.suspects[row["method"]][row["track"]] == row["score"]
      compared += 1
  assert compared == 3 * 5


def test_a_folder_without_a_study_is_refused():
  with pytest.raises(ArgumentError, match=r"^study=tests: tests: has no main\.jsonl"):
    simulation.read_study("tests")


def test_a_study_with_too_few_unseen_tracks_is_refused(parts):
  few = {name: rows for name, rows in parts.items() if name != "tune"}
  settings = SETTINGS.changed({"alpha": 0.01})
  with pytest.raises(ArgumentError, match=r"^study: \d+ unseen tracks, 119 needed"):
    simulation.simulate_null(few, settings)
