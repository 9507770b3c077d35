"""Which methods stand for all others, and the short tables of RESULTS.md."""

from collections.abc import Iterable

from lsaprobe_jax.metrics import (
  comparison_tables,
  comparisons,
  pivot,
  record_tables,
  study,
  tables,
)
from lsaprobe_jax.rows import Row
from lsaprobe_jax.text import printable_leaves

ANCHORED = f"{study.PROBE}_anchored"
# Methods whose calibrations are compared by table and figure.
COMPARED = (study.LOSS, "rediffuse", study.PROBE, ANCHORED)
# The ablation that trains longer, and the name of its table and figure of those.
_EPOCHS, LENGTHS = "epochs", "training_length"
# Ablations of which the within-clip contrasts are tabulated: by length of training too,
# raw AUCs may be near 0.5 where there is something to find.
CONTRASTED = (_EPOCHS, "passes")
_CURVES = (study.PROBE, ANCHORED, study.LOSS)
# Rows of the short tables, and those of the shortest.
_FEW = (*COMPARED, "path_error")
_FEWEST = (study.LOSS, ANCHORED)

# The order of RESULTS.md; other studies come behind by name.
_ORDER = ("mini", "extra", "larger", "core-full", "chorales", "grid")
# Each cell of a grid of models has a row; that one is the study `mini` again.
_GRID, _CELLS = "grid", "cell"
_REPEATED = "diffwave-multigenre"

_METHODS = (
  (study.PROBE, "none"),
  ("random_stability", "none"),
  (study.LOSS, "none"),
  (study.LOSS, "reference"),
  ("rediffuse", "reference"),
)
# Behind these, where some study has them.
_NEWER = ((study.LOSS, "twins"), (ANCHORED, "twins"))


def format_headline(records: dict[str, dict[str, list[dict]]]) -> str:
  """AUC with its interval of the probe and a few baselines, one row a study or cell.

  Args:
    records: by study and part (`studies.make_tables`).

  Returns:
    A Markdown table. Bold intervals lie above 0.5 as a whole.
  """
  rows: dict[str, list[dict]] = {}
  for name in sorted(records, key=_place):
    parts = records[name]
    if name == _GRID and _CELLS in parts:
      cells = pivot.groups(pivot.headline(parts[_CELLS]), "value")
      rows |= {str(cell): own for cell, own in cells.items() if cell != _REPEATED}
    else:
      rows[name] = pivot.headline(parts[study.MAIN])
  key = ("method", "difficulty_calibration")
  there = {tuple(r[k] for k in key) for own in rows.values() for r in own}
  methods = [*_METHODS, *(method for method in _NEWER if method in there)]
  header = ["study", "tracks", *(tables.label(*method) for method in methods)]
  cells = [header]
  for name, own in rows.items():
    found = pivot.groups(own, key)
    cells.append([name, str(_tracks(own))])
    cells[-1] += [_auc(found[key][0]) if key in found else "" for key in methods]
  return "\n".join(tables.markdown(cells))


def short_tables(
  parts: dict[str, list[Row]], records: dict[str, list[dict]]
) -> dict[str, str]:
  """What RESULTS.md shows of a study's twins, of a few methods.

  Args:
    parts: rows by the name of their file (`study.read`).
    records: of `studies.make_tables`.

  Returns:
    `calibrations`, the AUCs side by side; where there are twins, `differences`, the
    comparisons with the probe and of twins with the reference model, corrected as in
    tables.md; and where there are lengths of training, `lengths`.
  """
  main = records[study.MAIN]
  text = {"calibrations": record_tables.markdown_side_by_side(main, _FEW)}
  if any(record["difficulty_calibration"] == "twins" for record in main):
    rows = printable_leaves(study.main_rows(parts))
    text["differences"] = comparison_tables.format_side_by_side(
      comparisons.against(rows), comparisons.twins_against_reference(rows), _FEW
    )
  for name, own in records.items():
    if found := [r for r in by_length(name, own) if r["method"] in _FEWEST]:
      text["lengths"] = record_tables.narrow_ablation(found)
  return text


def curves(rows: Iterable[Row]) -> list[tuple[str, str]]:
  """Methods and calibrations whose ROC is drawn, of those that are there."""
  there = {(row["method"], row["difficulty_calibration"]) for row in rows}
  wanted = ((name, cal) for name in _CURVES for cal in ("none", "reference", "twins"))
  return [key for key in wanted if key in there]


def by_length(name: str, records: list[dict]) -> list[dict]:
  """Headline records of a few methods by length of training, in all calibrations.

  Args:
    name: name of an ablation.
    records: its records (`study.ablation_records`), with `value` the epochs.

  Returns:
    Records by method and calibration; none unless the ablation is `epochs`, in numbers,
    and some of its rows have twins.
  """
  if name != _EPOCHS:
    return []
  shown = [r for r in pivot.headline(records) if r["method"] in COMPARED]
  twins = any(r["difficulty_calibration"] == "twins" for r in shown)
  numeric = all(isinstance(r["value"], int | float) and r["value"] > 0 for r in shown)
  if not twins or not numeric:
    return []
  order = list(tables.CALIBRATIONS)
  place = lambda r: (
    COMPARED.index(r["method"]),
    order.index(r["difficulty_calibration"]),
  )
  return sorted(shown, key=place)


def _place(name: str) -> tuple[int, str]:
  return _ORDER.index(name) if name in _ORDER else len(_ORDER), name


def _tracks(records: list[dict]) -> int:
  return max(record["n_tracks"] for record in records)


def _auc(record: dict) -> str:
  above = record["auc_ci"] is not None and record["auc_ci"][0] > 0.5
  return f"**{tables.auc(record)}**" if above else tables.auc(record)
