"""Gates that need scores, on rows without scoring."""

import types

import numpy as np
import pytest
from tiny_audits import clip, clips_of, how, score_rows

from lsaprobe_jax.audit import AuditSettings, procedure, statistics
from lsaprobe_jax.audit import gates as input_gates
from lsaprobe_jax.audit.score_gates import score_gates
from lsaprobe_jax.audit.track_scores import difficulty_calibration_of, tabulate
from lsaprobe_jax.metrics import permutation, pivot


@pytest.mark.parametrize("comparison", [19, 30, 39])
def test_the_null_control_can_fail_for_one_suspect(comparison):
  clips = clips_of(1, comparison, 12)
  rows = score_rows(clips, "loss") + score_rows(clips, "loss", calibration="reference")
  rows += score_rows(clips, "loss", model=pivot.REFERENCE)
  rows[-len(clips)]["score"] = 1e9
  scores, _ = tabulate(rows, clips)
  _, control = score_gates(scores, rows, clips, **how())
  assert control.holds is False


def test_a_gate_that_cannot_fail_does_not_hold():
  design = statistics.exchange(["s"], [f"c{i}" for i in range(9)])
  gate = input_gates.cannot_fail("x", design, 0.05)
  assert gate.holds is None
  assert "10 ways only" in gate.text
  assert input_gates.cannot_fail("x", design, 0.1) is None


@pytest.mark.parametrize(("reference", "level"), [(3, 0.1), (4, 1 / 35)])
def test_sides_that_could_change_places_are_as_extreme_that_way(reference, level):
  """Three albums against three: p is 2 / 20 at the least, and not 1 / 20."""
  sides = [f"s{i}" for i in range(6)], [f"c{i}" for i in range(2 * reference)]
  names = [track for side in sides for track in side]
  albums = {track: f"{track[0]}{int(track[1:]) // 2}" for track in names}
  design = statistics.exchange(*sides, albums)
  values = np.arange(len(albums))[::-1] ** 2
  p_value = permutation.p_values(
    design, values, two_sided=True, permutations=99, seed=0
  )
  assert p_value == pytest.approx(level)
  assert input_gates.cannot_fail("x", design, 0.9 * level).holds is None
  assert input_gates.cannot_fail("x", design, level) is None


def test_a_clip_that_failed_is_left_out_and_named():
  clips = [clip(f"s{i}", "a", k) for i in range(3) for k in range(2)]
  clips += [clip(f"b{i}", "b") for i in range(5)]
  clips += [clip(f"d{i}", "dev") for i in range(9)]
  rows = score_rows(clips, "loss") + score_rows(clips[1:], "pia")
  scores, failed = tabulate(rows, clips)
  assert failed == ["s0@0"]
  kept = {row["clip"]: row["score"] for row in rows if row["method"] == "loss"}
  assert scores.suspects["loss"]["s0"] == kept["s0@1"]
  assert scores.suspects["loss"]["s1"] == np.mean([kept["s1@0"], kept["s1@1"]])
  enough, control = score_gates(scores, rows, clips, **how(alpha=0.2))
  assert (enough.holds, control.holds) == (False, None)
  assert "4 comparison and 10 development tracks must have scores" in enough.mend


def test_a_reference_model_that_tells_the_sides_apart_is_a_failed_control():
  clips = clips_of(9, 9, 12)
  rows = score_rows(clips, "loss")
  rows += score_rows(clips, "loss", model=pivot.REFERENCE)
  rows += score_rows(clips, "loss", calibration="reference")
  scores, _ = tabulate(rows, clips)
  assert scores.methods == ("loss by reference",)
  _, control = score_gates(scores, rows, clips, **how(alpha=0.2))
  assert control.holds
  for row in rows:
    row["score"] += 9 * (row["model"] == pivot.REFERENCE and row["clip"][0] == "s")
  _, control = score_gates(scores, rows, clips, **how(alpha=0.2))
  assert control.holds is False
  assert "it is their content" in control.mend


def test_rows_by_reference_count_where_there_are_any():
  clips = clips_of(1, 1, 1)
  raw, by = (score_rows(clips, "loss", calibration=c) for c in ("none", "reference"))
  assert difficulty_calibration_of([]) == difficulty_calibration_of(raw) == "none"
  assert (
    difficulty_calibration_of([*raw, *by])
    == difficulty_calibration_of([*by, *raw])
    == "reference"
  )
  twins, both = (score_rows(clips, "loss", calibration=c) for c in ("twins", "both"))
  assert difficulty_calibration_of([*raw, *twins]) == "twins"
  assert difficulty_calibration_of([*raw, *twins, *both, *by]) == "both"
  scores, _ = tabulate(raw + by, clips, difficulty_calibration="none")
  assert scores.methods == ("loss",)


