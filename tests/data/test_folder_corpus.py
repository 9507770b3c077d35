"""Plain folders of audio files, opened as corpora."""

import re
import shutil
import weakref

import numpy as np
import pytest
from noise_files import RATE, noise, opened, write

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import cutting, pieces
from lsaprobe_jax.data.audio import AudioError


def test_folder_is_a_corpus(folder):
  write(folder / "deep" / "er" / "three ü.wav", noise(3, seconds=2.5, rate=8000), 8000)
  corpus = opened(folder)
  assert corpus.tracks == ("deep-er-three-u", "one", "two")
  assert {c.track: c.group for c in corpus.clips if c.track != "deep-er-three-u"} == {
    "one": "a",
    "two": "b",
  }
  assert [len(corpus.select("ab"[i])) >= 8 for i in (0, 1)] == [True, True]
  # A file shorter than a segment, but not than a clip, is used up to whole clips.
  assert sum(clip.track.startswith("deep") for clip in corpus.clips) == 2


def test_folder_names_that_mean_groups(tmp_path):
  names = {"Members": "a", "nonmember": "b", "calib": "dev", "reference": "reference"}
  for seed, name in enumerate(names):
    write(tmp_path / name / f"{name}.wav", noise(seed, 1.0))
  corpus = opened(tmp_path)
  assert {clip.track: clip.group for clip in corpus.clips} == names


def test_ungrouped_files_get_a_group_by_name(tmp_path):
  for seed in range(12):
    write(tmp_path / f"song {seed}.wav", noise(seed, 1.0))
  groups = {clip.track: clip.group for clip in opened(tmp_path).clips}
  assert len(set(groups.values())) > 1
  for seed in range(0, 12, 2):
    (tmp_path / f"song {seed}.wav").unlink()
  fewer = {clip.track: clip.group for clip in opened(tmp_path).clips}
  assert fewer == {track: groups[track] for track in fewer}


def test_members_and_non_members_take_one_code_path(folder):
  """Swapping the groups' folders changes the groups and not one bit of audio."""
  write(folder / "a" / "third.wav", noise(3, 9.0, rate=44100), 44100)
  before = opened(folder)
  (folder / "a").rename(folder / "swap")
  (folder / "b").rename(folder / "a")
  (folder / "swap").rename(folder / "b")
  after = opened(folder)
  np.testing.assert_array_equal(before.audio, after.audio)
  swap = {"a": "b", "b": "a"}
  for was, now in zip(before.clips, after.clips, strict=True):
    assert (was.id, was.track, was.sha256) == (now.id, now.track, now.sha256)
    assert swap[was.group] == now.group
  assert before.fingerprint() != after.fingerprint()


def test_namesakes_stay_apart(folder):
  write(folder / "a" / "two.wav", noise(5))
  corpus = opened(folder)
  assert len(corpus.tracks) == 3
  assert len({clip.id for clip in corpus.clips}) == len(corpus)


def test_bad_files_are_listed_and_the_rest_goes_on(folder):
  (folder / "a" / "corrupt.mp3").write_bytes(b"\x00" * 1000)
  (folder / "a" / "empty.wav").write_bytes(b"")
  (folder / "b" / "apple.m4a").write_bytes(b"ftypM4A " * 100)
  write(folder / "b" / "short.wav", noise(4, 0.2))
  write(folder / "b" / "silent.wav", 0 * noise(5))
  nan = noise(6)
  nan[5] = np.nan
  write(folder / "b" / "nan.wav", nan)
  corpus = opened(folder)
  assert corpus.tracks == ("one", "two")
  named = {re.split(r"[/\\]", path)[-1]: message for path, message in corpus.errors}
  assert set(named) == {
    *("corrupt.mp3", "empty.wav", "apple.m4a"),
    *("short.wav", "silent.wav", "nan.wav"),
  }
  assert all(name in message for name, message in named.items())
  assert not any("\n" in message for message in named.values())


def test_wrong_rate_in_a_folder_can_be_refused(folder):
  write(folder / "a" / "slow.wav", noise(3, rate=8000), 8000)
  assert len(opened(folder).tracks) == 3
  corpus = opened(folder, on_wrong_rate="error")
  assert corpus.tracks == ("one", "two")
  assert "8000 Hz" in corpus.errors[0][1]


