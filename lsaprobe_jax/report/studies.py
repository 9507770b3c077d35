"""From a study's rows to its tables and figures; scores nothing."""

import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import (
  comparison_tables,
  comparisons,
  dose,
  gates,
  pivot,
  record_tables,
  study,
  within_clip,
)
from lsaprobe_jax.report import albums, doses, figures, headline
from lsaprobe_jax.report.headline import ANCHORED
from lsaprobe_jax.rows import Row
from lsaprobe_jax.strict_json import rows_to_json
from lsaprobe_jax.text import printable_leaves

TWINS = "twins_against_reference"

Parts = dict[str, list[Row]]
ByValue = Mapping[Any, list[Row]]
Records = list[dict]
Summarise = Callable[[list[Row]], Records]


def make_tables(
  parts: Parts, summarise: Summarise
) -> tuple[dict[str, str], dict[str, Records]]:
  """Tables and records of a study.

  Args:
    parts: rows by the name of their file (`study.read`).
    summarise: `summary.summarise` with its settings.

  Returns:
    Text by the name of the table, Markdown or fixed width; and records by the name of
    the part.
  """
  parts = printable_leaves(parts)
  study.check_ablations(parts)
  rows = study.main_rows(parts)
  records = {study.MAIN: summarise(rows)}
  against = comparisons.against(rows)
  text = {
    "gates": gates.format_gates(records[study.MAIN]),
    study.MAIN: record_tables.markdown_main(records[study.MAIN]),
    "side_by_side": record_tables.markdown_side_by_side(records[study.MAIN]),
    "comparisons": comparison_tables.format_comparisons(against),
    **_calibration_tables(rows),
    "operating_points": record_tables.format_operating_points(records[study.MAIN]),
    "models": record_tables.format_table(records[study.MAIN]),
    "sets": albums.format_sets(rows),
  }
  compared = [record | {"ablation": study.MAIN, "value": ""} for record in against]
  for name, own in parts.items():
    if name not in (study.MAIN, study.TUNE):
      by_value = study.with_reference(own)
      found = study.records_by_value(name, by_value, summarise)
      records[name] = gates.without(found)
      own_compared = compare_by_value(name, by_value)
      text |= _ablation_tables(name, found, own_compared)
      text |= _ablation_twins(name, by_value)
      text |= _ablation_within_clip(name, by_value)
      text |= doses.of_ablation(name, by_value)
      if by_length := headline.by_length(name, records[name]):
        text[headline.LENGTHS] = record_tables.markdown_ablation(by_length)
      compared += own_compared
  text |= doses.of_seeds(parts)
  methods = dict.fromkeys(row["method"] for row in rows)
  matched = [name for name in methods if f"{name}{pivot.NFE_MATCHED}" in methods]
  if advantage := comparison_tables.format_advantage(compared, matched):
    text["advantage"] = advantage
  return text, records


def _calibration_tables(rows: list[Row]) -> dict[str, str]:
  """Twins against the reference model, the anchored probe's comparisons, contrasts.

  Args:
    rows: of a main table, raw and difficulty-calibrated (`study.main_rows`).
  """
  text = {}
  if ANCHORED in {row["method"] for row in rows}:
    against = comparisons.against(rows, ANCHORED)
    table = comparison_tables.format_comparisons(against, probe=ANCHORED)
    text["comparisons_anchored"] = table
  if twins := comparisons.twins_against_reference(rows):
    text[TWINS] = comparison_tables.format_twins(twins)
  if contrasts := _contrasts(rows):
    text["within_clip"] = within_clip.format_within_clip(contrasts)
  return text


def _contrasts(rows: list[Row]) -> Records:
  """Within-clip contrasts, raw and by twins."""
  # A reference's scores are in both terms of the contrast and cancel.
  kept = [r for r in rows if r["difficulty_calibration"] in ("none", "twins")]
  return within_clip.within_clip(kept)


def _ablation_within_clip(name: str, by_value: ByValue) -> dict[str, str]:
  """Within-clip contrasts at every length of training."""
  if name not in headline.CONTRASTED:
    return {}
  found = [
    record | {"value": value}
    for value, own in by_value.items()
    for record in _contrasts(own)
  ]
  table = record_tables.by_value(found, within_clip.format_within_clip)
  return {f"{name}_within_clip": table} if found else {}


