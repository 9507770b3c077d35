"""Names of files and folders: which group they put a file in, and what its track is."""

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
  assert "2 files lie in no folder of a group" in line
  assert "3.wav, others/2.wav" in line
  # Whoever asks for no groups is told nothing of them, nor is a folder without any.
  assert not opened(tmp_path).errors
  (tmp_path / "members").rename(tmp_path / "more")
  assert not opened(tmp_path, groups=("a", "b", "dev")).errors


def test_files_that_differ_in_their_suffix_alone_share_a_group(tmp_path):
  for i in range(12):
    for suffix in ("wav", "flac"):
      (tmp_path / f"{i}.{suffix}").touch()
  listing = folders.listing(tmp_path)
  groups = {}
  for file in listing.files:
    groups.setdefault(file.path.stem, set()).add(file.group)
  assert {len(own) for own in groups.values()} == {1}
  assert len({file.track for file in listing.files}) == 24
  assert len(set.union(*groups.values())) > 1
  ((_, line),) = listing.remarks
  assert "12 names stand for several files" in line
  assert "0.flac, 0.wav; " in line


def test_names_in_other_alphabets_make_tracks_of_their_own(tmp_path):
  names = ("01 Песня", "01 Песни", "夜", "星")
  for name in names:
    (tmp_path / f"{name}.wav").touch()
  tracks = {file.path.stem: file.track for file in folders.listing(tmp_path).files}
  assert len(set(tracks.values())) == 4
  assert all(track.isascii() for track in tracks.values())
  assert tracks["01 Песня"].startswith("01-")
  # By the name alone, whatever the format and whoever is beside it.
  (tmp_path / "夜.wav").rename(tmp_path / "夜.flac")
  (tmp_path / "星.wav").unlink()
  (again,) = (f.track for f in folders.listing(tmp_path).files if f.path.stem == "夜")
  assert again == tracks["夜"]
  single = folders.listing(tmp_path / "夜.flac").files[0].track
  assert single == again


def test_accents_are_dropped_and_nothing_else_is_made_of_them(tmp_path):
  (tmp_path / "Café Noël.wav").touch()
  assert folders.listing(tmp_path).files[0].track == "Cafe-Noel"
