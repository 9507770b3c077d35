"""Difficulty calibration: scores less those of a model that saw neither side."""

import math
from collections.abc import Iterable

from lsaprobe_jax.metrics.pivot import REFERENCE, SETTING, pivot
from lsaprobe_jax.rows import Row


def by_reference(rows: Iterable[Row]) -> list[Row]:
  """Difficulty-calibrated rows: target score minus reference score, per clip.

  The rule is that of Watson et al., ICLR 2022 (docs/evaluation.md, rule 9). The split
  of the reference's rows does not matter, as it saw neither side. Clips, methods or
  settings without a reference row give none.

  Args:
    rows: rows of targets and of the reference; those calibrated already are passed
      over.

  Returns:
    New rows with `difficulty_calibration` 'reference', no `cost`, the evaluations and
    seconds of both models (both are spent) and `reached` only where both searches
    succeeded.

  Raises:
    ValueError: where a difference is not a number, or a row is there twice.
  """
  raw = [row for row in rows if row["difficulty_calibration"] == "none"]
  key = lambda row: (*(row[name] for name in SETTING), row["clip"])
  reference = pivot((row for row in raw if row["model"] == REFERENCE), key)
  pairs = [(row, reference.get(key(row))) for row in raw if row["model"] != REFERENCE]
  return [_calibrated(row, other) for row, other in pairs if other is not None]


def _calibrated(row: Row, reference: Row) -> Row:
  score = row["score"] - reference["score"]
  if math.isnan(score):
    raise ValueError(
      f"{row['clip']} under {row['model']}, {row['method']}: no difference of scores"
      f" {row['score']} and {reference['score']}"
    )
  spent = {
    key: row[key] + reference[key] for key in ("nfe_forward", "nfe_backward", "seconds")
  }
  found = [r["reached"] for r in (row, reference) if r["reached"] is not None]
  return {
    **row,
    **spent,
    "score": score,
    "difficulty_calibration": "reference",
    "cost": None,
    "reached": all(found) if found else None,
  }
