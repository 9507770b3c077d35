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
from lsaprobe_jax.rows import CURVE, Row
from lsaprobe_jax.scoring.experiment import Evaluation
from lsaprobe_jax.scoring.experiment_inputs import (
  MIN_DEVELOPMENT_CLIPS,
  too_few_development,
)
from lsaprobe_jax.scoring.factories import MAX_DEGRADATION, PROBE, make_search


def run_lsa_probe(run: Evaluation, distance) -> list[Row]:
  """Scores all clips by LSA-Probe, with a tau for each target.

  Raises:
    MissingRows: other processes have yet to write what the rows are read off.
  """
  if not searches.gives_curves(make_search(run.settings.search)):
    return _search_with_targets(run, distance)
  run_curves(run, distance)
  # Reading them costs nothing: whoever sees all of them does it for all clips. Only
  # what is matched to their NFE cannot be left to the last process.
  matched = any(name.endswith(NFE_MATCHED) for name in run.settings.methods)
  (run.curves.wait if matched else run.curves.require)()
  curves = [row for row in run.curves.asked if _names(run).items() <= row.items()]
  try:
    rows = read_probe_rows(run, curves, run.settings.tau.eta_ref)
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


def run_curves(run: Evaluation, distance) -> list[Row]:
  """Measures D against eta for all clips, which takes no tau."""
  search = make_search(run.settings.search)
  attack = DegradationCurve(distance=distance, search=search)
  by_target = {target.name: attack for target in run.targets}
  parts = (run.development, run.halves)
  return run.score(run.curves, by_target, parts, method=CURVE, **_names(run))


def read_probe_rows(run: Evaluation, curves: list[Row], eta_ref: float) -> list[Row]:
  """Reads rows of LSA-Probe off curves, without another NFE.

  Args:
    run: the evaluation.
    curves: rows of `run_curves`.
    eta_ref: the budget whose D on development clips calibrates tau.

  Raises:
    ValueError: a curve cannot be read.
    SettingError: tau cannot be calibrated.
  """
  rows = []
  for target in run.targets:
    own = [row for row in curves if row["model"] == target.name]
    table = lambda name, rows: np.array([row[name] for row in rows])
    dev = [row for row in own if row["split"] == "dev"]
    _check_development(len(dev))
    most = read_degradations(table("budgets", dev), table("degradations", dev), eta_ref)
    tau = tau_of(run, target.name, most)
    kept = own if run.cuts else [row for row in own if row["split"] != "dev"]
    costs = read_costs(table("budgets", kept), table("degradations", kept), tau)
    rows += [
      row | {"method": PROBE} | cost for row, cost in zip(kept, costs, strict=True)
    ]
  return rows


def calibrate(run: Evaluation, distance) -> dict[str, Any]:
  """Calibrates tau of each target by the search's own ascent at eta_ref."""
  search = make_search(run.settings.search)
  eta = run.settings.tau.eta_ref
  ascent = MaxDegradation(distance=distance, eta=eta, search=search)
  by_target = {target.name: ascent for target in run.targets}
  names = {"method": MAX_DEGRADATION} | _names(run)
  run.score(run.calibration, by_target, (run.development,), **names)
  run.calibration.wait()
  rows = [row for row in run.calibration.asked if _names(run).items() <= row.items()]
  return {
    name: tau_of(run, name, [-row["score"] for row in rows if row["model"] == name])
    for name in by_target
  }


def tau_of(run: Evaluation, target: str, degradations):
  """Calibrates tau of one target on the D of its development clips at eta_ref."""
  _check_development(len(degradations))
  tau = probe.calibrate_tau(degradations, run.settings.tau.quantile)
  if not 0 < tau < np.inf:
    raise SettingError(
      f"tau: that of {target} is {tau}: D at eta_ref on development clips is no"
      " measure of degradation; see tau.eta_ref, distance and the model's weights"
    )
  logging.info("tau of %s: %.5g from %d clips", target, tau, len(degradations))
  return tau


def _search_with_targets(run: Evaluation, distance) -> list[Row]:
  """Scores by a search that must be told tau."""
  search = make_search(run.settings.search)
  by_target = {
    name: LSAProbe(distance=distance, tau=tau, search=search)
    for name, tau in calibrate(run, distance).items()
  }
  return run.score_all(by_target, method=PROBE, **_names(run))


def _names(run: Evaluation) -> dict[str, Any]:
  return {"t_ratio": run.settings.t_ratio, "distance": run.settings.distance}


def _check_development(count: int) -> None:
  if count < MIN_DEVELOPMENT_CLIPS:
    raise too_few_development(count)