def _ablation_twins(name: str, by_value: ByValue) -> dict[str, str]:
  """Twins against the reference model at every value, corrected for all together."""
  found = []
  for value, own in by_value.items():
    named = {"ablation": name, "value": value}
    found += [r | named for r in comparisons.twins_against_reference(own)]
  if not found:
    return {}
  family = f"the number under all values, {len(found)}"
  table = comparison_tables.format_twins(comparisons.corrected(found), family)
  return {f"{name}_{TWINS}": table}


def _ablation_tables(name: str, records: Records, compared: Records) -> dict[str, str]:
  """Tables of an ablation: AUC, TPR at 5% FPR, comparisons with the probe, gates."""
  shown = gates.without(records)
  text = {
    name: record_tables.markdown_ablation(shown),
    f"{name}_tpr": record_tables.markdown_ablation(shown, tpr_at="0.05"),
  }
  if compared:
    family = f"the number under all values, {len(compared)}"
    text[f"{name}_comparisons"] = comparison_tables.format_comparisons(compared, family)
  format_gates = gates.format_gates
  text[f"{name}_gates"] = record_tables.by_value(records, format_gates, once=True)
  return text


def compare_by_value(name: str, by_value: ByValue) -> Records:
  """The probe's comparisons at every value, corrected for all of them together.

  Args:
    name: name of the ablation.
    by_value: its rows (`study.with_reference`).

  Returns:
    Records of `comparisons.against`; none where the probe or others were not scored.
  """
  methods = {row["method"] for own in by_value.values() for row in own}
  if not {study.PROBE} < methods - {pivot.BLIND}:
    return []
  found = []
  for value, own in by_value.items():
    named = {"ablation": name, "value": value}
    found += [record | named for record in comparisons.against(own)]
  return comparisons.corrected(found)


def document(
  text: dict[str, str], drawn: Iterable[pathlib.Path] = (), beside: str = ""
) -> str:
  """The tables under headings of their names, as a Markdown document's text.

  Args:
    text: the tables by name.
    drawn: figures of the study (`draw`); each stands under the table that it draws.
    beside: path of the figures' folder from the document's.
  """
  stems = {path.stem for path in drawn}
  parts = []
  for name, table in text.items():
    own = ("methods", "roc") if name == study.MAIN else (name,)
    images = [f"![{n}]({beside}{n}.svg)" for n in own if n in stems]
    parts.append("\n\n".join([f"## {name}", shown(table), *images]))
  return "\n\n".join(parts)


def shown(table: str) -> str:
  """A table as Markdown shows it: one of fixed width is fenced."""
  return table if table.startswith("|") else f"```\n{table}\n```"


def draw(
  parts: Parts, records: dict[str, Records], folder: pathlib.Path
) -> list[pathlib.Path]:
  """Draws all figures of a study, as PNG and SVG; returns the files."""
  rows = printable_leaves(study.main_rows(parts))
  paths = figures.save(figures.methods(records[study.MAIN]), folder / "methods")
  roc = figures.roc_curves(rows, headline.curves(rows))
  paths += figures.save(roc, folder / "roc")
  for name, own in records.items():
    if by_dose := doses.drawn(name, own):
      paths += figures.save(figures.dose(by_dose, dose.WANTED), folder / name)
    elif name != study.MAIN:
      paths += figures.save(figures.ablation(own), folder / name)
    if by_length := headline.by_length(name, own):
      drawn = figures.training_length(by_length)
      paths += figures.save(drawn, folder / headline.LENGTHS)
  return paths


def report(parts: Parts, folder: pathlib.Path, summarise: Summarise) -> str:
  """Writes summary.json, ablations.json, tables.md and figures; returns the tables."""
  text, records = make_tables(parts, summarise)
  write_whole(folder / "summary.json", rows_to_json(records[study.MAIN]))
  tidy = [r for name, own in records.items() if name != study.MAIN for r in own]
  write_whole(folder / "ablations.json", rows_to_json(tidy))
  together = document(text)
  write_whole(folder / "tables.md", together + "\n")
  draw(parts, records, folder / "figures")
  return together
