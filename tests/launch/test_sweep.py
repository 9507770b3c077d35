"""launch.sweep from its command line: flags, figures, the same bytes once more."""

import pathlib
import shutil

import pytest
import tiny_parted
from launching import complaint
from stored_rows import read_rows

from configs import sweep_mini
from lsaprobe_jax.scoring.sweep import sweep
from lsaprobe_jax.scoring.sweep_settings import SweepSettings

# A main table of two methods, and an ablation that is read off its curves.
SMALL = {
  "sweep.methods": ("loss",),
  "sweep.nfe_matched": (),
  "sweep.compared": ("lsa_probe", "loss"),
  "sweep.eta_max": (0.1, 0.8),
  "sweep.paper.distance": "log_mel",
}


@pytest.fixture(scope="module")
def parted(tmp_path_factory):
  return tiny_parted.changes(tmp_path_factory.mktemp("of"))


def flags(workdir: pathlib.Path, changes, *ablations: str) -> list[str]:
  own = [f"--config.{name}={value}" for name, value in changes.items()]
  ways = [f"--workdir={workdir}", f"--ablations={','.join(ablations)}"]
  return ["--config=configs/sweep_mini.py", *ways, *own]


def files(folder: pathlib.Path) -> dict[str, bytes]:
  """Contents by path, but for who made them and when."""
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file() and path.suffix != ".lock" and path.name != "environment.json"
  }


def test_the_command_goes_on_where_the_function_ended(tmp_path, launcher, parted):
  """In an interpreter that hashes strings in its own way, to the same bytes."""
  settings = SweepSettings.from_dict(sweep_mini.get_config().to_dict())
  sweep(settings.changed(parted | SMALL), tmp_path / "function", ("eta_max",))
  made = files(tmp_path / "function")
  # This process holds the other folder.
  shutil.copytree(tmp_path / "function", tmp_path / "command")
  for name in ("main", "eta_max"):
    (tmp_path / "command" / f"{name}.jsonl").unlink()
  args = flags(tmp_path / "command", parted | SMALL, "eta_max")
  done = launcher.run_afresh("sweep", *args)
  assert done.returncode == 0, done.stderr
  again = files(tmp_path / "command")
  assert made.items() <= again.items()
  drawn = {f"figures/{name}.svg" for name in ("methods", "roc", "eta_max")}
  assert drawn | {"summary.json", "ablations.json", "tables.md"} <= again.keys()
  assert again["tables.md"].decode().strip() == done.stdout.strip()
  values = {row["value"] for row in read_rows(tmp_path / "command" / "eta_max.jsonl")}
  assert values == {0.1, 0.8}


def test_what_cannot_be_run_ends_in_a_line(tmp_path, launcher, parted):
  args = flags(tmp_path / "w", parted, "colour")
  line = complaint(launcher.run("sweep", *args))
  assert line.startswith("error: --ablations=colour: known: t_ratio, equal_compute")
  assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_a_whole_sweep_goes_on_where_it_was(tmp_path, launcher, parted):
  ablations = (*tiny_parted.ABLATIONS, "settings")
  args = flags(tmp_path, parted | tiny_parted.SWEEP, *ablations)
  done = launcher.run("sweep", *args)
  assert done.returncode == 0, done.stderr
  made = files(tmp_path)
  assert {f"{name}.jsonl" for name in ablations} <= made.keys()
  assert launcher.run_afresh("sweep", *args).returncode == 0
  assert files(tmp_path) == made
