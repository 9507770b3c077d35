"""What an audit is given: opened, looked at, refused."""

import dataclasses
import shutil

import numpy as np
import pytest
import soundfile
from tiny_audits import SECONDS, gates, opened, recorded_as
from tiny_tracks import MODEL, tiny_weights, write_track

from lsaprobe_jax.audit import gates as input_gates
from lsaprobe_jax.audit import procedure
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.scoring import experiment_inputs

RECORD = "reference not in the model's own record"
REFERENCE_RECORD = "neither side in the reference model's own record"


def test_a_recording_on_both_sides_is_refused(folder, tmp_path):
  shutil.copytree(folder / "reference", tmp_path / "reference")
  samples, rate = soundfile.read(folder / "suspects" / "01.wav")
  soundfile.write(tmp_path / "reference" / "copy.flac", 0.5 * samples, rate)
  shutil.copy(tmp_path / "reference" / "10.wav", tmp_path / "reference" / "twin.wav")
  inputs = opened(folder, reference=tmp_path / "reference")
  gate = gates(inputs)["no recording on both sides"]
  assert inputs.refused
  assert gate.text == ("1 found: suspect-01 and reference-copy (by fingerprint)")
  assert "take each off one side" in gate.mend
  # Within a side one is enough.
  assert any("reference-twin holds the same recording" in note for note in inputs.notes)
  assert "reference-twin" not in inputs.comparison.tracks + inputs.development.tracks


def test_one_file_is_a_suspect(folder):
  inputs = opened(folder, suspects=folder / "suspects" / "03.wav")
  assert inputs.suspects.tracks == ("suspect-03",)
  assert len(inputs.suspects) == 3
  assert "differ over 96 acoustic features" in gates(inputs)["blind baseline"].text
  assert not set(inputs.comparison.tracks) & set(inputs.development.tracks)


def test_sides_that_sound_unlike_are_refused(folder, tmp_path):
  for path in sorted((folder / "reference").iterdir()):
    samples, rate = soundfile.read(path)
    soundfile.write(tmp_path / path.name, np.cumsum(samples) * 0.01, rate, "FLOAT")
  gate = gates(opened(folder, reference=tmp_path))["blind baseline"]
  assert gate.holds is False
  assert "codec" in gate.mend


def test_a_reference_that_the_model_records_is_refused(folder, tmp_path):
  clean = opened(folder)
  seen = (*clean.suspects.clips[:5], *clean.comparison.clips[:2])
  model = recorded_as(tmp_path / "m", [(c.id, c.sha256) for c in seen], seed=0)
  inputs = opened(folder, model=model, **SECONDS)
  gate = gates(inputs)[RECORD]
  assert gate.holds is False
  tracks = len({clip.track for clip in clean.comparison.clips[:2]})
  assert gate.text.startswith(f"{tracks} of 14 reference tracks are recorded")
  assert clean.comparison.clips[0].track in gate.text
  own = {clip.track for clip in clean.suspects.clips[:5]}
  assert any(f"holds {len(own)} of 8 suspects" in note for note in inputs.notes)


@pytest.mark.parametrize("side", ["suspects", "comparison", "development"])
def test_a_reference_model_that_was_trained_on_a_side_is_refused(
  folder, tmp_path, side
):
  """From stored rows this made evidence out of nothing: p = 0.001 for 0.60."""
  clip = getattr(opened(folder, **SECONDS), side).clips[0]
  other = recorded_as(tmp_path / "m", [("other@0+256", clip.sha256)])
  inputs = opened(folder, reference_model=other, **SECONDS)
  gate = gates(inputs)[REFERENCE_RECORD]
  assert inputs.refused
  assert clip.track in gate.text
  assert "1 by their samples" in gate.text
  assert "another reference model" in gate.mend


