"""Ablations of a sweep: each yields the values of what it varies, and their rows."""

import copy
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

from lsaprobe_jax import search as searches
from lsaprobe_jax.metrics import study
from lsaprobe_jax.metrics.pivot import NFE_MATCHED
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.rows import CURVE, Row
from lsaprobe_jax.scoring.experiment import Evaluation, open_evaluation
from lsaprobe_jax.scoring.factories import ANCHORED, PROBE, make_search, probe_form
from lsaprobe_jax.scoring.method_rows import run_blind, run_methods
from lsaprobe_jax.scoring.probe_rows import read_probe_rows, with_costs
from lsaprobe_jax.scoring.row_store import RowStore
from lsaprobe_jax.scoring.sweep_settings import SweepSettings

Rows = list[Row]
Values = Iterator[tuple[Any, Rows]]

# Runs of the main table, which set cutoffs on development clips whatever is swept.
_WITH_CUTS = ("main", "paper")


class Runs:
  """Evaluations of one experiment and its variations, which share their programs."""

  def __init__(
    self, settings: SweepSettings, folder: pathlib.Path, limit: int | None = None
  ):
    """Opens nothing yet.

    Args:
      settings: see `SweepSettings`.
      folder: each run has a folder of its own in its sub-folder `runs`.
      limit: at most so many clips of each half.
    """
    self.settings, self._folder, self._limit = settings, folder, limit
    self._scorer = None

  @functools.cached_property
  def main(self) -> Evaluation:
    """The main run, opened when it is first asked for."""
    return self.open("main", {})

  @functools.cached_property
  def plain(self) -> Evaluation:
    """The main run as ablations use it, which set no cutoffs."""
    return dataclasses.replace(self.main, cuts=False)

  def open(
    self, name: str, changes: dict[str, Any], *, cuts: bool = False
  ) -> Evaluation:
    """Opens a run with some settings changed, in a folder of its own.

    Args:
      name: of the folder.
      changes: by dotted names.
      cuts: whether development clips are scored too (`Evaluation`).
    """
    run = open_evaluation(
      self.settings.experiment.changed(changes),
      self._folder / "runs" / name,
      limit=self._limit,
      cuts=cuts or name in _WITH_CUTS,
    )
    self._scorer = self._scorer or run.scorer
    scorer = copy.copy(self._scorer).reseeded(run.settings.seed)
    return dataclasses.replace(run, scorer=scorer)

  def vary(self, changes: dict[str, Any]) -> Evaluation:
    """The main run with changes that its rows tell apart: distance, t_ratio."""
    settings = self.main.settings.changed(changes)
    return dataclasses.replace(self.plain, settings=settings)


def at_time(settings: SweepSettings, t_ratio: float) -> dict[str, Any]:
  """Changes that set the probe and the baselines compared with it to one t."""
  names = ["random_stability", *settings.sweep.nfe_matched]
  names += [name.removesuffix(NFE_MATCHED) for name in settings.sweep.compared]
  changes = {"t_ratio": t_ratio}
  for name in names:
    if name == ANCHORED:
      changes["anchored.t_ratio"] = t_ratio
    elif name in settings.baselines:
      changes[f"baselines.{name}.t_ratio"] = t_ratio
  return changes


def t_ratio(runs: Runs) -> Values:
  """The probe and its baselines by time."""
  for value in runs.settings.sweep.t_ratio:
    names = runs.settings.sweep.compared
    run = _varied(runs, f"t_ratio-{value:g}", at_time(runs.settings, value), names)
    yield value, run_methods(run, names)


def equal_compute(runs: Runs) -> Values:
  """`t_ratio` again, and baselines that may spend the probe's NFE."""
  for value in runs.settings.sweep.equal_compute:
    names = runs.settings.sweep.compared_names
    run = _varied(runs, f"t_ratio-{value:g}", at_time(runs.settings, value), names)
    yield value, run_methods(run, names)


def times(runs: Runs) -> Values:
  """Scores averaged over times, the first 1, 2, ... of those of `t_ratio`."""
  rows: Rows = []
  for count, value in enumerate(runs.settings.sweep.t_ratio, 1):
    names = runs.settings.sweep.compared
    run = _varied(runs, f"t_ratio-{value:g}", at_time(runs.settings, value), names)
    rows += run_methods(run, names)
    yield count, study.pool(rows, over="t_ratio")


def distance(runs: Runs) -> Values:
  """The probe and its baselines by distance, all at the probe's own t."""
  for value in runs.settings.sweep.distance:
    changes = at_time(runs.settings, runs.settings.t_ratio) | {"distance": value}
    names = runs.settings.sweep.compared_names
    yield value, run_methods(_varied(runs, f"distance-{value}", changes, names), names)


def _varied(
  runs: Runs, name: str, changes: dict[str, Any], methods: Sequence[str]
) -> Evaluation:
  """The main run with changes of distance and time, which its rows tell apart.

  Where a search's NFE depend on them those of a matched baseline do too, which its rows
  do not tell apart: such a run has a folder of its own, and takes the other rows over.
  """
  constant = searches.gives_curves(make_search(runs.settings.search))
  if constant or not any(method.endswith(NFE_MATCHED) for method in methods):
    return runs.vary(changes)
  run = runs.open(name, changes)
  _take_over(run, _Scored.of(runs.plain), {target.name for target in run.targets})
  return run


