"""A comparison of searches: what each finds, and what it spends, on the same clips."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from lsaprobe_jax.metrics import comparisons, intervals, pivot, tables
from lsaprobe_jax.rows import Row

# Costs nearer than this, relative, are the same.
_TIE = 1e-4


def passes(row: dict[str, Any], num_inference_steps: int) -> float:
  """What a row spent, in differentiated reverse processes.

  One takes S network function evaluations forward and S backward, each of those as much
  as two forward: 3 S in all. Rematerialisation adds a third to it.
  """
  return (row["nfe_forward"] + 2 * row["nfe_backward"]) / (3 * num_inference_steps)


def summarise(
  rows: Iterable[dict[str, Any]], *, baseline: str, num_inference_steps: int
) -> list[dict[str, Any]]:
  """One record for each search.

  Only halves count, and only clips that every search has scored under both models of
  the cross-over. A search that did not reach tau has an infinite cost.

  Args:
    rows: rows of the probe (`results`) under A and B, `method` the search's name.
    baseline: the search to compare the others with.
    num_inference_steps: S, DDIM steps of the reverse process.

  Returns:
    Records, in the order of the rows, with `search`, `n` (clips times models),
    `passes` (median, differentiated reverse processes), `seconds` (median, a clip),
    `ratio` and `ratio_p90` (cost over the baseline's, median and 90th percentile),
    `rank_ratio` (the same of the interpolated crossing, median), `tightest` (share
    with the lowest cost, ties counted for all), `censored` (share), `descents`
    (share in which D failed to grow somewhere), `auc` (cross-over mean), and
    against the baseline `auc_difference`, `auc_difference_ci`, `p_value` (paired,
    clustered by track).

  Raises:
    ValueError: no clips in common, no rows of the baseline, or two of one clip.
  """
  by_search = _tables(rows)
  if baseline not in by_search:
    raise ValueError(f"no rows of the baseline {baseline}")
  clips = _common_clips(by_search.values())
  keys = [(model, clip) for model in pivot.CROSS_OVER for clip in clips]
  chosen = {name: [table[key] for key in keys] for name, table in by_search.items()}
  costs = {name: np.array(list(map(_cost, own))) for name, own in chosen.items()}
  least = np.min(list(costs.values()), axis=0)
  return [
    {"search": name, "n": len(keys)}
    | _spending(own, num_inference_steps)
    | _found(own, chosen[baseline], costs[name], costs[baseline], least)
    | _aucs(by_search[name], by_search[baseline], clips)
    for name, own in chosen.items()
  ]


def _tables(rows: Iterable[Row]) -> dict[str, dict[tuple[str, str], Row]]:
  """Rows of the halves under A and B, by search and (model, clip)."""
  halves = (
    row
    for row in rows
    if row["split"] in pivot.JUDGED and row["model"] in pivot.CROSS_OVER
  )
  return pivot.pivot(halves, "method", ("model", "clip"))


def _spending(rows, num_inference_steps: int) -> dict[str, float]:
  return {
    "passes": _median([passes(row, num_inference_steps) for row in rows]),
    "seconds": _median([row["seconds"] for row in rows]),
  }


def _found(rows, baseline, costs, baseline_costs, least) -> dict[str, float]:
  """Costs [n] of one search against the baseline's, and the least of all searches'."""
  ratio = _ratio(costs, baseline_costs)
  ranks = [np.array([row["score"] for row in own]) for own in (rows, baseline)]
  return {
    "ratio": _median(ratio),
    "ratio_p90": float(np.quantile(ratio, 0.9, method="nearest")),
    "rank_ratio": _median(ranks[0] / ranks[1]),
    "tightest": float(np.mean(np.isfinite(costs) & (costs <= least * (1 + _TIE)))),
    "censored": float(np.mean(~np.isfinite(costs))),
    "descents": float(np.mean([row["descents"] > 0 for row in rows])),
  }


def format_table(records: list[dict[str, Any]]) -> str:
  """The records as a Markdown table."""
  header = ["search", "passes", "s/clip", "cost ratio, median", "P90", "crossing ratio"]
  header += ["tightest", "not reached", "D fell", "AUC"]
  header += ["minus baseline [95% by track]", "p, uncorrected"]
  return "\n".join(tables.markdown([header, *map(_cells, records)]))


def _cells(record: dict[str, Any]) -> list[str]:
  low, high = record["auc_difference_ci"]
  return [
    record["search"],
    f"{record['passes']:.1f}",
    f"{record['seconds']:.2f}",
    *(f"{record[name]:.3f}" for name in ("ratio", "ratio_p90", "rank_ratio")),
    *(f"{record[name]:.0%}" for name in ("tightest", "censored", "descents")),
    f"{record['auc']:.3f}",
    f"{record['auc_difference']:+.3f} [{low:+.3f}, {high:+.3f}]",
    f"{record['p_value']:.2f}",
  ]


def _common_clips(tables) -> list[str]:
  shared = set.intersection(*(set(table) for table in tables))
  clips = sorted(
    set.intersection(*({c for m, c in shared if m == x} for x in pivot.CROSS_OVER))
  )
  if not clips:
    raise ValueError("no clip was scored by every search under both A and B")
  return clips


def _cost(row) -> float:
  return np.inf if row["cost"] is None else row["cost"]


def _ratio(costs, baseline) -> np.ndarray:
  """Cost over the baseline's; 1 where neither reached tau."""
  neither = np.isinf(costs) & np.isinf(baseline)
  return np.where(neither, 1.0, costs / np.where(neither, 1.0, baseline))


def _median(values) -> float:
  # Infinite costs have an order but no mean.
  return float(np.quantile(np.asarray(values, float), 0.5, method="nearest"))


def _aucs(table, baseline, clips) -> dict[str, Any]:
  lanes = [(rows, model) for rows in (table, baseline) for model in pivot.CROSS_OVER]
  scores = [[rows[model, clip]["score"] for clip in clips] for rows, model in lanes]
  labels = [
    [rows[model, clip]["split"] == "member" for clip in clips] for rows, model in lanes
  ]
  tracks = [table["A", clip]["track"] for clip in clips]
  estimate = intervals.clustered_auc(np.array(scores), np.array(labels), tracks)
  found = comparisons.compare(estimate, (0.5, 0.5, -0.5, -0.5))
  return {
    "auc": float(np.mean(estimate.auc[:2])),
    "auc_difference": found.difference,
    "auc_difference_ci": [float(bound) for bound in found.ci],
    "p_value": found.p_value,
  }
