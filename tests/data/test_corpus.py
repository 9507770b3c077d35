"""Shipped corpora and built corpora, opened."""

import dataclasses
import hashlib
import json
import re
import types

import numpy as np
import pytest
import soundfile
from noise_files import RATE, noise, opened

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import manifest as manifests
from lsaprobe_jax.data import splits, vorbis
from lsaprobe_jax.data.audio import AudioError
from lsaprobe_jax.data.corpus import load_audio
from lsaprobe_jax.errors import ArgumentError

SHIPPED_TRACKS = {
  "multigenre": {"a": 35, "b": 36, "dev": 10, "reference": 7},
  "piano": {"a": 7, "b": 7, "dev": 2, "reference": 2},
  "dose": {"a": 31, "b": 29, "dev": 15, "reference": 0},
}


@pytest.fixture
def built(tmp_path):
  """A built corpus of two tracks of two segments."""
  tracks = []
  for seed, group in enumerate("ab"):
    file = f"t{seed}.ogg"
    vorbis.write(tmp_path / file, noise(seed), RATE, serial=seed)
    tracks.append(
      manifests.Track(
        id=f"t{seed}",
        title="<b>title</b>",
        author="nobody",
        package="none",
        path=file,
        licence="public-domain",
        duplicates=f"t{seed}",
        group=group,
        file=file,
        sha256=manifests.sha256(tmp_path / file),
        segments=tuple(
          manifests.Segment(start_seconds=start, seconds=4.0) for start in (12.0, 4.0)
        ),
        changes="",
      )
    )
  manifest = manifests.Manifest(
    corpus="test",
    sample_rate=RATE,
    segment_seconds=4.0,
    recipe={},
    tracks=tuple(tracks),
  )
  manifests.write(tmp_path, manifest)
  return tmp_path


@pytest.mark.parametrize("name", SHIPPED_TRACKS)
def test_shipped_corpus_opens_with_its_tracks(name):
  corpus = opened(name, clip_seconds=2.0)
  groups = {clip.track: clip.group for clip in corpus.clips}
  count = {group: list(groups.values()).count(group) for group in splits.GROUPS}
  assert count == SHIPPED_TRACKS[name]
  assert corpus.audio.shape == (len(corpus.clips), 2 * RATE)
  assert corpus.audio.dtype == np.float32
  ids = [clip.id for clip in corpus.clips]
  assert len(set(ids)) == len(ids)
  assert all(re.fullmatch(r"[A-Za-z0-9_-]+@\d{7}\+2000", name) for name in ids)
  for clip, samples in zip(corpus.clips, corpus.audio, strict=True):
    assert clip.sha256 == hashlib.sha256(samples.tobytes()).hexdigest()
    assert clip.licence.startswith(("CC-", "public-domain"))


@pytest.mark.parametrize("name", SHIPPED_TRACKS)
def test_shipped_groups_share_no_music_and_everything_is_credited(name):
  _, path = corpora._find(name)
  manifest = manifests.read(path)
  group_of = {}
  for track in manifest.tracks:
    assert group_of.setdefault(track.duplicates, track.group) == track.group
  credits = (path / "CREDITS.md").read_text(encoding="utf-8")
  files = {track.file for track in manifest.tracks}
  assert all(f"| {file.replace('_', chr(92) + '_')} |" in credits for file in files)
  assert {file.name for file in path.glob("*.ogg")} == files


def test_shipped_corpora_are_small():
  folders = [corpora._find(name)[1] for name in SHIPPED_TRACKS]
  total = sum(file.stat().st_size for path in folders for file in path.iterdir())
  assert total < 4e6 * len(folders)


def test_opening_twice_gives_the_same(piano):
  again = opened("piano")
  assert again.clips == piano.clips
  np.testing.assert_array_equal(again.audio, piano.audio)
  assert again.fingerprint() == piano.fingerprint()


def test_select_and_per_track(piano):
  half = piano.select(["a"]).per_track(2)
  assert {clip.group for clip in half.clips} == {"a"}
  assert len(half) == 2 * len(half.tracks) == 14
  assert opened("piano", groups="a", clips_per_track=2).clips == half.clips
  at = [clip.id for clip in piano.clips].index(half.clips[3].id)
  np.testing.assert_array_equal(half.audio[3], piano.audio[at])
  assert half.fingerprint() != piano.fingerprint()
  with pytest.raises(ValueError, match="groups are among"):
    piano.select(["members"])


def test_a_group_of_a_corpus_and_its_repr(piano):
  half = piano.group("a")
  assert half.clips == piano.select("a").clips
  assert (
    repr(half) == "<Corpus piano: 140 clips of 1 s at 16000 Hz from 7 tracks (a 140)>"
  )
  assert (
    repr(half.take([])) == "<Corpus piano: 0 clips of 1 s at 16000 Hz from 0 tracks>"
  )
  with pytest.raises(ArgumentError, match="groups are among"):
    piano.group("members")


