"""A sweep: the main table with every method, and ablations, as row files of a study."""

import json
import pathlib
from collections.abc import Sequence

from absl import logging

from lsaprobe_jax import diffusion, distances
from lsaprobe_jax import search as searches
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import study
from lsaprobe_jax.metrics.pivot import NFE_MATCHED
from lsaprobe_jax.scoring import factories, workdir
from lsaprobe_jax.scoring.ablations import OFF_CURVES, Rows, Runs, ablations, at_time
from lsaprobe_jax.scoring.experiment_inputs import fewest_timesteps
from lsaprobe_jax.scoring.factories import PROBE
from lsaprobe_jax.scoring.method_rows import run_blind, run_methods
from lsaprobe_jax.scoring.sweep_settings import SweepSettings, check_sweep
from lsaprobe_jax.scoring.targets import load_targets
from lsaprobe_jax.strict_json import to_json

# The probe at what the paper fixes of it, `sweep.paper`.
PAPER = "lsa_probe_paper"
# At this rate distances are tried; whether one is there does not depend on it.
_ANY_RATE = 16_000
# Ablations over times.
_TIMES = ("t_ratio", "equal_compute")


def sweep(
  settings: SweepSettings,
  folder: str | pathlib.Path,
  names: Sequence[str] = (),
  *,
  limit: int | None = None,
  main: bool = True,
) -> None:
  """Scores the main table and some ablations, and writes the row files of a study.

  A program is compiled once for all timesteps, seeds, targets and settings that are
  traced. The same call continues a sweep that was interrupted.

  Args:
    settings: see `SweepSettings`.
    folder: `main.jsonl`, `tune.jsonl` and a file for each ablation go here, and in
      `runs` what they are made of (`metrics.study` reads them).
    names: the ablations, among those of `ablations.ablations`.
    limit: at most so many clips of each half.
    main: whether the main table is scored, with the tune tracks; without it ablations
      alone are, and a study that has a main table can take them in
      (`report.reproduction.add`).

  Raises:
    SettingError: a setting cannot be used.
    ArgumentError: an ablation is unknown, or the folder cannot be used.
  """
  folder = pathlib.Path(folder)
  check(settings, names, main=main)
  if not main and (folder / f"{study.MAIN}.jsonl").exists():
    raise ArgumentError(
      f"workdir={folder}: it holds a main table, which --nomain would not compare with"
      " these settings; give a folder of its own"
    )
  runs = Runs(settings, folder, limit)
  if main:
    _write(folder, study.MAIN, main_rows(runs))
  if main and settings.part == "test":
    # Classifiers are fitted on tune tracks.
    tune = runs.open("tune", {"part": "tune"})
    _write(folder, study.TUNE, run_methods(tune, [PROBE, *settings.sweep.methods]))
  for name in names:
    # A variant has a blind baseline of its own.
    blind = [] if name in settings.sweep.variants else run_blind(runs.plain)
    rows: Rows = []
    for value, found in ablations(settings)[name](runs):
      rows += [row | {"value": value} for row in blind + found]
    # Whole, as a study takes what is there: what a kill leaves lies in `runs`.
    _write(folder, name, rows)
    logging.info("%s: %d rows", name, len(rows))
  workdir.note_environment(folder)


def main_rows(runs: Runs) -> Rows:
  """Scores by all methods of the main table: as tuned, and at the probe's NFE.

  Behind them stands the probe under `sweep.paper`, called `lsa_probe_paper`.
  """
  settings = runs.settings.sweep
  names = [PROBE, *settings.methods, *settings.matched_names]
  rows = run_blind(runs.main) + run_methods(runs.main, names)
  if not settings.paper:
    return rows
  probed = run_methods(runs.open("paper", dict(settings.paper)), [PROBE])
  return rows + [row | {"method": PAPER} for row in probed]


def check(settings: SweepSettings, names: Sequence[str], *, main: bool = True) -> None:
  """Refuses, before anything is scored, what would only fail on the way.

  Raises:
    SettingError: a setting cannot be used.
    ArgumentError: an ablation is unknown, has no values, or needs curves where the
      search gives none.
  """
  check_sweep(settings)
  known = ablations(settings)
  if unknown := set(names) - set(known):
    raise ArgumentError(f"ablations={min(unknown)}: known: {', '.join(known)}")
  for name in names:
    field = "t_ratio" if name == "times" else name
    if not getattr(settings.sweep, field, settings.sweep.variants.get(name)):
      raise ArgumentError(f"ablations={name}: the setting sweep.{field} is empty")
    if field in _TIMES:
      _check_times(settings, field)
  read_off = set(OFF_CURVES).intersection(names)
  if read_off and not searches.gives_curves(factories.make_search(settings.search)):
    raise ArgumentError(
      f"ablations={min(read_off)} needs a search that gives curves:"
      " search.name=continuation or random_directions"
    )
  if main or set(names) - set(settings.sweep.variants):
    _check_baselines(settings)
  for name in set(names).intersection(settings.sweep.variants):
    for label, changes in settings.sweep.variants[name].items():
      _check_variant(f"sweep.variants.{name}.{label}", settings, changes)


def _load(settings):
  return load_targets(
    settings.targets,
    num_inference_steps=settings.num_inference_steps,
    precision=settings.precision,
    stop_at=settings.stop_at,
    untrained=settings.untrained,
    seed=settings.seed,
  )


def _check_baselines(settings: SweepSettings) -> None:
  """Refuses baselines that could not be made, whatever their distance is."""
  fewest = fewest_timesteps(_load(settings))
  for name in settings.baselines:
    ratio, attack = factories.make_baseline(settings, name, distance=None)
    factories.check_times(name, attack, ratio, fewest)


def _check_times(settings: SweepSettings, field: str) -> None:
  """Refuses times of an ablation that a schedule does not have."""
  targets = _load(settings)
  fewest = fewest_timesteps(targets)
  sweep = settings.sweep
  names = sweep.compared_names if field == "equal_compute" else sweep.compared
  compared = {name.removesuffix(NFE_MATCHED) for name in names}
  for value in getattr(sweep, field):
    try:
      for target in targets:
        diffusion.timestep(target.model.schedule, value)
      changed = settings.experiment.changed(at_time(settings, value))
      for name in compared & set(changed.baselines):
        ratio, attack = factories.make_baseline(changed, name, distance=None)
        factories.check_times(name, attack, ratio, fewest)
    except (SettingError, ArgumentError) as error:
      raise SettingError(f"sweep.{field}: {error}") from error


def _check_variant(named: str, settings: SweepSettings, changes) -> None:
  """Refuses a variant whose distance or models are not there."""
  distance = changes.get("distance", settings.distance)
  try:
    distances.get(distance, sample_rate=_ANY_RATE)
  except SettingError as error:
    raise SettingError(f"{named}.{error}") from error
  if "targets" not in changes:
    return
  try:
    _load(settings.experiment.changed(changes))
  except SettingError as error:
    raise SettingError(f"{named}.{error}") from error


def _write(folder: pathlib.Path, name: str, rows: Rows) -> None:
  lines = (json.dumps(to_json(row), allow_nan=False) + "\n" for row in rows)
  write_whole(folder / f"{name}.jsonl", "".join(lines))
