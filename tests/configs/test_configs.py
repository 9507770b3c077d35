"""Every configuration builds, and the library takes it as it stands."""

import ast
import importlib
import itertools
import os
import pathlib
import re
import subprocess
import sys

import pytest

from configs import mini, sweep_mini
from lsaprobe_jax import attacks
from lsaprobe_jax.audit import AuditSettings
from lsaprobe_jax.metrics.pivot import NFE_MATCHED
from lsaprobe_jax.scoring import factories
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.scoring.sweep import check
from lsaprobe_jax.scoring.sweep_settings import SweepSettings, check_sweep
from lsaprobe_jax.scoring.tuning import Tuning
from lsaprobe_jax.training.settings import TrainSettings

ROOT = pathlib.Path(__file__).parents[2]
_CORPORA, _GROUPS = ("multigenre", "piano"), ("a", "b", "reference")
_CELLS = [
  "-".join(names) for names in itertools.product(("diffwave", "musicldm"), _CORPORA)
]
_PAIRS = [",".join(names) for names in itertools.product(_CORPORA, _GROUPS)]
_EXTRA = [f"extra,{group}" for group in _GROUPS]
# The class of settings that takes a configuration, and its arguments.
CONFIGS = {
  "audit": (AuditSettings, [None]),
  "dose": (Experiment, [None, "10", "30", "100", "diffwave,100", "diffwave,300"]),
  "grid": (Experiment, _CELLS),
  "mini": (Experiment, [None, *_CORPORA]),
  "musicldm": (Experiment, [None]),
  "paper_diffwave": (Experiment, [None, "multigenre", "maestro", "fma", "extra"]),
  "paper_musicldm": (Experiment, [None, "maestro", "fma"]),
  "paper_train": (
    TrainSettings,
    [
      ",".join(names)
      for names in itertools.product(
        ("diffwave", "musicldm"), ("maestro", "fma"), _GROUPS
      )
    ],
  ),
  "sweep_dose": (SweepSettings, [None]),
  "sweep_extra": (SweepSettings, [None]),
  "sweep_grid": (SweepSettings, [None, *_CELLS]),
  "sweep_larger": (SweepSettings, [None, "core", "core-full", "chorales"]),
  "sweep_mini": (
    SweepSettings,
    [None, *_CORPORA, *(f"{corpus},study" for corpus in _CORPORA)],
  ),
  "train_diffwave": (TrainSettings, [None, *_PAIRS, "core,a", "core-full,b", *_EXTRA]),
  "train_dose": (
    TrainSettings,
    [
      *(None, "diffwave,a", "diffwave,b,1", "musicldm,base", "stable_audio,a"),
      *("musicldm,a,0,piano", "ace_step,b"),
    ],
  ),
  "train_ace_step": (TrainSettings, [None]),
  "train_stable_audio": (TrainSettings, [None]),
  "train_musicldm": (TrainSettings, ["vae", "vocoder", *_PAIRS]),
  "tune_dose": (Tuning, [None, "musicldm"]),
  "tune_mini": (Tuning, [None, "baselines", "settings", "probe", "own", "cdpam"]),
  "tune_musicldm": (Tuning, [None, "baselines", "waveform", "mr_stft"]),
  "tune_twins": (Tuning, [None, "panel", "anchors"]),
}
ALL = [(name, arg) for name, (_, args) in CONFIGS.items() for arg in args]


def build(name: str, arg: str | None):
  """A configuration, as launchers have it of `--config=configs/NAME.py:ARG`."""
  module = importlib.import_module(f"configs.{name}")
  return module.get_config(*([] if arg is None else [arg]))


def test_no_configuration_is_left_out():
  names = {path.stem for path in (ROOT / "configs").glob("*.py")}
  assert names == {"__init__", *CONFIGS}


@pytest.mark.parametrize(("name", "arg"), ALL)
def test_the_library_takes_a_configuration_as_it_stands(name, arg):
  settings = CONFIGS[name][0]
  made = settings.from_dict(build(name, arg).to_dict())
  if isinstance(made, SweepSettings):
    check_sweep(made)
  if isinstance(made, Experiment | AuditSettings):
    factories.check_searches(made.search)
    for method in made.methods:
      method = method.removesuffix(NFE_MATCHED)
      if method not in (factories.PROBE, factories.ANCHORED):
        factories.make_baseline(made, method, distance=None)
  if isinstance(made, Tuning):
    assert made.grid
    assert {tried.part for _, tried in made.grid} == {"tune"}


