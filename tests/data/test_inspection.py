"""What is seen of two sides from their files alone."""

import pathlib

import numpy as np
import pytest
import soundfile

from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.audio import AudioError, read_recording

RATE = 16000


@pytest.fixture(scope="module")
def music():
  """`music(i)`: 8 s of a shipped track."""
  readers = list(corpora.recordings("multigenre").values())
  return lambda i: readers[i]().samples


def write(path, samples, rate=RATE, subtype="FLOAT"):
  soundfile.write(path, samples, rate, subtype)
  return inspection.inspect(path.stem, read_recording(path))


def test_facts_of_a_file(tmp_path):
  time = np.arange(2 * RATE) / RATE
  tone = 0.1 * np.sin(2 * np.pi * 1000 * time)
  facts = write(tmp_path / "tone.wav", np.stack([tone, tone], axis=1))
  assert (facts.rate, facts.channels, facts.format) == (RATE, 2, "WAV FLOAT")
  assert facts.seconds == 2.0
  # BS.1770: a 1 kHz sine at -20 dBFS peak, one channel, is at -23 LUFS.
  assert facts.lufs == pytest.approx(-23.0, abs=0.1)
  assert facts.bandwidth == pytest.approx(1000, abs=20)
  assert write(tmp_path / "silent.wav", np.zeros(RATE)).lufs is None
  assert "fingerprint" not in facts.plain()


def test_copies_are_found_in_another_coding_and_other_tracks_are_not(tmp_path, music):
  own = write(tmp_path / "own.wav", music(0))
  facts = [
    own,
    write(tmp_path / "copy.flac", music(0), subtype="PCM_24"),
    write(tmp_path / "soft.ogg", 0.5 * music(0)[RATE:], subtype="VORBIS"),
    *(write(tmp_path / f"other{i}.wav", music(i)) for i in range(1, 6)),
  ]
  found = {(p.first, p.second): p.exact for p in inspection.duplicates(facts)}
  assert found.keys() == {("own", "copy"), ("own", "soft"), ("copy", "soft")}
  same = inspection.duplicates([own, write(tmp_path / "same.wav", music(0))])
  assert [pair.exact for pair in same] == [True]


def test_what_sets_the_sides_apart_is_named(tmp_path, music):
  files = {
    "wav": [write(tmp_path / f"a{i}.wav", music(i)[: 4 * RATE]) for i in range(12)],
    "more": [
      write(tmp_path / f"b{i}.wav", music(i)[: 4 * RATE]) for i in range(12, 24)
    ],
    "ogg": [
      write(tmp_path / f"c{i}.ogg", 0.3 * music(i)[: 3 * RATE], subtype="VORBIS")
      for i in range(24, 36)
    ],
  }
  assert inspection.differences(files["wav"], files["more"]) == []
  lines = inspection.differences(files["wav"], files["ogg"])
  assert [line.split(":")[0] for line in lines] == ["seconds", "lufs", "format"]
  assert "median 4 against 3" in lines[0]
  assert "OGG VORBIS: 0 of 12 against 12 of 12" in lines[2]


def test_one_file_or_a_manifest_is_opened_as_a_folder_is(tmp_path, music):
  path = tmp_path / "A song.wav"
  soundfile.write(path, music(0), RATE)
  names = dict(sample_rate=8000, clip_seconds=0.5)
  whole, one = (corpora.open_corpus(p, **names) for p in (tmp_path, path))
  assert whole.fingerprint() == one.fingerprint()
  assert {clip.source for clip in one.clips} == {"A song.wav"}
  (read,) = corpora.recordings(path).values()
  assert read().source == str(path)
  readers = corpora.recordings("piano")
  folder = pathlib.Path(next(iter(readers.values()))().source).parent
  whole, one = (
    corpora.open_corpus(p, clips_per_track=1, **names)
    for p in (folder, folder / "manifest.json")
  )
  assert whole.fingerprint() == one.fingerprint()
  assert set(whole.tracks) == readers.keys()
  (tmp_path / "notes.txt").write_text("no music")
  with pytest.raises(AudioError, match=r"notes\.txt: not a folder"):
    corpora.open_corpus(tmp_path / "notes.txt", **names)
