"""The main table with every method, and ablations: one command, one compilation.

python -m launch.sweep --config=configs/mini.py --workdir=runs/sweep
  [--ablations=t_ratio,eta_max,eta_ref]

`config.sweep` says what is varied. A program is compiled once for all timesteps,
seeds, targets and methods' settings that are traced; a new distance or number of steps
is another program. eta_max is read off the curves that are there.

Ablations read the same tracks as the main table (`config.part`) and nothing is chosen
from them: choices are made with launch.tune, on tune tracks. On those this command
scores the methods again, for classifiers to be fitted on.

Everything goes to WORKDIR: row files (`experiment.study`), summary.json, tidy records
of the ablations in ablations.json, tables in tables.md, figures/*.png and *.svg. The
same command continues a run that was interrupted.
"""

import copy
import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from launch import command, common
from lsaprobe_jax import distances
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import read_costs
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import study, summary
from lsaprobe_jax.report import studies
from lsaprobe_jax.scoring import experiment, factories, variations
from lsaprobe_jax.strict_json import to_json

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Rows, tables and figures go here.")
_LIMIT = flags.DEFINE_integer(
  "limit", None, "Score at most this many clips of each half.", lower_bound=2
)
_ABLATIONS = flags.DEFINE_list(
  "ablations", ["t_ratio", "eta_max", "eta_ref"], "Which of `config.sweep` to run."
)

Rows = list[dict[str, Any]]

# Of what is only tried: whether a distance is there does not hang on it.
_ANY_RATE = 16_000

# Runs of the main table, which alone has cuts.
_CUT = ("main", "paper")

# The probe at what the paper fixes of it, `config.sweep.paper`.
PAPER = "lsa_probe_paper"


class Sweep:
  """Runs of one configuration and its variations, with one scorer."""

  def __init__(self, config: ConfigDict, workdir: pathlib.Path, limit: int | None):
    self._config, self._workdir, self._limit = config, workdir, limit
    self._scorer = None
    self.main = self.open("main", {})
    # Of ablations, which have no cuts.
    self.run = dataclasses.replace(self.main, cuts=False)

  def open(self, folder: str, changes: dict[str, Any]) -> experiment.Evaluation:
    """An evaluation in a folder of its own, with some settings changed."""
    config = copy.deepcopy(self._config)
    with config.unlocked():
      config.update(changes)
      # What else is to be run makes no row another: it may grow later.
      del config.sweep
      config.methods = ()
    run = experiment.load(
      config,
      self._workdir / "runs" / folder,
      self._limit,
      cuts=folder in _CUT,
    )
    self._scorer = self._scorer or run.scorer
    return dataclasses.replace(run, scorer=self._scorer.reseeded(config.seed))

  def vary(self, changes: dict[str, Any]) -> experiment.Evaluation:
    """The main run with changes that its rows tell apart: distance, t_ratio."""
    config = copy.deepcopy(self._config)
    config.update_from_flattened_dict(changes)
    return dataclasses.replace(self.run, config=config)


def main_rows(sweep: Sweep, config: ConfigDict) -> Rows:
  """Rows of all methods of the main table: as tuned, matched, the paper's probe."""
  names = [factories.PROBE, *config.sweep.methods, *factories.nfe_matched(config.sweep)]
  rows = experiment.run_blind(sweep.main) + experiment.run_methods(sweep.main, names)
  if not config.sweep.paper:
    return rows
  paper = sweep.open("paper", dict(config.sweep.paper))
  probed = experiment.run_methods(paper, [factories.PROBE])
  return rows + [row | {"method": PAPER} for row in probed]


def _at_times(config: ConfigDict, t_ratio: float) -> dict[str, Any]:
  """Changes that set the probe and the methods compared with it to one t."""
  names = ["random_stability", *config.sweep.nfe_matched]
  names += [name.removesuffix(summary.NFE_MATCHED) for name in config.sweep.compared]
  own = {f"baselines.{n}.t_ratio": t_ratio for n in names if n != factories.PROBE}
  return {"t_ratio": t_ratio, **own}


def t_ratio(sweep: Sweep, config: ConfigDict) -> Iterator[tuple[Any, Rows]]:
  """The probe and its rivals by time."""
  for value in config.sweep.t_ratio:
    run = sweep.vary(_at_times(config, value))
    yield value, experiment.run_methods(run, config.sweep.compared)


def equal_compute(sweep: Sweep, config: ConfigDict) -> Iterator[tuple[Any, Rows]]:
  """`t_ratio` again, and rivals that may spend as many evaluations as the probe."""
  for value in config.sweep.equal_compute:
    run = sweep.vary(_at_times(config, value))
    yield value, experiment.run_methods(run, factories.compared(config.sweep))


