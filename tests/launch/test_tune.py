"""launch.tune: choices read tune tracks alone."""

import shutil

import pytest
from launching import complaint, read_rows

from lsaprobe_jax.data import splits

# A grid of seconds, on whatever corpus and models the flags name.
CONFIG = """
from ml_collections import ConfigDict
from configs import tune_mini

def get_config():
  config = tune_mini.get_config("probe")
  config.base.eta_refs = (0.2,)
  config.base.targets = ConfigDict(dict(A="", B=""))
  config.base.methods = ("loss", "lsa_probe")
  config.grid = [{"t_ratio": t, "baselines.loss.t_ratio": t} for t in (0.2, 0.6)]
  return config
"""


def tune(launcher, tmp_path, workdir, settings, corpus, *more):
  path = tmp_path / "small_grid.py"
  path.write_text(CONFIG)
  changes = settings | {"corpus.path": str(corpus), "part": "tune"}
  changes = {k: v for k, v in changes.items() if not k.endswith("reference")}
  changes = [f"--config.base.{name}={value}" for name, value in changes.items()]
  flags = [f"--config={path}", f"--workdir={workdir}", *changes, *more]
  return launcher.run("tune", *flags)


def test_choices_are_the_same_where_there_are_no_test_tracks(
  tmp_path, launcher, parted
):
  whole = parted["corpus.path"]
  without = tmp_path / "without" / "tiny"
  shutil.copytree(whole, without)
  gone = [p for g in "ab" for p in (without / g).iterdir() if is_of_test(p)]
  assert len(gone) == 4
  for path in gone:
    path.unlink()
  tables = []
  for name, corpus in (("whole", whole), ("less", without)):
    done = tune(launcher, tmp_path, tmp_path / name, parted, corpus)
    assert done.returncode == 0, done.stderr
    tables.append((tmp_path / name / "tried.md").read_text())
    assert len(read_rows(tmp_path / name / "tried.jsonl")) == 2
    for path in (tmp_path / name).glob("*/scores.jsonl"):
      scored = {row["track"] for row in read_rows(path) if row["group"] in "ab"}
      assert {splits.part_of(track) for track in scored} == {"tune"}
  assert tables[0] == tables[1]
  assert "lsa_probe, eta_ref=0.2" in tables[0]


def is_of_test(path) -> bool:
  return splits.part_of(path.stem) == "test"


def test_a_grid_on_test_tracks_is_refused(tmp_path, launcher, parted):
  corpus = parted["corpus.path"]
  more = ("--config.base.part=test",)
  done = tune(launcher, tmp_path, tmp_path / "w", parted, corpus, *more)
  assert "choices are made on tune tracks" in complaint(done)


@pytest.mark.parametrize("part", splits.PARTS)
def test_parts_share_no_track(part):
  names = [f"track-{i}" for i in range(300)]
  parts = {name: splits.part_of(name) for name in names}
  assert set(parts.values()) == {"tune", "test"}
  assert part == "all" or 0.2 < list(parts.values()).count(part) / 300 < 0.8
