"""Versions of canaries that are copies, or that were made otherwise than others."""

import shutil

import pytest
import soundfile
from tiny_audits import SETTINGS, gates, write_canary

from lsaprobe_jax.audit import opening, prepare
from lsaprobe_jax.errors import ArgumentError, SettingError


@pytest.fixture
def canary(tmp_path):
  return write_canary(tmp_path)


def opened(folder, canary, **changes):
  given = {"suspects": canary / "published", "held_back": canary / "held"} | changes
  return prepare(**{"model": folder / "model"} | SETTINGS | given)


def test_a_copy_is_no_other_version(folder, canary):
  """One version and three copies of another would be a draw of one in four."""
  assert gates(opened(folder, canary))["versions differ"].holds
  shutil.copy(canary / "held" / "v1" / "3.wav", canary / "held" / "v2" / "3.wav")
  gate = gates(opened(folder, canary))["versions differ"]
  assert gate.holds is False
  assert gate.text == "1 have the same samples: held_back_1-3 and held_back_2-3"
  assert "a copy is no other version" in gate.mend


def test_what_was_done_to_one_side_alone_is_noted(folder, canary):
  noted = "published and held-back versions differ in what no draw covers"
  same = opened(folder, canary, canary_randomised=True)
  assert not any(note.startswith(noted) for note in same.notes)
  for path in (canary / "held").rglob("*.wav"):
    samples, rate = soundfile.read(path)
    soundfile.write(path.with_suffix(".flac"), samples, rate)
    path.unlink()
  notes = opened(folder, canary, canary_randomised=True).notes
  at = next(i for i, note in enumerate(notes) if note.startswith(noted))
  assert notes[at + 1] == "format: WAV FLOAT as published, FLAC PCM_16 as held back"
  # Where there are more tracks each version is compared by a test, and named.
  facts = opened(folder, canary).facts
  more = opening._unlike_versions({side: 4 * own for side, own in facts.items()})
  assert len(more) == 3
  for line, side in zip(more[1:], ("held_back_1", "held_back_2"), strict=True):
    assert line.startswith(
      "format: FLAC PCM_16: 0 of 24 against 24 of 24; WAV FLOAT: 24"
    )
    assert f"(published, {side}; p = " in line


def test_a_draw_is_said_of_versions_alone(folder, canary):
  with pytest.raises(SettingError, match=r"^canary_randomised: .*give held_back too"):
    opened(folder, canary, held_back=None, canary_randomised=True)
  with pytest.raises(ArgumentError, match=r"^reference_groups and held_back"):
    opened(folder, canary, reference_groups=["b"])


@pytest.mark.parametrize("name", ["reference", "reference_model", "lora", "held_back"])
def test_text_that_names_nothing_is_refused(folder, canary, name):
  with pytest.raises(
    ArgumentError, match=rf"^{name}: it is empty; give a path or name"
  ):
    opened(folder, canary, **{"held_back": None, name: " "})
