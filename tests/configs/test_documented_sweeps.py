"""Commands of sweeps in documents and configurations name ablations that there are."""

import importlib
import pathlib
import re

import pytest

from lsaprobe_jax.scoring.ablations import ablations
from lsaprobe_jax.scoring.sweep_settings import SweepSettings

ROOT = pathlib.Path(__file__).parents[2]
FOLDERS = (".", "docs", "configs", "results", "benchmarks", "lsaprobe_jax/weights")
COMMAND = re.compile(r"python -m launch\.sweep\s(?P<flags>[^\n`]*)")


def commands():
  """(file, configuration, argument, ablations) of every command."""
  found = []
  files = [p for name in FOLDERS for p in (ROOT / name).glob("*") if p.is_file()]
  files += list((ROOT / "results").glob("*/*.md"))
  for path in (path for path in files if path.suffix in (".md", ".py")):
    # A command goes on behind a backslash.
    for command in COMMAND.finditer(path.read_text().replace("\\\n", " ")):
      flags = dict(re.findall(r"--(\w+)=(\S+)", command["flags"]))
      name, _, arg = flags.get("config", "").partition(":")
      if name and "ablations" in flags and not {"[", "$"} & set(str(flags)):
        named = pathlib.PurePath(name).stem
        found.append(
          (str(path.relative_to(ROOT)), named, arg, flags["ablations"].rstrip(").,]"))
        )
  return found


@pytest.mark.parametrize(("path", "config", "arg", "names"), commands())
def test_a_documented_sweep_is_of_ablations_that_there_are(path, config, arg, names):
  module = importlib.import_module(f"configs.{config}")
  made = module.get_config(*([arg] if arg else []))
  known = ablations(SweepSettings.from_dict(made.to_dict()))
  assert set(names.split(",")) <= set(known), path


def test_commands_are_found():
  files = {path for path, *_ in commands()}
  assert {"docs/dose.md", "RESULTS.md", "configs/sweep_dose.py"} <= files
