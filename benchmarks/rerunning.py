"""What of an evaluation's rows changes when it is run again (`benchmarks.rerun`)."""

from collections.abc import Sequence

import numpy as np

from lsaprobe_jax.metrics import pivot, tables
from lsaprobe_jax.rows import Row, key_of

_OF_A_RECORD = ("method", "model", "difficulty_calibration", "t_ratio", "distance")


def differences(rows: Sequence[Sequence[Row]]) -> dict[str, dict[str, float]]:
  """By method, the largest and the median change of a score, twins' among them.

  Args:
    rows: of an evaluation and of its rerun.

  Returns:
    `largest` and `median`, over the standard deviation of the method's scores, and
    `rows`, their number.

  Raises:
    ValueError: the two do not have the same rows.
  """
  first, again = ({key_of(r): _scores(r) for r in own} for own in rows)
  if first.keys() != again.keys():
    odd = len(first.keys() ^ again.keys())
    raise ValueError(f"{odd} rows are in one of the two only: finish both")
  found = {}
  for method in dict.fromkeys(r["method"] for r in rows[0]):
    keys = [key_of(r) for r in rows[0] if r["method"] == method]
    old, new = (np.concatenate([own[key] for key in keys]) for own in (first, again))
    moved = np.abs(new - old) / (old.std() or 1.0)
    found[method] = {
      "largest": float(moved.max()),
      "median": float(np.median(moved)),
      "rows": len(keys),
    }
  return found


def of_aucs(records: Sequence[Sequence[dict]]) -> dict[str, float]:
  """By method, the largest change of an AUC, under any model and calibration.

  Args:
    records: of `summary.summarise`, of an evaluation and of its rerun.
  """
  first, again = ({_key(r, _OF_A_RECORD): r["auc"] for r in own} for own in records)
  found: dict[str, float] = {}
  for key in first.keys() & again.keys():
    moved = abs(again[key] - first[key])
    found[key[0]] = max(found.get(key[0], 0.0), moved)
  return found


def markdown(rows: Sequence[Sequence[Row]], records: Sequence[Sequence[dict]]) -> str:
  """Both as a table, a line a method."""
  aucs = of_aucs(records)
  cells = [["method", "rows", "largest change of a score", "median", "of an AUC"]]
  for method, own in differences(rows).items():
    if method != pivot.BLIND:
      sizes = [f"{own[name]:.1e}" for name in ("largest", "median")]
      cells.append([method, str(own["rows"]), *sizes, f"{aucs.get(method, 0):.4f}"])
  note = "Changes of scores are over the standard deviation of the method's scores."
  return "\n".join([*tables.markdown(cells), "", note])


def _scores(row: Row) -> list[float]:
  """The clip's score, and those of its twins."""
  return [row["score"], *row.get("twin_scores", ())]


def _key(item: dict, names: Sequence[str]) -> tuple:
  return tuple(item.get(name) for name in names)
