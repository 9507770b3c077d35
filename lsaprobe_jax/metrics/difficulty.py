"""Difficulty calibration: scores less what makes a clip hard for any model.

What is taken off is the score under a model that saw neither side, the mean score of
the clip's twins under the same model (`twins`), or both. Scores that are minus a
magnitude, an error or a norm, are compared by their logarithms: a clip that is twice as
hard has twice the error under every model, so that ratios are what membership moves.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from lsaprobe_jax.metrics.pivot import REFERENCE, SETTING, pivot
from lsaprobe_jax.rows import Row

_SPENT = ("nfe_forward", "nfe_backward", "seconds")


def calibrated(rows: Sequence[Row]) -> list[Row]:
  """All difficulty-calibrated rows that rows allow: by reference, by twins, by both."""
  return [*by_reference(rows), *by_twins(rows), *by_both(rows)]


def by_reference(rows: Iterable[Row]) -> list[Row]:
  """Difficulty-calibrated rows: target score minus reference score, per clip.

  The rule is that of Watson et al., ICLR 2022 (docs/evaluation.md, rule 9), by
  logarithms where scores are magnitudes. The split of the reference's rows does not
  matter, as it saw neither side. Clips, methods or settings without a reference row
  give none.

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
  return _less_reference(
    [row for row in rows if row["difficulty_calibration"] == "none"], "reference"
  )


def by_twins(rows: Iterable[Row]) -> list[Row]:
  """Difficulty-calibrated rows: the clip's score less the mean of its twins'.

  Args:
    rows: rows of any models; those without twins give none, and those calibrated
      already are passed over.

  Returns:
    New rows with `difficulty_calibration` 'twins', no `cost`, and the evaluations and
    seconds of the clip and its twins.

  Raises:
    ValueError: where a difference is not a number.
  """
  return [
    _changed(
      row,
      scale(row, row["score"])
      - float(np.mean([scale(row, score) for score in row["twin_scores"]])),
      "twins",
      [{name: row.get(f"twin_{name}", 0.0) for name in _SPENT}],
    )
    for row in rows
    if row["difficulty_calibration"] == "none" and "twin_scores" in row
  ]


def by_both(rows: Iterable[Row]) -> list[Row]:
  """Twin-calibrated rows less those of the same clips under the reference model.

  Both have what a twin is heard to be harder or easier by, which goes with it.
  """
  return _less_reference(by_twins(rows), "both")


def _less_reference(rows: Sequence[Row], name: str) -> list[Row]:
  key = lambda row: (*(row[name] for name in SETTING), row["clip"])
  reference = pivot((row for row in rows if row["model"] == REFERENCE), key)
  pairs = [(row, reference.get(key(row))) for row in rows if row["model"] != REFERENCE]
  return [
    _changed(
      row,
      scale(row, row["score"]) - scale(other, other["score"]),
      name,
      [other],
      [other["reached"]],
    )
    for row, other in pairs
    if other is not None
  ]


def scale(row: Row, score: float) -> float:
  """A score on the scale on which differences count."""
  # By twins it is a difference already.
  if not row.get("magnitude") or row["difficulty_calibration"] != "none":
    return score
  return -math.log(max(-score, np.finfo(np.float32).tiny))


def _changed(
  row: Row, score: float, name: str, others: Sequence, reached: Sequence = ()
) -> Row:
  """A row with a calibrated score, and what others spent for it."""
  if math.isnan(score):
    raise ValueError(
      f"{row['clip']} under {row['model']}, {row['method']}: no difference of scores by"
      f" {name}"
    )
  found = [r for r in (row["reached"], *reached) if r is not None]
  return {
    **row,
    **{key: row[key] + sum(other[key] for other in others) for key in _SPENT},
    "score": score,
    "difficulty_calibration": name,
    "cost": None,
    "reached": all(found) if found else None,
  }
