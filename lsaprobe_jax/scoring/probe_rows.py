"""Rows of LSA-Probe: tau calibrated on development clips, costs at that tau."""

from typing import Any

import numpy as np
from absl import logging

from lsaprobe_jax import probe
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import (
  DegradationCurve,
  LSAProbe,
  MaxDegradation,
  read_costs,
  read_degradations,
)
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.metrics.pivot import NFE_MATCHED
from lsaprobe_jax.rows import Row
from lsaprobe_jax.scoring.experiment import Evaluation
from lsaprobe_jax.scoring.experiment_inputs import (
  MIN_DEVELOPMENT_CLIPS,
  too_few_development,
)
from lsaprobe_jax.scoring.factories import (
  MAX_DEGRADATION,
  PROBE,
  ProbeForm,
  make_search,
)


def run_lsa_probe(run: Evaluation, distance, form: ProbeForm) -> list[Row]:
  """Scores all clips by a form of LSA-Probe, with a tau for each target.

  Raises:
    MissingRows: other processes have yet to write what the rows are read off.
  """
  if not searches.gives_curves(make_search(run.settings.search)):
    return _search_with_targets(run, distance, form)
  run_curves(run, distance, form)
  # Reading them costs nothing: whoever sees all of them does it for all clips. Only
  # what is matched to their NFE cannot be left to the last process.
  matched = any(name.endswith(NFE_MATCHED) for name in run.settings.methods)
  (run.curves.wait if matched else run.curves.require)()
  names = _names(run, form) | {"method": form.curve}
  curves = [row for row in run.curves.asked if names.items() <= row.items()]
  try:
    rows = read_probe_rows(run, curves, form)
  except SettingError:
    raise
  except ValueError as error:
    raise ArgumentError(
      f"workdir: its curves cannot be read: {error}; delete the folder, and they are"
      " made again"
    ) from error
  run.scores.ask(rows)
  run.scores.keep(row for row in rows if row not in run.scores)
  found = (run.scores.get(row) for row in rows)
  return [row for row in found if row is not None]


def run_curves(run: Evaluation, distance, form: ProbeForm) -> list[Row]:
  """Measures D against eta for all clips, which takes no tau."""
  search = make_search(run.settings.search)
  attack = DegradationCurve(distance=distance, search=search, anchor=form.anchor)
  by_target = {target.name: attack for target in run.targets}
  parts = (run.development, run.halves)
  return run.score(run.curves, by_target, parts, method=form.curve, **_names(run, form))


def read_probe_rows(run: Evaluation, curves: list[Row], form: ProbeForm) -> list[Row]:
  """Reads rows of LSA-Probe off curves, without another NFE.

  Args:
    run: the evaluation.
    curves: rows of `run_curves`.
    form: the form of the probe; its `tau` says how that is calibrated.

  Raises:
    ValueError: a curve cannot be read.
    SettingError: tau cannot be calibrated.
  """
  rows = []
  for target in run.targets:
    own = [row for row in curves if row["model"] == target.name]
    dev = [row for row in own if row["split"] == "dev"]
    _check_development(len(dev))
    budgets, degradations, rest = _table(dev)
    most = read_degradations(budgets, degradations, form.tau.eta_ref, rest)
    tau = tau_of(target.name, most, form)
    kept = own if run.cuts else [row for row in own if row["split"] != "dev"]
    rows += with_costs(kept, tau, form.method)
  return rows


def calibrate(run: Evaluation, distance, form: ProbeForm) -> dict[str, Any]:
  """Calibrates tau of each target by the search's own ascent at eta_ref."""
  search = make_search(run.settings.search)
  ascent = MaxDegradation(
    distance=distance, eta=form.tau.eta_ref, search=search, anchor=form.anchor
  )
  by_target = {target.name: ascent for target in run.targets}
  # The ascent of another anchor has another name: with all else alike, a row of one
  # would be taken for the other's.
  method = form.method.replace(PROBE, MAX_DEGRADATION)
  names = {"method": method} | _names(run, form)
  run.score(run.calibration, by_target, (run.development,), **names)
  run.calibration.wait()
  rows = [row for row in run.calibration.asked if names.items() <= row.items()]
  return {
    name: tau_of(name, [-row["score"] for row in rows if row["model"] == name], form)
    for name in by_target
  }


def tau_of(target: str, degradations, form: ProbeForm):
  """Calibrates tau of one target on the D of its development clips at eta_ref."""
  _check_development(len(degradations))
  tau = probe.calibrate_tau(degradations, form.tau.quantile)
  if not 0 < tau < np.inf:
    raise SettingError(
      f"tau: that of {target} is {tau}: D at eta_ref on development clips is no"
      " measure of degradation; see tau.eta_ref, distance and the model's weights"
    )
  logging.info("tau of %s: %.5g from %d clips", target, tau, len(degradations))
  return tau


def _search_with_targets(run: Evaluation, distance, form: ProbeForm) -> list[Row]:
  """Scores by a search that must be told tau."""
  search = make_search(run.settings.search)
  by_target = {
    name: LSAProbe(distance=distance, tau=tau, search=search, anchor=form.anchor)
    for name, tau in calibrate(run, distance, form).items()
  }
  return run.score_all(by_target, method=form.method, **_names(run, form))


def _table(rows: list[Row], twin: int | None = None) -> tuple[np.ndarray, ...]:
  """Budgets [n, rungs], D at each of them, and D at rest [n], of clips or of a twin."""
  budgets = np.array([row["budgets"] for row in rows])
  if twin is None:
    found = [(row["degradations"], row.get("rest", 0.0)) for row in rows]
  else:
    found = [(row["twin_degradations"][twin], row["twin_rest"][twin]) for row in rows]
  degradations, rest = zip(*found, strict=True)
  return budgets, np.array(degradations), np.array(rest)


def with_costs(
  rows: list[Row], tau, method: str = PROBE, eta_max: float = np.inf
) -> list[Row]:
  """Rows of curves as rows of the probe, their twins' scores at the same tau.

  Args:
    rows: of curves.
    tau: the target.
    method: what the rows of the probe are called.
    eta_max: the largest budget allowed.
  """
  costs = _costs(rows, tau, eta_max)
  found = [
    row | {"method": method} | cost for row, cost in zip(rows, costs, strict=True)
  ]
  twinned = [row for row in found if "twin_scores" in row]
  if twinned:
    count = len(twinned[0]["twin_scores"])
    of_twins = [_costs(twinned, tau, eta_max, twin) for twin in range(count)]
    for row, *own in zip(twinned, *of_twins, strict=True):
      row["twin_scores"] = [cost["score"] for cost in own]
  return found


def _costs(
  rows: list[Row], tau, eta_max: float, twin: int | None = None
) -> list[dict[str, Any]]:
  budgets, degradations, rest = _table(rows, twin)
  return read_costs(budgets, degradations, tau, eta_max, rest)


def _names(run: Evaluation, form: ProbeForm) -> dict[str, Any]:
  return {"t_ratio": form.t_ratio, "distance": run.settings.distance}


def _check_development(count: int) -> None:
  if count < MIN_DEVELOPMENT_CLIPS:
    raise too_few_development(count)
