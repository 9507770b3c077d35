"""From rows of scores (scores.jsonl) to records (summary.json).

A row is one clip under one model by one method (`rows.Row`; a higher score speaks for
a member). A record is one setting (`pivot`) under one model: its AUC, what can be said
at target false-positive rates, and what it spent.

Models named A and B are a cross-over and get a third record, `mean`. The model named
`reference` saw neither side: its records are the null control, side a against side b.
Blind rows touch no model. By convention they are written once, under the first target
(A) with its splits, so that their record reads A against B.
"""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from lsaprobe_jax.metrics import estimates, intervals, roc
from lsaprobe_jax.metrics.estimates import Estimates
from lsaprobe_jax.metrics.pivot import (
  BLIND,
  CROSS_OVER,
  JUDGED,
  REFERENCE,
  SETTING,
  groups,
  pivot,
  setting_of,
)
from lsaprobe_jax.rows import Row

TARGETS = (0.001, 0.01, 0.05)
BASE_RATES = (0.01, 0.1, 0.5)


def summarise(
  rows: Iterable[Row], targets=TARGETS, resamples: int = 10_000, seed: int = 0
) -> list[dict]:
  """Records of every setting and model, the content of summary.json.

  Only the splits member and nonmember are judged. The mean of a cross-over takes the
  clips that have a row under both models; its counts are sums over the two models
  and its TPR, realised FPR and AUC are means. `n_dropped` is the number of clips of
  the setting that the record lacks. A mean is flagged where either model is.

  By target FPR: `tpr` (`tpr_roc` in docs/evaluation.md, rule 2) with `fpr_realised`,
  `false_positives` and `ties` (clips at the cut: one a model is no tie) is cut on the
  judged clips' own ROC. `tpr`, its interval and `precision` are None where the target
  is below 1 / (n + 1) of a model's n non-member tracks (`roc.estimable`); `flagged`
  counts tracks too, as clips of one are not independent. `tpr_dev_cutoff`
  and `fpr_dev_cutoff`, the rate it came to on the judged non-members, are cut where the
  split dev of the same setting and model says, by the highest scores of its `n_dev`
  tracks (`roc.cutoff`); they are
  None where that cannot be estimated, for a mean under either model. `precision`, by
  base rate besides, goes with `tpr` and the 95% upper bound on its FPR
  (`roc.fpr_bound`), as 0 of few false positives prove no rate of 0: at least so many of
  those accused are members.

  `auc_ci` is clustered by track (`intervals.interval`), `auc_ci_delong` the same
  with every clip its own cluster, both widened for the cross-fitted blind scores.
  `tpr_ci` is the percentile interval of `bootstrap.resample`, at least as wide as that
  of as many independent tracks (`roc.tpr_bounds`). All are at 95%, and None
  where a side has a single track. `log_snr` is there where all rows have one and the
  same. The figures do not depend on the order of the rows.

  Args:
    rows: see the module; add those of `difficulty.by_reference` for both forms.
    targets: target false-positive rates, the keys of `tpr` as strings.
    resamples: number of bootstrap resamples.
    seed: seed of the bootstrap.

  Returns:
    Records sorted by setting, then targets by name, `mean`, `reference`.

  Raises:
    ValueError: naming the setting: a NaN score, an empty class, a row that is there
      twice, a track on both sides, a clip that is a member of both A and B.
  """
  records = []
  for setting, scored in sorted(
    pivot(rows, SETTING, "model", "clip").items(), key=_order
  ):
    models = _judged(scored)
    if not models.keys() - {REFERENCE}:
      continue
    named = dict(zip(SETTING, setting, strict=True))
    dev = {model: _development(scored[model]) for model in models}
    try:
      for name, found in estimates.by_record(models, dev, (targets, resamples, seed)):
        records.append(_record(named, name, found, targets))
    except ValueError as error:
      raise ValueError(f"{named}: {error}") from error
  return records


def _judged(scored: dict[str, dict[str, Row]]) -> dict[str, dict[str, Row]]:
  """Rows by model and clip of those that are judged; models without any are left out.

  To the null control, which saw neither side, the split of a clip says nothing.
  """
  kept = {
    model: {c: r for c, r in own.items() if model == REFERENCE or r["split"] in JUDGED}
    for model, own in scored.items()
  }
  return {model: own for model, own in kept.items() if own}


