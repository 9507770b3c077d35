"""launch.tune from its command line."""

import pytest
import tiny_parted
from launching import complaint
from stored_rows import read_rows

# A grid of seconds, on whatever corpus and models the flags name.
CONFIG = """
from ml_collections import ConfigDict
from configs import tune_mini

def get_config():
  config = tune_mini.get_config("probe")
  config.eta_refs = (0.2,)
  config.base.targets = ConfigDict(dict(A="", B=""))
  config.base.methods = ("loss",)
  config.grid = [{"baselines.loss.t_ratio": t} for t in (0.2, 0.6)]
  return config
"""


@pytest.fixture
def flags(tmp_path):
  path = tmp_path / "small_grid.py"
  path.write_text(CONFIG)
  changes = tiny_parted.changes(tmp_path) | {"part": "tune"}
  del changes["targets.reference"]
  own = [f"--config.base.{name}={value}" for name, value in changes.items()]
  return [f"--config={path}", f"--workdir={tmp_path / 'tried'}", *own]


def test_a_grid_is_tried_and_tabulated(tmp_path, launcher, flags):
  done = launcher.run("tune", *flags)
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "tried" / "tried.md").read_text().strip() == done.stdout.strip()
  assert len(read_rows(tmp_path / "tried" / "tried.jsonl")) == 2
  assert "2 of 2" in done.stderr


def test_a_grid_on_test_tracks_ends_in_a_line(tmp_path, launcher, flags):
  line = complaint(launcher.run("tune", *flags, "--config.base.part=test"))
  assert line.startswith("error: --config.grid[0]: part is test: choices are made on")
  assert not (tmp_path / "tried").exists()
