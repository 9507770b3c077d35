"""Albums of tracks, and what an audit makes of them."""

import re
import shutil

import numpy as np
import pytest
import soundfile
from tiny_audits import gates, how, opened
from tiny_tracks import write_tagged

from lsaprobe_jax.audit import statistics
from lsaprobe_jax.audit.track_scores import TrackScores
from lsaprobe_jax.data import albums


def write_albums(folder, tmp_path, name):
  """The reference in folders of two tracks, suspects tagged as one album."""
  for i, path in enumerate(sorted((folder / "reference").iterdir())):
    target = tmp_path / "reference" / f"album {i // 2}" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)
  (tmp_path / "suspects").mkdir()
  for path in sorted((folder / "suspects").glob("0?.wav")):
    samples, rate = soundfile.read(path)
    write_tagged(tmp_path / "suspects" / f"{path.stem}.flac", samples, rate, album=name)
  return {side: tmp_path / side for side in ("suspects", "reference")}


def noise(seed):
  return np.random.default_rng(seed).normal(size=4000) * 0.1


def test_whole_albums_are_exchanged_where_they_are_known(folder, tmp_path):
  sides = write_albums(folder, tmp_path, "Theirs")
  inputs = opened(folder, **sides)
  assert {inputs.albums[track] for track in inputs.suspects.tracks} == {": theirs"}
  named = {track: album for track, album in inputs.albums.items() if "-10" in track}
  assert set(named.values()) == {"reference/album 1"}
  gate = gates(inputs)["albums"]
  # One album against those of which some track is compared.
  others = len({inputs.albums[track] for track in inputs.comparison.tracks})
  assert f"{others + 1} ways to exchange suspects and reference" in gate.text
  assert gate.holds == (1 / (others + 1) <= 0.2)
  refused = opened(folder, **sides, alpha=0.1)
  assert gates(refused)["albums"].holds is False
  assert "with albums=tracks" in gates(refused)["albums"].mend
  asked = opened(folder, **sides, albums="tracks")
  assert asked.albums is None
  assert gates(asked)["albums"].holds is None


def test_what_names_no_album_is_none(tmp_path):
  write_tagged(tmp_path / "CD1" / "x.flac", noise(0))
  write_tagged(tmp_path / "Songs" / "disc 2" / "y.flac", noise(1))
  write_tagged(tmp_path / "Live" / "CD1" / "z.flac", noise(2))
  path = tmp_path / "b" / "mine.flac"
  write_tagged(path, noise(3), album="Unknown Album", artist="N")
  write_tagged(tmp_path / "one.flac", noise(4), album="Greatest Hits", artist="N")
  write_tagged(tmp_path / "two.flac", noise(5), album="Greatest Hits", artist="M")
  found = {track.split("-")[-1]: a for track, a in albums.of_tracks(tmp_path).items()}
  assert found == {"z": "/Live", "one": "n: greatest hits", "two": "m: greatest hits"}


def test_one_album_is_one_whatever_the_guests_the_case_or_the_artists(tmp_path):
  for i, (artist, album) in enumerate(
    [
      ("X", "Live At"),
      ("x feat. Y", "Live at "),
      ("X (ft. Z)", "LIVE  AT"),
      ("Y", "Best of 1999"),
      ("Z", "Best of 1999"),
      ("W & the V", "Best of 1999"),
      ("Without", "Live At"),
    ]
  ):
    write_tagged(tmp_path / f"t{i}.flac", noise(i), album=album, artist=artist)
  found = sorted(albums.of_tracks(tmp_path).items())
  assert [album for _, album in found] == [
    *["x: live at"] * 3,
    *["various: best of 1999"] * 3,
    "without: live at",
  ]


def test_albums_of_a_built_corpus_are_its_packages():
  found = albums.of_tracks("multigenre")
  assert len(found) == 88
  assert found["ufoai-David01"] == "ufoai-music"


def test_one_tagged_track_leaves_the_others_independent_and_says_so(folder, tmp_path):
  shutil.copytree(folder / "reference", tmp_path / "reference")
  path = tmp_path / "reference" / "10.flac"
  write_tagged(path, noise(0), album="X", artist="N")
  inputs = opened(folder, reference=tmp_path / "reference")
  assert len(inputs.albums) == 1
  text = gates(inputs)["albums"].text
  assert re.search(r"the album of [01] of \d+ tracks is known", text)
  assert text.endswith("Tracks of no known album are taken for independent")
  names = sorted(inputs.suspects.tracks), sorted(inputs.comparison.tracks)
  parts = {
    "suspects": {"loss": {name: 1.0 * i for i, name in enumerate(names[0])}},
    "comparison": {"loss": {name: 1.0 * i for i, name in enumerate(names[1])}},
    "development": {"loss": {"x": 0.0, "y": 1.0}},
  }
  scores = TrackScores(**parts).with_panel()
  contrast = statistics.reference_contrast(scores, inputs.albums)
  found = statistics.judge(scores, [contrast], **how(alpha=0.2, permutations=99))
  assert not found.tests[0].by_album


def test_a_development_track_cannot_keep_the_blind_gate_from_failing(folder, tmp_path):
  """One tag on it once left the gate nine ways, and white noise became evidence."""
  for i in range(8):
    hiss = np.random.default_rng(i).uniform(-1, 1, 16000)
    path = tmp_path / "suspects" / f"{i}.flac"
    write_tagged(path, hiss, artist="N", album="X")
  time = np.arange(16000) / 8000
  for i in range(34):
    tone = 0.05 * np.sin(2 * np.pi * (150 + 17 * i) * time)
    path = tmp_path / "reference" / f"album {i}" / f"{i}.flac"
    path.parent.mkdir(parents=True)
    soundfile.write(path, tone, 8000)
  sides = {side: tmp_path / side for side in ("suspects", "reference")}
  plain = opened(folder, **sides, alpha=0.05)
  assert gates(plain)["blind baseline"].holds is False
  number = int(plain.development.tracks[0].rpartition("-")[2])
  path = tmp_path / "reference" / f"album {number}" / f"{number}.flac"
  samples, rate = soundfile.read(path)
  write_tagged(path, samples, rate, artist="N", album="X")
  again = opened(folder, **sides, alpha=0.05)
  assert gates(again)["blind baseline"].holds is False


@pytest.mark.parametrize(
  ("name", "is_album"),
  [
    *((name, True) for name in ("Disco", "Party", "Parts", "Sides")),
    *((name, False) for name in ("CD1", "disc 2", "Vol. 3", "Side A", "part_II")),
  ],
)
def test_a_folder_of_a_disc_is_no_album(tmp_path, name, is_album):
  path = tmp_path / "Band" / name / "one.wav"
  path.parent.mkdir(parents=True)
  soundfile.write(path, noise(0), 16000)
  folder = f"Band/{name}" if is_album else "Band"
  found = albums.of_tracks(tmp_path, "suspects")
  assert list(found.values()) == [f"suspects/{folder}"]