def test_a_track_cut_elsewhere_is_known_by_its_name(folder, tmp_path):
  seen = [("10@0000100+256", "0" * 64), ("elsewhere@0000100+256", "1" * 64)]
  other = recorded_as(tmp_path / "m", seen)
  gate = gates(opened(folder, reference_model=other, **SECONDS))[REFERENCE_RECORD]
  assert gate.holds is False
  assert "1 of 14 reference tracks are recorded as trained on (0 by their" in gate.text
  assert "reference-10" in gate.text
  assert "rename other music" in gate.mend


def test_embedded_models_that_saw_the_other_half_are_no_reference_models():
  b = corpora.open_corpus(
    "multigenre", sample_rate=8000, clip_seconds=0.512, clips_per_track=1, groups=["b"]
  )
  named = [dataclasses.replace(c, track=f"reference-{c.track}") for c in b.clips]
  sides = {"reference": dataclasses.replace(b, clips=tuple(named))}
  sources = {"model": "diffwave-multigenre-a", "reference": "diffwave-multigenre-b"}
  found = {
    name: input_gates.not_recorded(load_model(source, name=name), sides, "record")
    for name, source in sources.items()
  }
  assert found["model"].holds
  assert found["reference"].holds is False
  assert "36 of 36 reference tracks" in found["reference"].text


@pytest.mark.parametrize(("beta_end", "noted"), [(0.2, False), (0.05, True)])
def test_a_reference_model_on_another_schedule_is_noted(
  folder, tmp_path, beta_end, noted
):
  config = MODEL | {"schedule": MODEL["schedule"] | {"beta_end": beta_end}}
  checkpoints.save_model(tmp_path / "m", tiny_weights(config, seed=3), config, {})
  inputs = opened(folder, reference_model=str(tmp_path / "m"), **SECONDS)
  assert any("on another noise schedule" in note for note in inputs.notes) == noted


def test_the_audited_model_is_no_reference_model(folder):
  with pytest.raises(ArgumentError, match=r"^reference_model has the weights of model"):
    opened(folder, reference_model=folder / "model")


def test_what_was_trained_on_does_not_enter_the_scores(folder, tmp_path):
  """A record would make some clips members of training, and others not."""
  clip = opened(folder, **SECONDS).suspects.clips[0]
  model = recorded_as(tmp_path / "m", [(clip.id, clip.sha256)])
  inputs = opened(folder, model=model, **SECONDS)
  assert [target.members for target in inputs.targets] == [None]


def test_all_tracks_have_the_same_number_of_clips(folder, tmp_path):
  shutil.copytree(folder / "reference", tmp_path / "reference")
  write_track(tmp_path / "reference" / "brief.wav", 50, seconds=0.6)
  inputs = opened(folder, reference=tmp_path / "reference")
  for corpus in (inputs.suspects, inputs.comparison, inputs.development):
    assert len(corpus) == 2 * len(corpus.tracks)
  assert any(
    note.startswith("2 clips of 0.256 s a track, not 3") for note in inputs.notes
  )


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ({"model": "nowhere"}, "^model: no model folder nowhere"),
    ({"reference_model": "nowhere"}, "^reference_model: no model folder nowhere"),
    ({"suspects": "nowhere"}, "^suspects: nowhere: no such folder"),
    ({"reference": "pyproject.toml"}, "^reference: .*not a folder"),
    ({"reference": "tests/metrics"}, "^reference: .*no audio files in it"),
    ({"suspects": "piano"}, "^suspects=piano is a built corpus"),
  ],
)
def test_inputs_that_cannot_be_used(folder, given, message):
  with pytest.raises(ArgumentError, match=message):
    opened(folder, **given)


def test_twins_are_judged_once(folder, monkeypatch):
  """A twin near its bound would pass on suspects and fail on development clips."""
  inputs = opened(folder)
  assert inputs.settings.twins.names

  class ScoringBegins(Exception):
    pass

  def begin(*args, **kwargs):
    raise ScoringBegins

  def refuse(*args, **kwargs):
    raise AssertionError("twins are judged again")

  monkeypatch.setattr(experiment_inputs.twins, "check", refuse)
  monkeypatch.setattr(procedure.experiment, "start_evaluation", begin)
  with pytest.raises(ScoringBegins):
    procedure.score(inputs)
