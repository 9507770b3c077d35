"""Scores less those of a model that saw neither side."""

import math
from collections.abc import Iterable

from lsaprobe_jax.metrics import summary


def by_reference(rows: Iterable[dict]) -> list[dict]:
  """Difficulty-calibrated rows: target score minus reference score, per clip.

  Watson et al., ICLR 2022; BASELINES rule 9. The split of the reference's rows does
  not matter, as it saw neither side. Clips, methods or settings without a reference
  row give none.

  Args:
    rows: rows of targets and of the reference; difficulty-calibrated ones are passed over.

  Returns:
    New rows with `difficulty_calibration` 'reference', no `cost`, the passes and seconds of both
    models (both are spent) and `reached` only where both searches succeeded.

  Raises:
    ValueError: where a difference is not a number, or a row is there twice.
  """
  raw = [row for row in rows if row["difficulty_calibration"] == "none"]
  reference = summary.index(row for row in raw if row["model"] == summary.REFERENCE)
  pairs = [
    (row, reference.get(summary.key_of(row, summary.REFERENCE)))
    for row in raw
    if row["model"] != summary.REFERENCE
  ]
  return [_calibrated(row, other) for row, other in pairs if other is not None]


def _calibrated(row: dict, reference: dict) -> dict:
  score = row["score"] - reference["score"]
  if math.isnan(score):
    raise ValueError(
      f"{summary.key_of(row, row['model'])}: no difference of scores {row['score']} and"
      f" {reference['score']}"
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
