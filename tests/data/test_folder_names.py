"""Names of files and folders: which group they put a file in, and what its track is."""

import os

import pytest
from noise_files import noise, opened, write

from lsaprobe_jax.data import folder as folders


@pytest.mark.parametrize(
  ("name", "group"),
  [
    ("Non-Members", "b"),
    ("non_member", "b"),
    ("non members", "b"),
    ("Calibration", "dev"),
    ("REFERENCES", "reference"),
    ("members 2", None),
    ("ab", None),
  ],
)
def test_a_groups_folder_may_be_spelt_as_people_do(name, group):
  assert folders.group_of(name) == group


def test_files_outside_the_folders_of_groups_are_told(tmp_path):
  for seed, name in enumerate(("members/1", "others/2", "3")):
    write(tmp_path / f"{name}.wav", noise(seed, 1.0))
  groups = ("a", "b")
  ((_, line),) = opened(tmp_path, groups=groups).errors
  assert "2 files are in groups by a hash" in line
  assert "3.wav, others/2.wav" in line
  assert opened(tmp_path).errors == ((str(tmp_path), line),)
  # A folder without any folders of groups is told nothing of them.
  (tmp_path / "members").rename(tmp_path / "more")
  assert not opened(tmp_path).errors


def test_of_one_recording_in_several_formats_one_is_taken(tmp_path):
  for path in ("x.mp3", "x.wav", "x.Ogg", "y.mp3", "deep/x.flac", "z.1.wav", "z.2.wav"):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).touch()
  listing = folders.listing(tmp_path)
  taken = {str(file.path.relative_to(tmp_path)) for file in listing.files}
  assert taken == {"x.wav", "y.mp3", "deep/x.flac", "z.1.wav", "z.2.wav"}
  lines = [line for _, line in listing.skipped]
  assert lines == [
    f"{tmp_path / name}: left out, as x.wav beside it is taken"
    for name in ("x.Ogg", "x.mp3")
  ]
  # Nothing else tells what the tracks are called.
  assert {file.track for file in listing.files} == {"x", "y", "deep-x", "z-1", "z-2"}


@pytest.mark.parametrize(
  "names",
  [
    ("01 Песня", "01 Песни", "夜", "星"),
    # Names in an old encoding, which are no text here, and signs alone.
    tuple(os.fsdecode(f"песня {i}".encode("cp1251")) for i in "абвг"),
    ("♥", "★", "!!!", "?"),
    ("1 ♥", "1 ★", "1 ♫", "1"),
  ],
)
def test_names_of_which_little_is_left_make_tracks_of_their_own(tmp_path, names):
  for name in names:
    (tmp_path / f"{name}.wav").touch()
  tracks = {file.path.stem: file.track for file in folders.listing(tmp_path).files}
  assert len(set(tracks.values())) == 4
  assert all(track.isascii() for track in tracks.values())
  for name in names:
    single = folders.listing(tmp_path / f"{name}.wav").files[0]
    assert single.track == tracks[name]


def test_tracks_of_other_alphabets_go_by_their_names_alone(tmp_path):
  for name in ("01 Песня", "夜", "星"):
    (tmp_path / f"{name}.wav").touch()
  tracks = {file.path.stem: file.track for file in folders.listing(tmp_path).files}
  assert tracks["01 Песня"].startswith("01-")
  # By the name alone, whatever the format and whoever is beside it.
  (tmp_path / "夜.wav").rename(tmp_path / "夜.flac")
  (tmp_path / "星.wav").unlink()
  (again,) = (f.track for f in folders.listing(tmp_path).files if f.path.stem == "夜")
  assert again == tracks["夜"]


def test_many_names_in_an_old_encoding_are_dealt_to_all_groups(tmp_path):
  for i in range(30):
    name = os.fsdecode(f"песня {chr(1072 + i)}".encode("cp1251"))
    (tmp_path / f"{name}.wav").touch()
  groups = {file.group for file in folders.listing(tmp_path).files}
  assert groups >= {"a", "b"}


def test_accents_are_dropped_and_nothing_else_is_made_of_them(tmp_path):
  (tmp_path / "Café \u2013 Noël\u2019s.wav").touch()
  assert folders.listing(tmp_path).files[0].track == "Cafe-Noels"
