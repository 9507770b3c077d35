"""The page's explorer: scores, ROC and records by method and time."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from lsaprobe_jax.metrics import pivot, roc, study, tables
from lsaprobe_jax.report.reading import Results, shortened

Rows = list[dict[str, Any]]
Records = list[dict[str, Any]]

_SETTING = ("method", "distance", "t_ratio", "difficulty_calibration")


def explorer(results: Results) -> list[dict[str, Any]]:
  """Scores, ROC and records by method and time.

  Returns:
    One dict a setting with a t: `label`, `method`, `difficulty_calibration`, `t_ratio`,
    `is_cost` (the score is a budget), `models`: by name `record`, `member` and
    `nonmember` scores, `censored` counts of both, `roc` as [fpr, tpr] points. `mean`
    pools the scores of A and B and averages their curves at equal FPR.
  """
  rows, records = list(results.rows), list(results.records)
  seen = {_setting(record) for record in records}
  if "t_ratio" in results.ablations:
    raw, tidy = results.ablations["t_ratio"]
    # A value is a time of its own, so that no clip is there twice.
    by_time = study.with_reference(raw).values()
    rows += [row for own in by_time for row in own if _setting(row) not in seen]
    records += [record for record in tidy if _setting(record) not in seen]
  timed = [row for row in pivot.targets_only(rows) if row["t_ratio"] is not None]
  of_setting = pivot.groups(records, _setting)
  found = [
    _explored(setting, pivot.groups(own, "model"), of_setting[setting])
    for setting, own in pivot.groups(timed, _setting).items()
  ]
  return sorted(found, key=_order)


def _setting(item: dict[str, Any]) -> tuple:
  return tuple(item[name] for name in _SETTING)


def _order(entry: dict[str, Any]) -> tuple:
  """The probe comes first, raw before difficulty-calibrated scores."""
  return (
    entry["method"] != study.PROBE,
    list(tables.CALIBRATIONS).index(entry["difficulty_calibration"]),
    entry["method"],
    entry["t_ratio"],
  )


def _explored(
  setting: tuple, by_model: dict[str, Rows], records: Records
) -> dict[str, Any]:
  method, distance, t_ratio, calibration = setting
  named = {record["model"]: record for record in records}
  models = {}
  for name in sorted(by_model.keys() | ({"mean"} & named.keys())):
    parts = [by_model[m] for m in (pivot.CROSS_OVER if name == "mean" else [name])]
    models[name] = {
      "record": named[name],
      "roc": roc_points(parts),
      **_sides([row for part in parts for row in part]),
    }
  return {
    "method": method,
    "label": tables.label(method, calibration),
    "distance": distance,
    "t_ratio": t_ratio,
    "difficulty_calibration": calibration,
    "is_cost": method.startswith(study.PROBE) and calibration == "none",
    "models": models,
  }


def _sides(rows: Rows) -> dict[str, Any]:
  """Scores of both sides, and how many clips of each did not reach tau."""
  split = pivot.groups(rows, "split")
  sides = {name: split.get(name, []) for name in pivot.JUDGED}
  scores = {n: sorted(shortened(r["score"]) for r in own) for n, own in sides.items()}
  censored = {n: sum(r["reached"] is False for r in own) for n, own in sides.items()}
  return {"censored": censored, **scores}


def roc_points(parts: Iterable[Rows]) -> list[list[float]]:
  """[fpr, tpr] of the ROC's corners; of several models the mean at equal FPR."""
  found = []
  for rows in parts:
    labels = [row["split"] == "member" for row in rows]
    found.append(roc.roc_curve([row["score"] for row in rows], labels))
  grid = np.unique(np.concatenate([curve.fpr for curve in found]))
  # Nothing is interpolated between operating points.
  steps = [c.tpr[np.searchsorted(c.fpr, grid, side="right") - 1] for c in found]
  tpr = np.mean(steps, axis=0)
  return [[shortened(x), shortened(y)] for x, y in zip(grid, tpr, strict=True)]