def inputs_of(clips):
  """As little of an audit's inputs as its scores are judged with."""
  parts = {
    part: types.SimpleNamespace(clips=tuple(c for c in clips if c.group == group))
    for part, group in (("suspects", "a"), ("comparison", "b"), ("development", "dev"))
  }
  return types.SimpleNamespace(
    gates=[],
    albums=None,
    mode="reference",
    settings=AuditSettings().changed({"alpha": 0.2, "methods": ("loss",)}),
    targets=[types.SimpleNamespace(name="model")],
    clips=types.SimpleNamespace(clips=clips),
    **parts,
  )


def test_a_method_that_does_not_vary_is_a_failed_gate():
  clips = clips_of(9, 9, 20)
  rows = score_rows(clips, "loss")
  assert 0 < procedure.conclude(inputs_of(clips), rows).p_value <= 1
  for row in rows:
    row["score"] = 1.0
  found = procedure.conclude(inputs_of(clips), rows)
  assert (found.scores, found.findings) == (None, None)
  assert found.gates[-1].holds is False
  assert found.gates[-1].text == "loss does not vary over the development tracks"
  assert found.verdict.startswith("No verdict. A gate fails: panel: leave that method")


def test_random_halves_say_nothing_of_albums_that_are_exchanged():
  clips = clips_of(9, 9, 20)
  inputs, rows = inputs_of(clips), score_rows(clips, "loss")
  assert procedure.conclude(inputs, rows).findings.null is not None
  # Each album has three suspects and three comparison tracks.
  inputs.albums = {clip.track: str(int(clip.track[1:]) // 3) for clip in clips}
  assert procedure.conclude(inputs, rows).findings.null is None


def test_albums_are_counted_again_once_clips_have_failed():
  """One album of suspects among twenty of the reference, of which all but five fail."""
  clips = clips_of(4, 40, 12)
  albums = {clip.track: clip.track[0] + str(int(clip.track[1:]) // 4) for clip in clips}
  rows = score_rows(clips, "loss")
  for kept, holds in ((40, False), (20, False)):
    own = [r for r in rows if r["clip"] not in {c.id for c in clips[4 + kept : 44]}]
    scores, _ = tabulate(own, clips)
    found = score_gates(scores, own, clips, albums=albums, **how())
    assert (found[1].name == "albums with a score") == (not holds)
  # With albums of two there are twenty of them, and one in 21 is low enough.
  albums |= {c.track: f"b{int(c.track[1:]) // 2}" for c in clips if c.group == "b"}
  for kept, refused in ((40, False), (36, True)):
    own = [r for r in rows if r["clip"] not in {c.id for c in clips[4 + kept : 44]}]
    scores, _ = tabulate(own, clips)
    found = score_gates(scores, own, clips, albums=albums, **how())
    assert (found[1].name == "albums with a score") == refused


def test_a_method_that_does_not_vary_under_the_reference_model_alone():
  """Its control cannot be run, and the verdict stands without it."""
  clips = clips_of(9, 9, 20)
  rows = score_rows(clips, "loss") + score_rows(clips, "loss", calibration="reference")
  rows += [row | {"model": pivot.REFERENCE, "score": 1.0} for row in rows[: len(clips)]]
  found = procedure.conclude(inputs_of(clips), rows)
  assert 0 < found.p_value <= 1
  control = {gate.name: gate for gate in found.gates}["null control"]
  assert control.holds is None
  assert "does not vary" in control.text


def test_suspects_that_nothing_can_take_the_place_of_allow_no_verdict():
  """Two of an album that the reference has too, and twenty of another."""
  albums = ["x"] * 2 + ["y"] * 20 + ["x"] * 10
  few = ["x"] * 19 + ["y"] * 3 + ["x"] * 10
  for names, left in ((albums, 20), (few, 3), (["x"] * 32, 0)):
    design = permutation.design(np.arange(32) < 22, names)
    gate = input_gates.albums(design, (32, 32), alpha=0.05, permutations=9_999)
    assert gate.holds == (left <= 11)
    said = f"{left} of 22 suspects can be exchanged with no reference track"
    assert (said in gate.text) == (left > 0)