def test_reading_configurations_starts_no_device():
  """A launcher makes each core a device, which must come before JAX does anything."""
  script = (
    "import importlib, sys\n"
    "for name in sys.argv[1:]:\n"
    "  importlib.import_module('configs.' + name).get_config()\n"
    "from lsaprobe_jax import parallel\n"
    "parallel.use_all_cpu_cores(3)\n"
    "import jax; assert len(jax.devices()) == 3\n"
  )
  names = [name for name, (_, args) in CONFIGS.items() if None in args]
  env = dict(os.environ, JAX_PLATFORMS="cpu", XLA_FLAGS="")
  subprocess.run([sys.executable, "-c", script, *names], check=True, cwd=ROOT, env=env)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_opens_with_a_command_that_runs_it(name):
  text = importlib.import_module(f"configs.{name}").__doc__
  commands = re.findall(r"python -m launch\.(\w+)", text)
  assert commands
  assert all((ROOT / "launch" / f"{command}.py").exists() for command in commands)
  named = set(re.findall(r"configs/(\w+)\.py", text))
  assert named <= set(CONFIGS)
  # What audits do by default is said without naming the file.
  assert name in named or name == "audit"
  for config, arg in re.findall(r"configs/(\w+)\.py:([\w,-]+)(?![\w$,-])", text):
    build(config, arg)


@pytest.mark.parametrize("name", ["mini", "paper_diffwave"])
def test_a_flat_configuration_is_read_without_another(name):
  tree = ast.parse((ROOT / "configs" / f"{name}.py").read_text())
  imported = {
    alias.name if isinstance(node, ast.Import) else node.module
    for node in ast.walk(tree)
    if isinstance(node, ast.Import | ast.ImportFrom)
    for alias in node.names
  }
  assert imported == {"ml_collections"}


def test_audits_do_by_default_what_their_configuration_says():
  assert AuditSettings.from_dict(build("audit", None).to_dict()) == AuditSettings()


@pytest.mark.parametrize(
  ("name", "arg"), [pair for pair in ALL if pair[0].startswith("sweep")]
)
def test_a_sweep_names_only_methods_that_there_are(name, arg):
  sweep = SweepSettings.from_dict(build(name, arg).to_dict()).sweep
  named = {*sweep.methods, *sweep.nfe_matched, *sweep.compared}
  named |= {method for own in sweep.compared_in.values() for method in own}
  plain = {method.removesuffix(NFE_MATCHED) for method in named}
  assert plain - {factories.PROBE, factories.ANCHORED} <= set(attacks.names())


def test_the_default_sweep_passes_every_check_of_its_ablations():
  settings = SweepSettings.from_dict(sweep_mini.get_config().to_dict())
  # Models of earlier epochs are not embedded.
  check(settings, ("t_ratio", "equal_compute", "eta_max", "eta_ref", "draws", "norm"))


def test_the_study_goes_on_where_the_default_ended():
  default, study = (
    sweep_mini.get_config(arg).to_dict() for arg in ("multigenre", "multigenre,study")
  )
  less, more = default.pop("sweep"), study.pop("sweep")
  # Twins have a study of their own.
  own = mini.get_config().to_dict() | {"twins": default["twins"]}
  assert default["twins"]["names"] == ()
  assert default == study == own
  for field in ("nfe_matched", "t_ratio"):
    assert set(less.pop(field)) < set(more.pop(field))
  assert less == more


def test_variants_change_what_there_is():
  settings = SweepSettings.from_dict(sweep_mini.get_config().to_dict())
  variants = settings.sweep.variants
  for name, changes in variants["settings"]["tuned"]["baselines"].items():
    for setting, value in changes.items():
      assert settings.baselines[name][setting] != value
  for name, labels in variants.items():
    for changes in labels.values():
      changed = settings.experiment.changed(changes)
      assert (changed == settings.experiment) == (changes == {}), name


@pytest.mark.parametrize(
  ("name", "arg", "message"),
  [
    ("mini", "opera", "no embedded corpus 'opera'; known: multigenre, piano"),
    ("sweep_mini", "multigenre,all", "known: CORPUS and CORPUS,study"),
    ("tune_mini", "jazz", "no grid 'jazz'; known: baselines"),
  ],
)
def test_another_argument_is_refused(name, arg, message):
  with pytest.raises(ValueError, match=message):
    build(name, arg)
