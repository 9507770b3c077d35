"""Settings of the probe and its baselines tried on tune tracks, one by one."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from lsaprobe_jax import search as searches
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import difficulty, pivot, summary, tables
from lsaprobe_jax.scoring import factories
from lsaprobe_jax.scoring.experiment import Evaluation, open_evaluation
from lsaprobe_jax.scoring.factories import ANCHORED, PROBE
from lsaprobe_jax.scoring.method_rows import run_methods
from lsaprobe_jax.scoring.probe_rows import read_probe_rows, run_curves
from lsaprobe_jax.scoring.settings import WITHOUT_EFFECT, Experiment
from lsaprobe_jax.settings import above, check, plain

_COLUMNS = ("method", "model", "difficulty_calibration", "auc", "auc_ci", "reached")
_SPENT = ("nfe_forward", "nfe_backward")
_PARTS = ("base", "eta_refs", "grid")
# Intervals of what is only tried are looked at roughly.
_RESAMPLES = 200


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tuning:
  """What is tried.

  Attributes:
    base: the experiment that is changed; it scores tune tracks.
    eta_refs: every one is read off the curves of a setting, without another NFE.
    grid: by setting tried, the changes (dotted names), and the experiment they make.
  """

  base: Experiment
  eta_refs: tuple[float, ...]
  grid: tuple[tuple[dict[str, Any], Experiment], ...]

  @classmethod
  def from_dict(cls, values: Mapping[str, Any]) -> Self:
    """Makes all experiments of a grid and checks them, before the first is scored.

    Args:
      values: `base`, `eta_refs` and `grid`, a sequence of changes by dotted names.

    Raises:
      SettingError: a change of what is no setting, or to what it cannot be, or an
        experiment on other tracks than tune tracks.
    """
    if missing := [name for name in _PARTS if name not in values]:
      raise SettingError(
        f"{missing[0]}: the config has none; one that launch.tune tries has"
        f" {', '.join(_PARTS)}, as configs/tune_mini.py does"
      )
    check(values, (above(0, 1e6, "eta_refs"),))
    try:
      base = Experiment.from_dict(values["base"])
    except SettingError as error:
      raise SettingError(f"base.{error}") from error
    grid = []
    for number, changes in enumerate(values["grid"]):
      try:
        changed = base.changed(changes)
        factories.check_searches(changed.search)
      except SettingError as error:
        raise SettingError(f"grid[{number}].{error}") from error
      if not {*pivot.CROSS_OVER} <= {*changed.targets}:
        raise SettingError(
          f"grid[{number}]: targets: what is tried is judged by the cross-over of the"
          f" models {' and '.join(pivot.CROSS_OVER)}"
        )
      if matched := [m for m in changed.methods if m.endswith(pivot.NFE_MATCHED)]:
        raise SettingError(
          f"grid[{number}].methods: {matched[0]} goes by the NFE of a probe that is"
          " chosen first; try the baseline itself"
        )
      if changed.part != "tune":
        raise SettingError(
          f"grid[{number}]: part is {changed.part}: choices are made on tune tracks"
        )
      try:
        _check_curves(changed, values["eta_refs"])
      except SettingError as error:
        raise SettingError(f"grid[{number}].{error}") from error
      grid.append((plain(changes), changed))
    return cls(base=base, eta_refs=tuple(values["eta_refs"]), grid=tuple(grid))


def _check_curves(settings: Experiment, eta_refs: Sequence[float]) -> None:
  """Refuses forms of the probe whose curves do not have every eta_ref."""
  if not {PROBE, ANCHORED} & {*settings.methods}:
    return
  if not searches.gives_curves(factories.make_search(settings.search)):
    raise SettingError(
      f"search.name={settings.search.name}: it gives no curves, off which every"
      " eta_ref is read; take one that does"
    )
  for eta_ref in eta_refs:
    factories.check_eta_ref(settings, eta_ref)


def tune(
  tuning: Tuning,
  folder: str | pathlib.Path,
  progress: Callable[[int, str], None] = lambda number, text: None,
) -> str:
  """Tries every setting and tabulates what it gave.

  Every setting tried is a line of FOLDER/tried.jsonl, and the clip scores behind it lie
  in a folder of its own. The same call continues a run that was interrupted.

  Args:
    tuning: see `Tuning`.
    folder: scores and tables go here.
    progress: called with the number of each setting and its rows of the table.

  Returns:
    The table, as in FOLDER/tried.md.
  """
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  scorer, lines = None, []
  for number, (changes, settings) in enumerate(tuning.grid):
    run = open_evaluation(settings, _own_folder(folder, settings), cuts=False)
    # One scorer for all: settings that differ in traced values share a compilation.
    scorer = scorer or run.scorer
    run = dataclasses.replace(run, scorer=scorer.reseeded(settings.seed))
    records = try_setting(run, tuning.eta_refs)
    methods = list(settings.methods)
    lines.append({"changes": changes, "methods": methods, "records": records})
    progress(number, table(lines[-1:]))
    write_whole(folder / "tried.jsonl", "".join(f"{json.dumps(x)}\n" for x in lines))
    write_whole(folder / "tried.md", table(lines))
  return table(lines)


def _own_folder(folder: pathlib.Path, settings: Experiment) -> pathlib.Path:
  """The folder of what is tried, named by a hash of the settings that decide rows."""
  values = settings.to_dict()
  # Older ones were named by all settings, and are gone on with.
  older = folder / _short_hash(values)
  if older.exists():
    return older
  for field in dataclasses.fields(Experiment):
    if field.name in WITHOUT_EFFECT:
      values[field.name] = field.default
  return folder / _short_hash(values)


def _short_hash(values: dict[str, Any]) -> str:
  return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def try_setting(run: Evaluation, eta_refs: Sequence[float]) -> list[dict[str, Any]]:
  """Scores by an experiment's methods; returns one record for each model and method."""
  methods = run.settings.methods
  forms = (PROBE, ANCHORED)
  rows = run_methods(run, [name for name in methods if name not in forms])
  for name in (name for name in methods if name in forms):
    form = factories.probe_form(run.settings, name)
    distance = factories.make_distance(run.settings.distance, run.halves)
    curves = run_curves(run, distance, form)
    for eta_ref in eta_refs:
      tau = dataclasses.replace(form.tau, eta_ref=eta_ref)
      rows += [
        row | {"method": f"{name}, eta_ref={eta_ref}"}
        for row in read_probe_rows(run, curves, dataclasses.replace(form, tau=tau))
      ]
  rows += difficulty.calibrated(rows)
  records = summary.summarise(rows, resamples=_RESAMPLES)
  return [{name: record[name] for name in (*_COLUMNS, *_SPENT)} for record in records]