def times(sweep: Sweep, config: ConfigDict) -> Iterator[tuple[Any, Rows]]:
  """Scores averaged over times, the first 1, 2, ... of those of `t_ratio`."""
  rows: Rows = []
  for count, value in enumerate(config.sweep.t_ratio, 1):
    run = sweep.vary(_at_times(config, value))
    rows += experiment.run_methods(run, config.sweep.compared)
    yield count, study.pool(rows, over="t_ratio")


def distance(sweep: Sweep, config: ConfigDict) -> Iterator[tuple[Any, Rows]]:
  """The probe and its rivals by distance, all at the probe's own t."""
  for value in config.sweep.distance:
    changes = _at_times(config, config.t_ratio) | {"distance": value}
    yield (
      value,
      experiment.run_methods(sweep.vary(changes), factories.compared(config.sweep)),
    )


def eta_max(sweep: Sweep, config: ConfigDict) -> Iterator[tuple[Any, Rows]]:
  """The probe by its largest budget, off the curves of the main run, and its rivals."""
  probed, rivals = _with_rivals(sweep, config)
  kept = {(row["model"], row["clip"]): row for row in probed}
  curves = {(row["model"], row["clip"]): row for row in _main_curves(sweep, config)}
  for value in config.sweep.eta_max:
    rows: Rows = []
    # tau is a model's own, and the curves of one are read together.
    for model in dict.fromkeys(model for model, _ in kept):
      keys = [key for key in kept if key[0] == model]
      costs = read_costs(
        [curves[key]["budgets"] for key in keys],
        [curves[key]["degradations"] for key in keys],
        kept[keys[0]]["tau"],
        value,
      )
      rows += [kept[key] | cost for key, cost in zip(keys, costs, strict=True)]
    yield value, rows + rivals


def eta_ref(sweep: Sweep, config: ConfigDict) -> Iterator[tuple[Any, Rows]]:
  """The probe by the budget whose D sets tau, off the main curves, and its rivals.

  Below the search's lowest rung D is read as a straight line from 0.
  """
  _, rivals = _with_rivals(sweep, config)
  curves = _main_curves(sweep, config)
  for value in config.sweep.eta_ref:
    yield value, experiment.probe_rows(sweep.run, curves, value) + rivals


def _with_rivals(sweep: Sweep, config: ConfigDict) -> tuple[Rows, Rows]:
  """Rows of the main run: the probe's, and its rivals'."""
  rows = experiment.run_methods(sweep.run, factories.compared(config.sweep))
  own = [row for row in rows if row["method"] == factories.PROBE]
  return own, [row for row in rows if row["method"] != factories.PROBE]


def _main_curves(sweep: Sweep, config: ConfigDict) -> Rows:
  """D against eta of all clips, at the main run's t and distance."""
  names = {"t_ratio": config.t_ratio, "distance": config.distance}
  return [row for row in sweep.run.curves.asked if names.items() <= row.items()]


def draws(sweep: Sweep, config: ConfigDict) -> Iterator[tuple[Any, Rows]]:
  """Scores averaged over draws of eps, the first 1, 2, ... of them."""
  rows: Rows = []
  for draw in range(max(config.sweep.draws)):
    seed = config.seed + draw
    run = sweep.open(f"seed-{seed}", {"seed": seed}) if draw else sweep.run
    rows += experiment.run_methods(run, config.sweep.compared)
    if draw + 1 in config.sweep.draws:
      yield draw + 1, study.pool(rows, over="seed")


def variant(name: str, sweep: Sweep, config: ConfigDict) -> Iterator[tuple[Any, Rows]]:
  """The probe and its rivals, or `compared_in`, under each of some changes."""
  variants = config.sweep.variants[name]
  names = config.sweep.get("compared_in", {}).get(
    name, factories.compared(config.sweep)
  )
  # A ConfigDict's keys come in the order of the alphabet.
  for label in sorted(variants, key=lambda label: (len(label), label)):
    changes = variants[label].to_dict()
    run = sweep.open(f"{name}-{label}", changes) if changes else sweep.run
    # Of its own, as another corpus or rate is another test of the split.
    rows = experiment.run_blind(run)
    yield _number(label), rows + experiment.run_methods(run, names)


def _number(label: str) -> int | str:
  """What a label of a variant says, so that figures have an axis."""
  return int(label) if label.isdecimal() else label


_KNOWN = {
  "t_ratio": t_ratio,
  "equal_compute": equal_compute,
  "times": times,
  "eta_max": eta_max,
  "eta_ref": eta_ref,
  "distance": distance,
  "draws": draws,
}


def _ablations(config: ConfigDict) -> dict[str, Any]:
  """All that can be varied: what is written here, and the config's variants."""
  own = {name: functools.partial(variant, name) for name in config.sweep.variants}
  return _KNOWN | own