def test_a_silent_window_is_dropped(tmp_path):
  samples = noise(1, 4.0)
  samples[RATE : 2 * RATE] = 0
  write(tmp_path / "a" / "x.wav", samples)
  corpus = opened(tmp_path)
  assert [clip.start_seconds for clip in corpus.clips] == [0.0, 2.0, 3.0]
  assert corpus.errors[0][0] == "x@0001000+1000"


def test_head_keeps_the_first_seconds_under_the_same_ids(piano):
  head = piano.head(piano.clip_seconds / 4)
  assert head.clips == piano.clips
  assert head.audio.shape[1] == piano.audio.shape[1] // 4
  np.testing.assert_array_equal(head.audio, piano.audio[:, : head.audio.shape[1]])
  with pytest.raises(ValueError, match="no first"):
    piano.head(piano.clip_seconds * 1.1)
  for seconds in (float("inf"), 1e308):
    with pytest.raises(ValueError, match="no first"):
      piano.head(seconds)
  with pytest.raises(ValueError, match="at least one sample"):
    opened(piano.name, clip_seconds=1e308)
  with pytest.raises(AudioError, match="no folder is named; give a path"):
    opened("")
  with pytest.raises(AudioError, match="no such folder"):
    opened("x" * 5000)


def test_clips_per_track_reads_no_more_than_it_needs(tmp_path):
  write(tmp_path / "a" / "x.wav", noise(1, 40.0))
  corpus = opened(tmp_path, clips_per_track=2)
  assert corpus.clips == opened(tmp_path).per_track(2).clips
  assert [clip.start_seconds for clip in corpus.clips] == [20.0, 8.0]


@pytest.mark.parametrize("kind", ["missing", "file", "no_audio", "all_bad"])
def test_nothing_to_use_is_one_clear_line(tmp_path, kind):
  path = tmp_path / kind
  if kind == "file":
    path.write_text("x")
  elif kind == "no_audio":
    path.mkdir()
    (path / "notes.txt").write_text("x")
  elif kind == "all_bad":
    path.mkdir()
    (path / "x.wav").write_bytes(b"")
  with pytest.raises(AudioError) as caught:
    opened(path)
  assert str(caught.value).startswith(str(path))
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "settings",
  [
    {"sample_rate": 0},
    {"clip_seconds": 0.0},
    {"clip_seconds": float("nan")},
    {"clips_per_track": 0},
    {"groups": ["train"]},
    {"groups": []},
    {"on_wrong_rate": "guess"},
  ],
)
def test_settings_out_of_range_are_refused(settings):
  with pytest.raises(ValueError, match=next(iter(settings))):
    opened("piano", **settings)


def test_a_copy_of_a_shipped_corpus_is_the_same_corpus(tmp_path, piano):
  _, path = corpora._find("piano")
  shutil.copytree(path, tmp_path / "piano")
  assert opened(tmp_path / "piano").fingerprint() == piano.fingerprint()


@pytest.mark.parametrize("shape", [(8 * RATE,), (8 * RATE, 2)])
def test_a_clip_does_not_keep_its_track_in_memory(shape):
  """Windows are views: a folder of albums would lie in memory for a few seconds."""
  decoded = []

  def tracks():
    for i in range(4):
      # The last one is the loop's until it has the next.
      assert [ref() for ref in decoded[:-1]] == [None] * (i - 1)
      samples = np.random.default_rng(i).normal(size=shape).astype(np.float32) / 9
      decoded.append(weakref.ref(samples))
      names = dict.fromkeys(("group", "source", "title", "author", "licence"), "a")
      yield pieces.Piece(id=f"t{i}", **names, segments=((0.0, samples[RATE:]),))
      del samples

  wanted = pieces.Wanted(
    sample_rate=RATE,
    clip_seconds=0.5,
    clips_per_track=2,
    groups=("a",),
    on_wrong_rate="error",
    channels=len(shape),
  )
  corpus = cutting.from_pieces("x", tracks(), wanted, errors := [])
  assert (len(corpus.clips), errors) == (8, [])