def table(lines: list[dict[str, Any]]) -> str:
  """The cross-over means of everything tried, as Markdown."""
  head = ["setting", "method", "A", "B", "mean [95% by track]"]
  head += ["by reference", "by twins", "by both"]
  body = []
  for line in lines:
    setting = ", ".join(f"{k}={v}" for k, v in line["changes"].items())
    found = {
      (r["method"], r["model"], r["difficulty_calibration"]): r for r in line["records"]
    }
    for method in dict.fromkeys(r["method"] for r in line["records"]):
      a, b, mean = (found[method, model, "none"] for model in ("A", "B", "mean"))
      calibrated = [
        found.get((method, "mean", by)) for by in ("reference", "twins", "both")
      ]
      body.append([setting, method, *_cells(a, b, mean, calibrated)])
  head = [*head, "reached", "NFE, forward/backward"]
  return "\n".join(tables.markdown([head, *body])) + "\n"


def _cells(a, b, mean, calibrated) -> list[str]:
  low, high = mean["auc_ci"]
  return [
    f"{a['auc']:.3f}",
    f"{b['auc']:.3f}",
    f"{mean['auc']:.3f} [{low:.3f}, {high:.3f}]",
    *("" if record is None else f"{record['auc']:.3f}" for record in calibrated),
    "" if mean["reached"] is None else f"{mean['reached']:.0%}",
    f"{mean['nfe_forward']:.0f}/{mean['nfe_backward']:.0f}",
  ]