def _development(scored: dict[str, Row]) -> list[float]:
  """The highest score of each development track.

  Clips of a track are alike, so that ranks among clips would allow more than they say.
  """
  tracks: dict[str, list[float]] = {}
  for row in scored.values():
    if row["split"] == "dev":
      tracks.setdefault(row["track"], []).append(row["score"])
  # Not `max`, which may pass over NaN.
  return [float(np.max(scores)) for scores in tracks.values()]


def _record(setting: dict, model: str, found: Estimates, targets) -> dict:
  """One record of summary.json, see `summarise`."""
  rows = [row for table in found.rows for row in table]
  labels = [estimates.is_member(row) for row in rows]
  mean = np.full(len(found.rows), 1 / len(found.rows))
  by_target = dict(zip(map(str, targets), zip(*found.points, strict=True), strict=True))
  cross_fitted = setting["method"] == BLIND
  auc_ci, auc_ci_delong = (
    _interval(intervals.interval(estimate, mean, cross_fitted=cross_fitted))
    for estimate in (found.clustered, found.delong)
  )
  independent = [_tracks(table, members=False) for table in found.rows]
  known = {
    target: all(roc.estimable(float(target), n) for n in independent)
    for target in by_target
  }
  rates = {t: _mean([p.tpr for p in ps]) for t, ps in by_target.items()}
  trained = sum(_tracks(table, members=True) for table in found.rows)
  tpr_ci = {
    target: _tpr_interval(bounds, rates[target], trained)
    if auc_ci and known[target]
    else None
    for target, bounds in zip(by_target, found.tpr_ci, strict=True)
  }
  reached = [row["reached"] for row in rows if row["reached"] is not None]
  return {
    "method": setting["method"],
    "model": model,
    "corpus": setting["corpus"],
    "distance": setting["distance"],
    "t_ratio": setting["t_ratio"],
    "difficulty_calibration": setting["difficulty_calibration"],
    "n_member": sum(labels),
    "n_nonmember": len(labels) - sum(labels),
    "n_tracks": len({row["track"] for row in rows}),
    "n_dropped": found.dropped,
    "auc": float(found.clustered.auc @ mean),
    "auc_ci": auc_ci,
    "auc_ci_delong": auc_ci_delong,
    "tpr": {t: rate if known[t] else None for t, rate in rates.items()},
    "tpr_ci": tpr_ci,
    "fpr_realised": {
      t: _mean([p.fpr_realised for p in ps]) for t, ps in by_target.items()
    },
    "false_positives": {
      t: sum(p.false_positives for p in ps) for t, ps in by_target.items()
    },
    "flagged": {
      t: any(roc.few_expected(float(t), n) for n in independent) for t in by_target
    },
    "ties": {t: sum(p.ties for p in ps) for t, ps in by_target.items()},
    "precision": {
      t: _precision(ps, tpr_ci[t], found.n_nonmember)
      if known[t]
      else dict.fromkeys(map(str, BASE_RATES))
      for t, ps in by_target.items()
    },
    "n_dev": found.n_dev,
    **_dev_cutoff_rates(by_target, found.dev_cutoffs),
    "reached": _mean(reached) if reached else None,
    "nfe_forward": _median(rows, "nfe_forward"),
    "nfe_backward": _median(rows, "nfe_backward"),
    "seconds": _median(rows, "seconds"),
    **_log_snr(rows),
  }


def _tracks(rows: list[Row], *, members: bool) -> int:
  """How many tracks one side has."""
  return len({row["track"] for row in rows if estimates.is_member(row) == members})


def _tpr_interval(bounds, tpr: float, tracks: int) -> list[float] | None:
  """The bootstrap's interval, widened to that of so many independent tracks.

  Where all members pass, or none, every resample says the same, and the bootstrap alone
  would be sure of it.
  """
  known = _interval(bounds)
  if known is None:
    return None
  low, high = roc.tpr_bounds(tpr, tracks)
  return [min(known[0], low), max(known[1], high)]


