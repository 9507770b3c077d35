"""From a study's rows to its tables and figures; scores nothing, reads no flags."""

import functools
import pathlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import (
  comparison_tables,
  comparisons,
  difficulty,
  gates,
  pivot,
  record_tables,
  sets,
  study,
  summary,
  tables,
)
from lsaprobe_jax.report import figures
from lsaprobe_jax.strict_json import rows_to_json
from lsaprobe_jax.text import printable_leaves

Records = list[dict[str, Any]]

# Methods, and whether less a reference's score, that sets are tested by.
_SET_METHODS = ((study.PROBE, "none"), (study.LOSS, "none"), (study.LOSS, "reference"))
_ALBUM_TRACKS = 5
# Of each of the 200 divisions that show the level: 5% of these and one is whole.
_NULL_PERMUTATIONS = 199


def make_tables(
  parts: dict[str, list[dict]], summarise: Callable[[list[dict]], Records]
) -> tuple[dict[str, str], dict[str, Records]]:
  """(Markdown by the name of the table, records by the name of the part)."""
  parts = printable_leaves(parts)
  study.check_ablations(parts)
  rows = study.main_rows(parts)
  records = {study.MAIN: summarise(rows)}
  against = comparisons.against(rows)
  text = {
    "gates": record_tables.format_gates(records[study.MAIN]),
    study.MAIN: record_tables.markdown_main(records[study.MAIN]),
    "comparisons": comparison_tables.format_comparisons(against),
    "operating_points": record_tables.format_operating_points(records[study.MAIN]),
    "models": record_tables.format_table(records[study.MAIN]),
    "sets": _sets(rows),
  }
  advantages = [record | {"ablation": study.MAIN, "value": ""} for record in against]
  for name, own in parts.items():
    if name not in (study.MAIN, study.TUNE):
      found = study.records_by_value(name, own, summarise)
      text[f"{name}_gates"] = _by_value(found, record_tables.format_gates)
      if {study.PROBE} < {row["method"] for row in own} - {pivot.BLIND}:
        compared = _compared_by_value(name, own)
        family = f"the number under all values, {len(compared)}"
        show = functools.partial(comparison_tables.format_comparisons, family=family)
        text[f"{name}_comparisons"] = _by_value(compared, show)
        advantages += compared
      records[name] = gates.without(found)
      text[name] = record_tables.markdown_ablation(records[name])
      text[f"{name}_tpr"] = record_tables.markdown_ablation(records[name], tpr_at="0.05")
  methods = dict.fromkeys(row["method"] for row in rows)
  rivals = [name for name in methods if f"{name}{pivot.NFE_MATCHED}" in methods]
  if advantage := comparison_tables.format_advantage(advantages, rivals):
    text["advantage"] = advantage
  return text, records


def _sets(rows: Records) -> str:
  """All members as one set, and those of each album, against all non-members.

  An album is tracks that are called alike up to the first hyphen, as those of a Debian
  package are. Its tracks among the non-members, against the others of these, are its
  control: what its music alone does.
  """
  parts = []
  for method, calibrated in _SET_METHODS:
    own = [
      r
      for r in rows
      if (r["method"], r["difficulty_calibration"]) == (method, calibrated)
    ]
    for model in sorted({row["model"] for row in own} - {pivot.REFERENCE}):
      judged = [row for row in own if row["model"] == model]
      members, others = (
        [row for row in judged if row["split"] == split and row["score"] is not None]
        for split in pivot.JUDGED
      )
      found = {"members": _track_means(members)}
      albums = Counter(a for a, _ in {(_album(r), r["track"]) for r in members})
      # One that holds all members is no set of its own.
      sizes = range(_ALBUM_TRACKS, len(found["members"]))
      for album in sorted(a for a, count in albums.items() if count in sizes):
        own_tracks = [row for row in members if _album(row) == album]
        found[f"{album}-*"] = _track_means(own_tracks)
      if min(len(means) for means in (*found.values(), _track_means(others))) < 4:
        continue
      tests = sets.compare_sets(found, _track_means(others))
      tests |= _unseen_albums(others)
      rejections = sets.null_rejections(
        [row["score"] for row in others],
        [row["track"] for row in others],
        permutations=_NULL_PERMUTATIONS,
      )
      name = f"{tables.label(method, calibrated)}, {model}:"
      parts.append(f"{name}\n{sets.format_tests(tests, rejections)}")
  return "\n\n".join(parts) or "too few tracks"


def _unseen_albums(rows: Records) -> dict[str, sets.SetTest]:
  """Albums of non-members, each against the other non-members, corrected by Holm."""
  counts = Counter(a for a, _ in {(_album(r), r["track"]) for r in rows})
  tests = {}
  for album in sorted(a for a, count in counts.items() if count >= _ALBUM_TRACKS):
    own, rest = (
      _track_means([row for row in rows if (_album(row) == album) == among])
      for among in (True, False)
    )
    if len(rest) > 3:
      name = f"{album}-*, not trained on"
      tests |= sets.compare_sets({name: own}, rest)
  p_holm = comparisons.holm([test.p_value for test in tests.values()])
  return {
    name: test._replace(p_holm=float(p))
    for (name, test), p in zip(tests.items(), p_holm, strict=True)
  }


def _album(row: dict[str, Any]) -> str:
  return row["track"].split("-")[0]


def _track_means(rows: Records):
  return sets.track_means([r["score"] for r in rows], [r["track"] for r in rows])


def _by_value(records: Records, show: Callable[[Records], str]) -> str:
  """The same table at every value of an ablation."""
  values = list(dict.fromkeys(record["value"] for record in records))
  found = {v: [r for r in records if r["value"] == v] for v in values}
  return "\n\n".join(f"{v}:\n{show(own)}" for v, own in found.items())


def _compared_by_value(name: str, rows: Records) -> Records:
  """The probe's comparisons at every value, corrected for all of them together."""
  found = []
  for value in dict.fromkeys(row["value"] for row in rows):
    own = [row for row in rows if row["value"] == value]
    own += difficulty.by_reference(own)
    named = {"ablation": name, "value": value}
    found += [record | named for record in comparisons.against(own)]
  return comparisons.corrected(found)


def draw(
  parts: dict[str, list[dict]], records: dict[str, Records], folder: pathlib.Path
) -> list[pathlib.Path]:
  """All figures of a study, as PNG and SVG."""
  rows = study.main_rows(printable_leaves(parts))
  paths = figures.save(figures.methods(records[study.MAIN]), folder / "methods")
  drawn = [
    (name, cal) for name in (study.PROBE, study.LOSS) for cal in ("none", "reference")
  ]
  there = {(row["method"], row["difficulty_calibration"]) for row in rows}
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
  write_whole(folder / "summary.json", rows_to_json(records[study.MAIN]))
  tidy = [r for name, own in records.items() if name != study.MAIN for r in own]
  write_whole(folder / "ablations.json", rows_to_json(tidy))
  together = "\n\n".join(f"## {name}\n\n{table}" for name, table in text.items())
  write_whole(folder / "tables.md", together + "\n")
  draw(parts, records, folder / "figures")
  return together
