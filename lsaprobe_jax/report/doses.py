"""Tables of the dose: AUC against passes over a clip, where it passes 0.75, and power.

An ablation whose name begins with `dose` and whose values are numbers above 0 has the
passes as its values.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lsaprobe_jax.metrics import dose, pivot, study, tables
from lsaprobe_jax.report.headline import ANCHORED, COMPARED
from lsaprobe_jax.rows import Row

PREFIX = "dose"
# Behind the name of an ablation that was trained with another seed stands its number.
_SEED = "_seed"
# What the headline shows, whatever was found: methods, calibrations and doses.
_SHOWN = (*COMPARED[:2], "path_error", ANCHORED, study.PROBE)
_CALIBRATIONS = ("none", "reference", "twins")
_DOSES = (10, 30, 100, 300)
# What the page draws of a record.
_DRAWN = ("method", "difficulty_calibration", "value", "auc", "auc_ci")
_ACCESS = {
  "none": "the model",
  "reference": "the model and its base",
  "twins": "the model",
  "both": "the model and its base",
}


def of_ablation(name: str, by_value: Mapping[Any, list[Row]]) -> dict[str, str]:
  """Tables of an ablation over doses, in Markdown; none of another.

  Args:
    name: name of the ablation.
    by_value: its rows by the passes (`study.with_reference`).

  Returns:
    By name: `NAME_passes`, the AUC at every dose and where it passes 0.75;
    `NAME_headline`, a few methods of it; `NAME_sets`, the power of a test of a set of
    tracks; and `NAME_controls`, where development clips were scored.
  """
  calibrated = [row for own in by_value.values() for row in own]
  if not _is_dose(name, calibrated):
    return {}
  records, found = dose.crossings(calibrated), dose.controls(calibrated)
  return {
    f"{name}_passes": markdown_crossings(records),
    f"{name}_headline": markdown_headline(records),
    f"{name}_sets": markdown_power(dose.set_power(calibrated)),
    **({f"{name}_controls": markdown_controls(found)} if found else {}),
  }


def of_seeds(parts: Mapping[str, list[Row]]) -> dict[str, str]:
  """Tables of ablations over doses that were trained with several seeds, in Markdown.

  Args:
    parts: raw rows by the name of the ablation. `NAME_seedN` is `NAME` with another
      training seed.

  Returns:
    By name, `NAME_seeds`: the mean AUC of the trainings at every dose, and where each
    of them, and their mean, passes 0.75.
  """
  trainings: dict[str, list[str]] = {}
  for name, rows in parts.items():
    first, behind, number = name.rpartition(_SEED)
    if behind and number.isdecimal() and first in parts and _is_dose(name, rows):
      trainings.setdefault(first, [first]).append(name)
  text = {}
  for first, names in trainings.items():
    calibrated = [
      [r for own in study.with_reference(parts[name]).values() for r in own]
      for name in names
    ]
    found = dose.crossings_of_seeds(calibrated)
    text[f"{first}_seeds"] = markdown_crossings(found)
  return text


def drawn(name: str, records: list[dict]) -> list[dict]:
  """Headline records that the figure of an ablation over doses shows; else none."""
  if not _is_dose(name, records):
    return []
  return [r for r in pivot.headline(records) if r["method"] in _SHOWN]


def explored(name: str, rows: list[Row], records: list[dict]) -> dict | None:
  """What the page shows of an ablation over doses; None of another.

  Args:
    name: name of the ablation.
    rows: its raw rows.
    records: of its rows (`study.records_by_value`).

  Returns:
    `name`, `doses`, `methods` (those of the figure first), `records`, the headline ones
    with their `label`, and `passes`: by label the AUCs and the dose that passes 0.75.
  """
  if not _is_dose(name, rows):
    return None
  shown = [r for r in pivot.headline(records) if r["method"] != pivot.BLIND]
  methods = dict.fromkeys(r["method"] for r in shown)
  first = [method for method in _SHOWN if method in methods]
  calibrated = [r for own in study.with_reference(rows).values() for r in own]
  found = sorted(dose.crossings(calibrated), key=_earliest)
  return {
    "name": name.removeprefix(PREFIX).strip("_") or name,
    "doses": sorted({r["value"] for r in shown}),
    "methods": [*first, *(method for method in methods if method not in first)],
    "few": len(first),
    "records": [{k: r[k] for k in _DRAWN} | {"label": _label(r)} for r in shown],
    "passes": [
      {"label": _label(r), "nfe": r["nfe"], "passes": passes(r)}
      | {"aucs": dict(zip(map(str, r["doses"]), r["aucs"], strict=True))}
      for r in found
    ],
  }


def _label(record: dict) -> str:
  return tables.label(record["method"], record["difficulty_calibration"])


def markdown_crossings(records: list[dict]) -> str:
  """The AUC of every method at every dose, and the dose at which it passes 0.75.

  Args:
    records: see `dose.crossings` and `dose.crossings_of_seeds`. Those that pass first
      come first.
  """
  doses = _all_doses(records)
  header = ["method", "NFE", *map(str, doses), f"passes {dose.WANTED:g} at [95%]"]
  by_training = any("by_training" in r for r in records)
  cells = [[*header, *(["each training at"] if by_training else [])]]
  for r in sorted(records, key=_earliest):
    at = dict(zip(r["doses"], r["aucs"], strict=True))
    name = tables.label(r["method"], r["difficulty_calibration"])
    aucs = [f"{at[d]:.3f}" if d in at else "" for d in doses]
    ends = r["doses"][0], r["doses"][-1]
    each = ", ".join(_said(value, *ends) for value in r.get("by_training", ()))
    row = [name, r["nfe"], *aucs, passes(r)]
    cells.append([*row, each] if by_training else row)
  return "\n".join(tables.markdown(cells))


def markdown_headline(
  records: list[dict],
  methods: Sequence[str] = _SHOWN,
  doses: Sequence[float] = _DOSES,
) -> str:
  """A few methods at a few doses: raw, by the base as reference, and by twins.

  Args:
    records: see `dose.crossings`.
    methods: those to show.
    doses: those to show.
  """
  shown = [d for d in _all_doses(records) if d in doses]
  header = ["method", "needs", *(f"{d} passes" for d in shown)]
  cells = [[*header, f"passes {dose.WANTED:g} at [95%]"]]
  found = pivot.groups(records, ("method", "difficulty_calibration"))
  for key in itertools.product(methods, _CALIBRATIONS):
    for r in found.get(key, ()):
      at = dict(zip(r["doses"], r["aucs"], strict=True))
      aucs = [f"{at[d]:.3f}" if d in at else "" for d in shown]
      cells.append([tables.label(*key), _ACCESS[key[1]], *aucs, passes(r)])
  return "\n".join(tables.markdown(cells))


def markdown_power(records: list[dict]) -> str:
  """Power of the test of a set of tracks, by method, dose and number of tracks.

  Args:
    records: see `dose.set_power`.
  """
  doses = sorted({r["value"] for r in records})
  header = ["method", "tracks", *map(str, doses)]
  key = ("method", "difficulty_calibration")
  cells = [header]
  for name, own in pivot.groups(records, key).items():
    at = {r["value"]: r["power"] for r in own}
    for size in dose.SET_SIZES:
      powers = [f"{at[d][size]:.2f}" if d in at else "" for d in doses]
      cells.append([tables.label(*name), str(size), *powers])
  return "\n".join(tables.markdown(cells))


def markdown_controls(records: list[dict]) -> str:
  """The other half against development tracks at every dose.

  Args:
    records: see `dose.controls`.
  """
  doses = sorted({r["value"] for r in records})
  cells = [["other half against development", *map(str, doses)]]
  key = ("method", "difficulty_calibration")
  for name, own in pivot.groups(records, key).items():
    at = {r["value"]: tables.auc(r) for r in own}
    cells.append([tables.label(*name), *(at.get(d, "") for d in doses)])
  return "\n".join(tables.markdown(cells))


def passes(record: dict) -> str:
  """The dose at which a record's AUC passes 0.75, with its interval, as text."""
  found, ends = record["crossing"], (record["doses"][0], record["doses"][-1])
  low, high = (_said(bound, *ends) for bound in found.ci)
  # All draws lie where the estimate does: there is no dose to be uncertain of.
  if found.dose in (0, math.inf) and found.ci == (found.dose, found.dose):
    return _said(found.dose, *ends)
  return f"{_said(found.dose, *ends)} [{low}, {high}]"


def _said(value: float, first: float, last: float) -> str:
  if value == 0:
    return f"<{first:g}"
  return f">{last:g}" if math.isinf(value) else f"{value:.3g}"


def _is_dose(name: str, items: Sequence[Mapping]) -> bool:
  """Whether rows or records are of an ablation over doses."""
  numbers = (isinstance(item["value"], int | float) for item in items)
  return name.startswith(PREFIX) and all(numbers) and all(x["value"] > 0 for x in items)


def _earliest(record: dict) -> tuple:
  """The place of a record: who passes first, and among others who has the most."""
  return record["crossing"].dose, -record["aucs"][-1], record["method"]


def _all_doses(records: Iterable[dict]) -> list[float]:
  return sorted({d for r in records for d in r["doses"]})
