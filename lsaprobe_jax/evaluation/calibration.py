"""Scores less those of a model that saw neither side."""

import math
from collections.abc import Iterable

from lsaprobe_jax.evaluation import summary


def by_reference(rows: Iterable[dict]) -> list[dict]:
  """Difficulty-calibrated rows: target score minus reference score, per clip.

  Watson et al., ICLR 2022; BASELINES rule 9. The split of the reference's rows does
  not matter, as it saw neither side. Clips, methods or settings without a reference
  row give none.

  Args:
    rows: rows of targets and of the reference; calibrated ones are passed over.

  Returns:
    New rows with `calibrated` True, no `cost`, the passes and seconds of both
    models (both are spent) and `reached` only where both searches succeeded.

  Raises:
    ValueError: where a difference is not a number, or a row is there twice.
  """
  raw = [row for row in rows if not row["calibrated"]]
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
    key: row[key] + reference[key]
    for key in ("forward_passes", "backward_passes", "seconds")
  }
  found = [r["reached"] for r in (row, reference) if r["reached"] is not None]
  return {
    **row,
    **spent,
    "score": score,
    "calibrated": True,
    "cost": None,
    "reached": all(found) if found else None,
  }
