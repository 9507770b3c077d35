"""Audits of a corpus in records, and of some groups of a corpus."""

import hashlib

import numpy as np
import pytest
from originals import write_maestro
from tiny_audits import gates
from tiny_tracks import MODEL, tiny_weights

from lsaprobe_jax.audit import prepare
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import manifest as manifests
from lsaprobe_jax.data.build.tfds import building, maestro
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models import checkpoints


@pytest.fixture(scope="module")
def piano(tmp_path_factory):
  originals = write_maestro(tmp_path_factory.mktemp("maestro"))
  config = building.MusicConfig.named(sample_rate=8000, segment_seconds=2.0)
  folder = tmp_path_factory.mktemp("built")
  return building.build(maestro.MaestroV3, config, originals, folder)


@pytest.fixture(scope="module")
def open_sides(tmp_path_factory):
  """`open_sides(suspects, reference, **groups)`: inputs for a tiny model."""
  folder = tmp_path_factory.mktemp("model") / "model"
  checkpoints.save_model(folder, tiny_weights(MODEL, 0), MODEL, {})
  clips = {"corpus.clip_seconds": 0.25, "corpus.clips_per_track": 3}
  return lambda *sides, **groups: prepare(folder, *sides, **clips, **groups)


def test_groups_of_one_corpus_are_two_sides(piano, open_sides):
  inputs = open_sides(
    piano,
    piano,
    suspects_groups=["a"],
    reference_groups=["b", "dev", "reference"],
  )
  assert inputs.given["suspects"] == f"{piano} (a)"
  tracks = {track.id: track for track in manifests.read(piano).tracks}
  suspects = {f"suspect-{id}" for id, track in tracks.items() if track.group == "a"}
  assert set(inputs.suspects.tracks) == suspects
  reference = {f"reference-{id}" for id, track in tracks.items() if track.group != "a"}
  (copy,) = reference - {fact.track for fact in inputs.facts["reference"]}
  assert any(f"left out: {copy} holds the same recording" in n for n in inputs.notes)
  for fact in (*inputs.facts["suspect"], *inputs.facts["reference"]):
    segments = tracks[fact.track.split("-", 1)[1]].segments
    assert (fact.format, fact.rate, fact.channels) == ("records", 8000, 1)
    assert fact.seconds == 2.0 * len(segments)
    assert fact.source == str(piano)
  # What is inspected is the track's own sound, all of it.
  whole = corpora.open_corpus(piano, sample_rate=8000, clip_seconds=2.0)
  for fact in inputs.facts["suspect"]:
    own = [f"suspect-{clip.track}" == fact.track for clip in whole.clips]
    samples = np.concatenate(whole.audio[np.array(own)])
    assert hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest() == fact.sha256
  assert gates(inputs)["no recording on both sides"].holds is True
  # What is scored lies in memory, and is what the records hold.
  stored = corpora.open_corpus(
    piano, sample_rate=8000, clip_seconds=0.25, clips_per_track=3, groups=["a"]
  )
  assert isinstance(inputs.suspects.audio, np.ndarray)
  np.testing.assert_array_equal(inputs.suspects.audio, stored.audio[:])


def test_the_same_groups_on_both_sides_are_refused(piano, open_sides):
  inputs = open_sides(piano, piano, suspects_groups=["a"], reference_groups=["a", "b"])
  gate = gates(inputs)["no recording on both sides"]
  assert gate.holds is False
  assert f"{len(inputs.suspects.tracks)} found" in gate.text


@pytest.mark.parametrize(
  ("other", "groups", "message"),
  [
    ("multigenre", {}, "is a built corpus and the other side is not, or not in the"),
    (None, {"suspects_groups": ["c"]}, r"^suspects: groups=\['c'\]: groups are among"),
  ],
)
def test_what_cannot_be_two_sides(piano, open_sides, other, groups, message):
  with pytest.raises(ArgumentError, match=message):
    open_sides(piano, other or piano, **groups)
