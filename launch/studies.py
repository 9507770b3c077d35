"""From a study's rows to its tables and figures; scores nothing, reads no flags."""

import pathlib
from collections.abc import Callable
from typing import Any

from lsaprobe_jax.evaluation import comparisons, study, summary, tables
from lsaprobe_jax.report import figures
from lsaprobe_jax.results import write_whole

Records = list[dict[str, Any]]


def make_tables(
  parts: dict[str, list[dict]], summarise: Callable[[list[dict]], Records]
) -> tuple[dict[str, str], dict[str, Records]]:
  """(Markdown by the name of the table, records by the name of the part)."""
  rows = study.main_rows(parts)
  records = {study.MAIN: summarise(rows)}
  against = comparisons.against(rows)
  text = {
    "gates": tables.format_gates(records[study.MAIN]),
    study.MAIN: study.markdown_main(records[study.MAIN]),
    "comparisons": comparisons.format_comparisons(against),
    "operating_points": tables.format_operating_points(records[study.MAIN]),
  }
  for name, own in parts.items():
    if name not in (study.MAIN, study.TUNE):
      found = study.records_by_value(name, own, summarise)
      text[f"{name}_gates"] = _by_value(found, tables.format_gates)
      if {study.PROBE, summary.BLIND} < {row["method"] for row in own}:
        text[f"{name}_comparisons"] = _by_value(own, _compared)
      records[name] = study.without_gates(found)
      text[name] = study.markdown_ablation(records[name])
  return text, records


def _by_value(records: Records, show: Callable[[Records], str]) -> str:
  """The same table at every value of an ablation."""
  values = list(dict.fromkeys(record["value"] for record in records))
  found = {v: [r for r in records if r["value"] == v] for v in values}
  return "\n\n".join(f"{v}:\n{show(own)}" for v, own in found.items())


def _compared(rows: Records) -> str:
  both = rows + summary.calibrate_by_reference(rows)
  return comparisons.format_comparisons(comparisons.against(both))


def draw(
  parts: dict[str, list[dict]], records: dict[str, Records], folder: pathlib.Path
) -> list[pathlib.Path]:
  """All figures of a study, as PNG and SVG."""
  rows = study.main_rows(parts)
  paths = figures.save(figures.methods(records[study.MAIN]), folder / "methods")
  drawn = [(name, cal) for name in (study.PROBE, study.LOSS) for cal in (False, True)]
  there = {(row["method"], row["calibrated"]) for row in rows}
  roc = figures.roc_curves(rows, [key for key in drawn if key in there])
  paths += figures.save(roc, folder / "roc")
  for name, own in records.items():
    if name != study.MAIN:
      paths += figures.save(figures.ablation(own), folder / name)
  return paths


def report(
  parts: dict[str, list[dict]],
  folder: pathlib.Path,
  summarise: Callable[[list[dict]], Records],
) -> str:
  """Writes summary.json, ablations.json, tables.md and figures; returns the tables."""
  text, records = make_tables(parts, summarise)
  write_whole(folder / "summary.json", summary.rows_to_json(records[study.MAIN]))
  tidy = [r for name, own in records.items() if name != study.MAIN for r in own]
  write_whole(folder / "ablations.json", summary.rows_to_json(tidy))
  together = "\n\n".join(f"## {name}\n\n{table}" for name, table in text.items())
  write_whole(folder / "tables.md", together + "\n")
  draw(parts, records, folder / "figures")
  return together
