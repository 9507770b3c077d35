"""What the push adds to the anchored probe: its D at a budget, as a score of its own.

A row of the anchored probe has the curve of D against the budget, and D at rest, of the
clip and of its twins. D at one budget is a score (lower = member) that needs no tau, so
that its AUC by budget says where C_adv gains or loses against the error of the plain
reconstruction.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lsaprobe_jax.metrics import difficulty, pivot, summary, tables
from lsaprobe_jax.rows import Row

ANCHORED = "lsa_probe_anchored"
# Rungs of a ladder that a table shows, beside rest.
_SHOWN = 5


def rows_at(rows: Iterable[Row], rung: int | None) -> list[Row]:
  """Rows of the anchored probe, scored by the worst D within a rung's budget.

  Args:
    rows: rows of any methods, of which those with a curve and twins count.
    rung: place of the budget on the ladder; None for no perturbation.
  """
  worst = lambda curve, rest: rest if rung is None else max(rest, *curve[: rung + 1])
  return [
    row
    | {
      "score": -worst(row["degradations"], row["rest"]),
      "twin_scores": [
        -worst(curve, rest)
        for curve, rest in zip(row["twin_degradations"], row["twin_rest"], strict=True)
      ],
      "magnitude": True,
    }
    for row in rows
    if row["method"] == ANCHORED and "twin_degradations" in row
  ]


def by_budget(rows: Sequence[Row]) -> list[tuple[float, dict[str, Mapping]]]:
  """Records of D at rest and at some budgets, as (budget, records by calibration)."""
  own = rows_at(rows, None)
  if not own:
    return []
  budgets = own[0]["budgets"]
  rungs = np.linspace(0, len(budgets) - 1, _SHOWN).round().astype(int)
  found = []
  for rung in (None, *map(int, rungs)):
    scored = rows_at(rows, rung)
    records = summary.summarise(scored + difficulty.calibrated(scored), resamples=1)
    kept = {r["difficulty_calibration"]: r for r in pivot.headline(records)}
    found.append((0.0 if rung is None else float(budgets[rung]), kept))
  return found


def format_by_budget(rows: Sequence[Row]) -> str:
  """A Markdown table of `by_budget`; empty where no row has a curve and twins."""
  found = by_budget(rows)
  if not found:
    return ""
  kinds = ("none", "reference", "twins", "both")
  header = ["worst D within", "raw", "by reference", "by twins", "by both"]
  cells = [
    [
      "no push" if not budget else f"{budget:.2f}",
      *(tables.auc(records[kind]) if kind in records else "-" for kind in kinds),
    ]
    for budget, records in found
  ]
  return "\n".join(tables.markdown([header, *cells]))