def test_audio_is_loaded_as_a_model_takes_it(folder):
  model = types.SimpleNamespace(sample_rate=8000, clip_seconds=0.5)
  clips = load_audio(folder, like=model)
  assert (clips.sample_rate, clips.clip_seconds) == (8000, 0.5)
  again = opened(folder, sample_rate=8000, clip_seconds=0.5)
  assert clips.fingerprint() == again.fingerprint()
  of_one = load_audio(folder / "a" / "one.wav", like=model)
  assert of_one.tracks == ("one",)
  own = load_audio(folder, like=model, clip_seconds=2.0, clips_per_track=1, groups="a")
  assert (own.audio.shape, own.tracks) == ((1, 16000), ("one",))
  model.clip_seconds = None
  assert load_audio(folder, like=model).clip_seconds == 4.0
  assert load_audio(folder, sample_rate=RATE).audio.shape == (4, 4 * RATE)


def test_audio_without_a_rate_or_a_file_is_one_line(tmp_path):
  with pytest.raises(ArgumentError, match=r"^sample_rate=None: give a rate in Hz, or"):
    load_audio("piano")
  with pytest.raises(AudioError, match="nowhere: no such folder"):
    load_audio(tmp_path / "nowhere", sample_rate=RATE)


def test_first_clips_of_a_track_come_from_different_segments(piano):
  starts = [clip.start_seconds for clip in piano.per_track(5).clips[:5]]
  assert np.diff(np.sort(starts)).min() >= 4.0


def test_built_corpus_is_cut_from_whole_resampled_segments(built):
  corpus = opened(built, clip_seconds=1.5)
  assert [clip.id for clip in corpus.clips[:4]] == [
    "t0@0012000+1500",
    "t0@0004000+1500",
    "t0@0013500+1500",
    "t0@0005500+1500",
  ]
  decoded, _ = soundfile.read(built / "t0.ogg", dtype="float32")
  np.testing.assert_array_equal(corpus.audio[3], decoded[88000:112000])
  half = opened(built, clip_seconds=1.5, sample_rate=8000)
  assert half.audio.shape == (8, 12000)
  assert [clip.id for clip in half.clips] == [clip.id for clip in corpus.clips]


def test_clips_longer_than_the_segment_are_refused(built):
  with pytest.raises(AudioError, match="smaller clip_seconds"):
    opened(built, clip_seconds=4.5)


def test_wrong_rate_of_a_built_corpus_can_be_refused(built):
  with pytest.raises(AudioError, match="rate 16000 Hz where 22050 Hz"):
    opened(built, sample_rate=22050, on_wrong_rate="error")


def test_file_that_is_not_the_manifests_is_left_out(built):
  vorbis.write(built / "t0.ogg", noise(9), RATE, serial=0)
  corpus = opened(built)
  assert corpus.tracks == ("t1",)
  assert len(corpus.errors) == 1
  assert "t0.ogg" in corpus.errors[0][1]
  assert "SHA-256" in corpus.errors[0][1]
  with pytest.raises(AudioError, match="SHA-256"):
    opened(built, groups=["a"])


def test_missing_file_of_the_manifest_is_left_out(built):
  (built / "t1.ogg").unlink()
  corpus = opened(built)
  assert corpus.tracks == ("t0",)
  assert "t1.ogg: no such file" in corpus.errors[0][1]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"version": 99}, "version 99"),
    ({"tracks": [{}]}, "damaged"),
    ({"sample_rate": -1}, "sample_rate"),
    ({"sample_rate": True}, "sample_rate"),
    ({"sample_rate": 10**20}, "sample_rate"),
    ({"recipe": "none"}, "damaged"),
    ({"recipe": {"left_out": [["a", "b", "c"]]}}, "damaged"),
    ({"surplus": 1}, "damaged"),
  ],
)
def test_damaged_manifest_is_refused(built, change, message):
  path = built / "manifest.json"
  path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
  with pytest.raises(AudioError, match=message) as caught:
    opened(built)
  assert str(path) in str(caught.value)
  path.write_text("{")
  with pytest.raises(AudioError, match="damaged"):
    opened(built)


def test_manifest_cannot_point_outside_its_folder(built, tmp_path):
  manifest = manifests.read(built)
  secret = dataclasses.replace(manifest.tracks[0], file="../secret.ogg")
  manifests.write(built, dataclasses.replace(manifest, tracks=(secret,)))
  with pytest.raises(AudioError, match="outside the corpus folder"):
    opened(built)


def test_unknown_group_and_repeated_id_are_refused(built):
  manifest = manifests.read(built)
  track = manifest.tracks[0]
  for tracks, message in (
    ((dataclasses.replace(track, group="c"),), "group 'c'"),
    ((track, track), "there twice"),
  ):
    manifests.write(built, dataclasses.replace(manifest, tracks=tracks))
    with pytest.raises(AudioError, match=message):
      opened(built)