def _check(config: ConfigDict) -> None:
  """Refuses, before anything is scored, what would only fail on the way."""
  variations.check_sweep(config)
  _check_ablations(config)
  _check_methods(config)
  for name in set(_ABLATIONS.value).intersection(config.sweep.variants):
    for label, changes in config.sweep.variants[name].items():
      _check_distance(f"{name}.{label}", changes.get("distance", config.distance))
      _check_targets(f"{name}.{label}", config, changes)


def _check_ablations(config: ConfigDict) -> None:
  known = _ablations(config)
  if unknown := set(_ABLATIONS.value) - set(known):
    raise app.UsageError(f"--ablations={min(unknown)}: known: {', '.join(known)}")
  read_off = {"eta_max", "eta_ref"}.intersection(_ABLATIONS.value)
  if read_off and not searches.gives_curves(factories.make_search(config.search)):
    raise app.UsageError(
      f"--ablations={min(read_off)} needs a search that gives curves:"
      " --config.search.name=continuation or random_directions"
    )


def _check_methods(config: ConfigDict) -> None:
  targets, _ = common.load_targets(config)
  for name in config.baselines:
    # Its own settings alone: what its distance is does not matter.
    _, attack = factories.make_baseline(config, name, distance=None)
    factories.check_times(name, attack, common.fewest_times(targets))
  alone = {factories.PROBE, *config.baselines}
  # The others spend what their search does, and have nothing to repeat.
  repeated = alone - {factories.PROBE, "relative_degradation"}
  both = alone | {f"{name}{summary.NFE_MATCHED}" for name in repeated}
  sweep, compared_in = config.sweep, config.sweep.get("compared_in", {})
  if unknown := set(compared_in) - set(sweep.variants):
    raise app.UsageError(
      f"--config.sweep.compared_in: {min(unknown)!r} is not one of the variants,"
      f" {', '.join(sorted(sweep.variants))}"
    )
  for field, names, known in (
    ("methods", sweep.methods, alone),
    ("matched", sweep.nfe_matched, repeated),
    ("compared", sweep.compared, both),
    *((f"compared_in.{name}", own, both) for name, own in compared_in.items()),
  ):
    if unknown := set(names) - known:
      raise app.UsageError(
        f"--config.sweep.{field}: {min(unknown)!r} is not one of"
        f" {', '.join(sorted(known))}"
      )
    factories.check_order(f"sweep.{field}", names)


def _check_distance(variant: str, distance: str) -> None:
  """Refuses a distance that is not there, or whose weights are not."""
  try:
    distances.get(distance, sample_rate=_ANY_RATE)
  except (ValueError, OSError) as error:
    raise app.UsageError(
      f"--config.sweep.variants.{variant}.distance={distance}: {error}"
    ) from error


def _check_targets(variant: str, config: ConfigDict, changes: ConfigDict) -> None:
  """Refuses models that are not there."""
  if "targets" not in changes:
    return
  changed = copy.deepcopy(config).unlock()
  changed.update(changes.to_dict())
  try:
    common.load_targets(changed)
  except app.UsageError as error:
    raise app.UsageError(f"--config.sweep.variants.{variant}: {error}") from error


def _write(workdir: pathlib.Path, name: str, rows: Rows) -> None:
  lines = (json.dumps(to_json(row), allow_nan=False) + "\n" for row in rows)
  write_whole(workdir / f"{name}.jsonl", "".join(lines))


def main(argv):
  """Scores, then writes tables and figures."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_devices()
  config, workdir = _CONFIG.value, pathlib.Path(_WORKDIR.value)
  _check(config)
  with common.ending_in_one_line(f"the rows in {workdir}"):
    _sweep(config, workdir)
    print(_report(config, workdir))
    common.note_environment(workdir)


def _sweep(config: ConfigDict, workdir: pathlib.Path) -> None:
  """Scores all that was asked for, and writes the files of a study."""
  sweep = Sweep(config, workdir, _LIMIT.value)
  _write(workdir, study.MAIN, main_rows(sweep, config))
  if config.part == "test":
    tune = sweep.open("tune", {"part": "tune"})
    rows = experiment.run_methods(tune, [factories.PROBE, *config.sweep.methods])
    _write(workdir, study.TUNE, rows)
  blind = experiment.run_blind(sweep.run)
  for name in _ABLATIONS.value:
    rows = []
    for value, found in _ablations(config)[name](sweep, config):
      # A variant has its own.
      gated = found if name in config.sweep.variants else blind + found
      rows += [row | {"value": value} for row in gated]
    _write(workdir, name, rows)
    logging.info("%s: %d rows", name, len(rows))


def _report(config: ConfigDict, workdir: pathlib.Path) -> str:
  """Writes tables and figures of the study; returns the tables."""
  summarise = functools.partial(
    summary.summarise, resamples=config.bootstrap_resamples, seed=config.seed
  )
  return studies.report(study.read(workdir), workdir, summarise)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
