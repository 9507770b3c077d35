"""The headline table: a few methods in all studies, one row a study."""

from lsaprobe_jax.metrics import pivot, study, tables

# The order of RESULTS.md; other studies come behind by name.
_ORDER = ("mini", "larger", "core-full", "chorales", "grid")
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
  header = ["study", "tracks", *(tables.label(*method) for method in _METHODS)]
  cells = [header]
  for name, own in rows.items():
    found = pivot.groups(own, ("method", "difficulty_calibration"))
    cells.append([name, str(_tracks(own))])
    cells[-1] += [_auc(found[key][0]) if key in found else "" for key in _METHODS]
  return "\n".join(tables.markdown(cells))


def _place(name: str) -> tuple[int, str]:
  return _ORDER.index(name) if name in _ORDER else len(_ORDER), name


def _tracks(records: list[dict]) -> int:
  return max(record["n_tracks"] for record in records)


def _auc(record: dict) -> str:
  above = record["auc_ci"] is not None and record["auc_ci"][0] > 0.5
  return f"**{tables.auc(record)}**" if above else tables.auc(record)