def eta_max(runs: Runs) -> Values:
  """The probe by its largest budget, off the curves of the main run; and baselines."""
  probed, others = _main_rows(runs)
  kept = {(row["model"], row["clip"]): row for row in probed}
  curves = {(row["model"], row["clip"]): row for row in _main_curves(runs)}
  for value in runs.settings.sweep.eta_max:
    rows: Rows = []
    # tau is a model's own, and the curves of one are read together.
    for model in dict.fromkeys(model for model, _ in kept):
      keys = [key for key in kept if key[0] == model]
      own = [curves[key] for key in keys]
      rows += with_costs(own, kept[keys[0]]["tau"], eta_max=value)
    yield value, rows + others


def eta_ref(runs: Runs) -> Values:
  """The probe by the budget whose D calibrates tau, off the main curves; and baselines.

  Below the search's lowest rung D is read as a straight line from 0.
  """
  _, others = _main_rows(runs)
  curves = _main_curves(runs)
  for value in runs.settings.sweep.eta_ref:
    form = probe_form(runs.plain.settings)
    form = dataclasses.replace(form, tau=dataclasses.replace(form.tau, eta_ref=value))
    yield value, read_probe_rows(runs.plain, curves, form) + others


def draws(runs: Runs) -> Values:
  """Scores averaged over draws of eps, the first 1, 2, ... of them."""
  rows: Rows = []
  settings = runs.settings
  for draw in range(max(settings.sweep.draws, default=0)):
    seed = settings.seed + draw
    run = runs.open(f"seed-{seed}", {"seed": seed}) if draw else runs.plain
    rows += run_methods(run, settings.sweep.compared)
    if draw + 1 in settings.sweep.draws:
      yield draw + 1, study.pool(rows, over="seed")


def variant(name: str, runs: Runs) -> Values:
  """The probe and its baselines, or `compared_in`, under each of some changes.

  The main run is opened only where one of its own models or rows is needed.
  """
  sweep = runs.settings.sweep
  variants = sweep.variants[name]
  names = sweep.compared_in.get(name, sweep.compared_names)
  cuts = name in sweep.with_development
  scored: list[_Scored] = []
  main = None
  if "main" in vars(runs) or not all(variants.values()):
    main = runs.main if cuts else runs.plain
    scored.append(_Scored.of(main))
  # Labels that are numbers in their order; a ConfigDict's come in that of the alphabet.
  for label in sorted(variants, key=lambda label: (len(label), label)):
    changes = variants[label]
    run = runs.open(f"{name}-{label}", changes, cuts=cuts) if changes else main
    if run is not main:
      _bring(run, scored)
      scored.append(_Scored.of(run))
    # Another corpus or rate is another test of the split, with a blind baseline.
    yield _number(label), run_blind(run) + run_methods(run, names)


class _Scored(NamedTuple):
  """What is kept of a run: its rows, and not its models and clips."""

  settings: dict[str, Any]  # Models left out.
  models: set[tuple[str, str | None, str | None]]
  stores: dict[str, RowStore]

  @classmethod
  def of(cls, run: Evaluation) -> Self:
    return cls(
      run.settings.to_dict() | {"targets": {}},
      {_model(target) for target in run.targets},
      {name: getattr(run, name) for name in ("scores", "calibration", "curves")},
    )


def _model(target: TrainedModel) -> tuple[str, str | None, str | None]:
  return target.name, target.weights_sha256, target.described_sha256


def _bring(run: Evaluation, earlier: list[_Scored]) -> None:
  """Takes over rows of models that earlier runs have scored under the same settings.

  Snapshots of a training share their reference model, a third of what is scored. What
  is matched to the probe's NFE goes by those of the other models too, and is left out.
  """
  now = _Scored.of(run)
  for other in earlier:
    # Random weights are another model's, whatever the file.
    if other.settings != now.settings or run.settings.untrained:
      continue
    _take_over(run, other, {name for name, *_ in now.models & other.models})


def _take_over(run: Evaluation, other: _Scored, models: set[str]) -> None:
  """Adds an earlier run's rows of some models, but for what is matched to its NFE."""
  for name, rows in other.stores.items():
    own = getattr(run, name)
    new = [
      row
      for row in rows.rows
      if row["model"] in models
      and row not in own
      and not row["method"].endswith(NFE_MATCHED)
    ]
    if new:
      own.append(new)


def _number(label: str) -> int | str:
  """What a label of a variant says, so that figures have an axis."""
  return int(label) if label.isdecimal() else label


def _main_rows(runs: Runs) -> tuple[Rows, Rows]:
  """Rows of the main run: the probe's, and its baselines'."""
  rows = run_methods(runs.plain, runs.settings.sweep.compared_names)
  own = [row for row in rows if row["method"] == PROBE]
  return own, [row for row in rows if row["method"] != PROBE]


def _main_curves(runs: Runs) -> Rows:
  """D against eta of all clips, at the main run's t and distance."""
  names = {"t_ratio": runs.settings.t_ratio, "distance": runs.settings.distance}
  names |= {"method": CURVE}
  return [row for row in runs.plain.curves.asked if names.items() <= row.items()]


_KNOWN: dict[str, Callable[[Runs], Values]] = {
  "t_ratio": t_ratio,
  "equal_compute": equal_compute,
  "times": times,
  "eta_max": eta_max,
  "eta_ref": eta_ref,
  "distance": distance,
  "draws": draws,
}
# Those that are read off curves.
OFF_CURVES = ("eta_max", "eta_ref")


def ablations(settings: SweepSettings) -> dict[str, Callable[[Runs], Values]]:
  """All that a sweep can vary: what is written here, and the settings' variants."""
  variants = settings.sweep.variants
  return _KNOWN | {name: functools.partial(variant, name) for name in variants}