def _log_snr(rows: list[Row]) -> dict[str, float]:
  """The log-SNR of a record's time, where its rows say one and the same."""
  found = {row.get("log_snr") for row in rows}
  only = found.pop() if len(found) == 1 else None
  return {} if only is None else {"log_snr": only}


def _precision(
  points: list[roc.TprAtFpr], tpr_ci: list[float] | None, n_nonmember: list[int]
) -> dict[str, float | None]:
  """95% lower bound on the precision of k models by base rate; None: nobody accused.

  Of the 5%, a half is TPR's, by the lower end of its interval, and a half the FPRs',
  each of k models bounded at its share: every model has a cut of its own, so that
  their false positives are no one count.
  """
  confidence = 1 - 0.025 / len(points)
  fpr = _mean(
    [
      roc.fpr_bound(point.false_positives, n, confidence)
      for point, n in zip(points, n_nonmember, strict=True)
    ]
  )
  accused = any(point.tpr or point.false_positives for point in points)
  tpr = tpr_ci[0] if tpr_ci else 0.0
  return {str(b): roc.precision(tpr, fpr, b) if accused else None for b in BASE_RATES}


def _dev_cutoff_rates(targets, points) -> dict[str, dict[str, float | None]]:
  """tpr_dev_cutoff and fpr_dev_cutoff by target; None where a model has no cutoff."""
  tpr, fpr = {}, {}
  for target, of_models in zip(targets, zip(*points, strict=True), strict=True):
    known = all(point is not None for point in of_models)
    tpr[target] = _mean([p.tpr for p in of_models]) if known else None
    fpr[target] = _mean([p.fpr_realised for p in of_models]) if known else None
  return {"tpr_dev_cutoff": tpr, "fpr_dev_cutoff": fpr}


def _order(item) -> tuple:
  corpus, method, distance, t_ratio, calibrated = item[0]
  return corpus, method, distance or "", -1 if t_ratio is None else t_ratio, calibrated


def _interval(bounds: intervals.Interval) -> list[float] | None:
  return None if math.isnan(bounds[0]) else [float(bound) for bound in bounds]


def _mean(values) -> float:
  return float(np.mean(values))


def _median(rows, key: str) -> float | None:
  values = [row[key] for row in rows if row[key] is not None]
  return float(np.median(values)) if values else None


def check(rows: Iterable[Row], records: Iterable[dict]) -> None:
  """Refuses records whose AUC or counts are not those of the rows.

  Args:
    rows: see `summarise`.
    records: what it made of them, or is said to have made.

  Raises:
    ValueError: names the record.
  """
  judged = (r for r in rows if r["model"] == REFERENCE or r["split"] in JUDGED)
  of_setting = {
    setting: groups(own, "model") for setting, own in groups(judged, setting_of).items()
  }
  for record in records:
    tables = _judged_of(record, of_setting.get(setting_of(record), {}))
    labels = [[estimates.is_member(row) for row in own] for own in tables]
    counts = (sum(map(sum, labels)), sum(map(len, labels)) - sum(map(sum, labels)))
    fits = counts == (record["n_member"], record["n_nonmember"])
    if fits:
      scores = [[row["score"] for row in own] for own in tables]
      again = np.mean([roc.auc(*pair) for pair in zip(scores, labels, strict=True)])
      fits = abs(again - record["auc"]) <= 1e-9
    if not fits:
      raise ValueError(
        f"the summary's {record['method']} under {record['model']} is not of these"
        " rows; run the command that wrote them again"
      )


def _judged_of(record: dict, by_model: Mapping[str, list[Row]]) -> list[list[Row]]:
  """The rows that a record is of: one list a model."""
  if record["model"] == "mean":
    tables = [by_model.get(name, []) for name in CROSS_OVER]
    shared = set.intersection(*({row["clip"] for row in own} for own in tables))
    return [[row for row in own if row["clip"] in shared] for own in tables]
  own = by_model.get(record["model"], [])
  if record["model"] == REFERENCE:
    # Side a against side b, on the clips that some target is judged on.
    targets = (rows for name, rows in by_model.items() if name != REFERENCE)
    judged = {row["clip"] for rows in targets for row in rows}
    own = [r for r in own if r["group"] in ("a", "b") and r["clip"] in judged]
  return [own]
