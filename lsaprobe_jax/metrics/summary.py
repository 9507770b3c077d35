"""From rows of scores (scores.jsonl) to records (summary.json).

A row is one clip under one model: clip, track, group, split, model, corpus, method,
distance, t_ratio, calibrated, score (higher = member), cost, reached,
nfe_forward, nfe_backward, seconds, seed. A setting is one corpus, method,
distance, t_ratio and raw or calibrated; a record is one setting under one model.

Models named A and B are a cross-over and get a third record, `mean`. The model
named `reference` saw neither side: its records are the null control, side a against
side b. Blind rows touch no model; by convention they are written once, under the
first target (A) with its splits, so that their record reads A against B.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np

from lsaprobe_jax.metrics import intervals, roc

TARGETS = (0.001, 0.01, 0.05)
BASE_RATES = (0.01, 0.1, 0.5)
CROSS_OVER = ("A", "B")
REFERENCE = "reference"
BLIND = "blind"
# Behind the name of a method with as many evaluations as the probe (BASELINES rule 4).
NFE_MATCHED = "_nfe_matched"

SETTING = ("corpus", "method", "distance", "t_ratio", "difficulty_calibration")
# Splits of the clips that a figure is about; others are development clips.
JUDGED = ("member", "nonmember")

# Methods that their sources leave open, or that differ from them: see
# docs/evaluation.md.
OUR_READING = ("trajectory", "pfami", "noise_optimisation")

_ROUNDING = 1e-9  # a cross-over mean of exactly 0.5 may miss it in the last bit


def readings(records: Iterable[dict]) -> list[str]:
  """A line that says which methods of a table are our reading, or none."""
  found = {record["method"].removesuffix(NFE_MATCHED) for record in records}
  named = [name for name in OUR_READING if name in found]
  return [f"Our reading of what the source leaves open: {', '.join(named)}."] * bool(
    named
  )


def setting_of(item: dict) -> tuple:
  """The values of `SETTING` in a row or a record."""
  return tuple(item[name] for name in SETTING)


def summarise(
  rows: Iterable[dict], targets=TARGETS, resamples: int = 10_000, seed: int = 0
) -> list[dict]:
  """Records of every setting and model, the content of summary.json.

  Only the splits member and nonmember are judged. The mean of a cross-over takes the
  clips that have a row under both models; its counts are sums over the two models
  and its TPR, realised FPR and AUC are means. `n_dropped` is the number of clips of
  the setting that the record lacks. A mean is flagged where either model is.

  By target FPR: `tpr` (`tpr_roc` in BASELINES rule 2) with `fpr_realised`,
  `false_positives` and `ties` (clips at the cut: one a model is no tie) is cut on the
  judged clips' own ROC. `tpr`, its interval and `precision` are None where the target
  is below 1 / (n + 1) of a model's n non-members (`roc.estimable`). `tpr_dev_cutoff`
  and `fpr_dev_cutoff`, the rate it came to on the judged non-members, are cut where the
  split dev of the same setting and model, `n_dev` clips, says (`roc.cutoff`); they are
  None where that cannot be estimated, for a mean under either model. `precision`, by
  base rate besides, goes with `tpr` and the 95% upper bound on its FPR
  (`roc.fpr_bound`), as 0 of few false positives prove no rate of 0: at least so many of
  those accused are members.

  `auc_ci` is clustered by track (`intervals.interval`), `auc_ci_delong` the same
  with every clip its own cluster, both widened for the cross-fitted blind scores;
  `tpr_ci` the percentile interval of
  `intervals.bootstrap`; all 95%, and None where a side has a single track. The
  figures do not depend on the order of the rows.

  Args:
    rows: see the module; add those of `calibration.by_reference` for both forms.
    targets: target false-positive rates, the keys of `tpr` as strings.
    resamples: number of bootstrap resamples.
    seed: of the bootstrap.

  Returns:
    Records sorted by setting, then targets by name, `mean`, `reference`.

  Raises:
    ValueError: naming the setting: a NaN score, an empty class, a row that is there
      twice, a track on both sides, a clip that is a member of both A and B.
  """
  records = []
  rows = list(rows)
  development = _development(rows)
  for setting, models in sorted(_by_setting(rows).items(), key=_sort_key):
    named = dict(zip(SETTING, setting, strict=True))
    dev = {model: development.get((*setting, model), []) for model in models}
    try:
      for name, estimates in _estimates(models, dev, (targets, resamples, seed)):
        records.append(_record(named, name, estimates, targets))
    except ValueError as error:
      raise ValueError(f"{named}: {error}") from error
  return records


def gates(records: list[dict]) -> list[dict]:
  """The gates of BASELINES rule 5 that the records hold, the blind baseline first.

  Args:
    records: see `summary.summarise`.

  Returns:
    One dict a gate: `kind` (`blind` or, for the null control, `reference`), `record`,
    `holds` (whether the interval contains 0.5; None without interval) and `leak`, half
    the interval's width: an AUC of this classifier or method that is nearer to 0.5 is
    not told from it. A leak that it does not hear is not bounded by that.
  """
  raw = [r for r in records if r["difficulty_calibration"] == "none"]
  blind = [r for r in raw if r["method"] == BLIND]
  blind = [r for r in blind if r["model"] not in (REFERENCE, "mean")]
  null = [r for r in raw if r["model"] == REFERENCE and r["method"] != BLIND]
  return [_read_gate(BLIND, r) for r in blind] + [
    _read_gate(REFERENCE, r) for r in null
  ]


def _read_gate(kind: str, record: dict) -> dict:
  gate = {"kind": kind, "record": record, "holds": None, "leak": None}
  if record["auc_ci"] is not None:
    low, high = record["auc_ci"]
    gate["holds"] = low - _ROUNDING <= 0.5 <= high + _ROUNDING
    gate["leak"] = (high - low) / 2
  return gate


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Estimates:
  """What one record needs: k models (1, or 2 for the mean) on their clips."""

  rows: list[list[dict]]  # [k][clips of that model]
  points: list[list[roc.TprAtFpr]]  # [k][targets]
  dev_cutoffs: list[list[roc.DevelopmentCutoff | None]]  # [k][targets]
  n_nonmember: list[int]  # [k]
  n_dev: int
  clustered: intervals.AucEstimate  # of k models
  delong: intervals.AucEstimate
  tpr_ci: list[intervals.Interval]  # by target, of the mean over the k models
  dropped: int


def _estimates(models, development, how) -> Iterator[tuple[str, _Estimates]]:
  """Record names with their estimates, for one setting."""
  scored = {m: t for m, t in models.items() if m != REFERENCE}
  groups = {name: [name] for name in sorted(scored)}
  if scored.keys() >= set(CROSS_OVER):
    groups["mean"] = list(CROSS_OVER)
    _check_cross_over(*(scored[name] for name in CROSS_OVER))
  clips = sorted(set().union(*scored.values()))
  tables = dict(scored)
  # The null control is read on the clips that the targets are judged on.
  judged = set(clips)
  null = {c: r for c, r in models.get(REFERENCE, {}).items() if c in judged}
  if {row["group"] for row in null.values()} >= {"a", "b"}:
    tables[REFERENCE] = {c: r for c, r in null.items() if r["group"] in ("a", "b")}
    groups[REFERENCE] = [REFERENCE]
  for name, members in groups.items():
    common = [c for c in clips if all(c in tables[m] for m in members)]
    yield (
      name,
      _estimate(
        [[tables[m][c] for c in common] for m in members],
        [development[m] for m in members],
        len(clips) - len(common),
        how,
      ),
    )


def _estimate(rows, development, dropped, how) -> _Estimates:
  targets, resamples, seed = how
  scores = np.array([[row["score"] for row in table] for table in rows], float)
  labels = np.array([[_label(row) for row in table] for table in rows])
  points = [
    [roc.tpr_at_fpr(s, label, target) for target in targets]
    for s, label in zip(scores, labels, strict=True)
  ]
  tracks = [row["track"] for row in rows[0]]
  sides = [row["group"] for row in rows[0]]
  hashable = lambda table: tuple(map(tuple, table.tolist()))
  tpr_ci = _bootstrapped_tpr(
    (hashable(scores), hashable(labels), tuple(tracks), tuple(sides)),
    (tuple(targets), resamples, seed),
  )
  return _Estimates(
    rows=rows,
    points=points,
    dev_cutoffs=[
      [_dev_cutoff(s, label, dev, target) for target in targets]
      for s, label, dev in zip(scores, labels, development, strict=True)
    ],
    n_nonmember=np.sum(~labels, axis=1).tolist(),
    n_dev=sum(map(len, development)),
    clustered=intervals.clustered_auc(scores, labels, tracks),
    delong=intervals.clustered_auc(scores, labels),
    tpr_ci=tpr_ci,
    dropped=dropped,
  )


# An ablation has the rivals that it leaves alone at every value.
@functools.lru_cache(maxsize=4096)
def _bootstrapped_tpr(clips, how) -> list[intervals.Interval]:
  """By target, the interval of TPR averaged over the models (`intervals.bootstrap`)."""
  scores, labels, tracks, sides = clips
  targets, resamples, seed = how
  replicates = intervals.bootstrap(
    scores, labels, tracks, sides, targets, resamples=resamples, seed=seed
  )
  return [intervals.percentile_ci(values) for values in replicates.tpr.mean(axis=0)]


def _dev_cutoff(scores, labels, development, target) -> roc.DevelopmentCutoff | None:
  cut = roc.cutoff(development, target)
  return None if cut is None else roc.at_cutoff(scores, labels, cut)


def _record(setting: dict, model: str, estimates: _Estimates, targets) -> dict:
  rows = [row for table in estimates.rows for row in table]
  labels = [_label(row) for row in rows]
  mean = np.full(len(estimates.rows), 1 / len(estimates.rows))
  by_target = dict(
    zip(map(str, targets), zip(*estimates.points, strict=True), strict=True)
  )
  cross_fitted = setting["method"] == BLIND
  auc_ci, auc_ci_delong = (
    _interval(intervals.interval(estimate, mean, cross_fitted=cross_fitted))
    for estimate in (estimates.clustered, estimates.delong)
  )
  known = {
    target: all(roc.estimable(float(target), n) for n in estimates.n_nonmember)
    for target in by_target
  }
  tpr_ci = {
    target: _interval(bounds) if auc_ci and known[target] else None
    for target, bounds in zip(by_target, estimates.tpr_ci, strict=True)
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
    "n_dropped": estimates.dropped,
    "auc": float(estimates.clustered.auc @ mean),
    "auc_ci": auc_ci,
    "auc_ci_delong": auc_ci_delong,
    "tpr": {
      t: _mean([p.tpr for p in ps]) if known[t] else None for t, ps in by_target.items()
    },
    "tpr_ci": tpr_ci,
    "fpr_realised": {
      t: _mean([p.fpr_realised for p in ps]) for t, ps in by_target.items()
    },
    "false_positives": {
      t: sum(p.false_positives for p in ps) for t, ps in by_target.items()
    },
    "flagged": {t: any(p.flagged for p in ps) for t, ps in by_target.items()},
    "ties": {t: sum(p.ties for p in ps) for t, ps in by_target.items()},
    "precision": {
      t: _precision(ps, tpr_ci[t], estimates.n_nonmember)
      if known[t]
      else dict.fromkeys(map(str, BASE_RATES))
      for t, ps in by_target.items()
    },
    "n_dev": estimates.n_dev,
    **_dev_cutoff_rates(by_target, estimates.dev_cutoffs),
    "reached": _mean(reached) if reached else None,
    "nfe_forward": _median(rows, "nfe_forward"),
    "nfe_backward": _median(rows, "nfe_backward"),
    "seconds": _median(rows, "seconds"),
  }


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


def _by_setting(rows) -> dict[tuple, dict[str, dict[str, dict]]]:
  """Rows by setting, model and clip; only those that are judged."""
  settings = {}
  for (*setting, model, clip), row in index(rows).items():
    if model == REFERENCE or row["split"] in JUDGED:
      settings.setdefault(tuple(setting), {}).setdefault(model, {})[clip] = row
  return {s: models for s, models in settings.items() if models.keys() - {REFERENCE}}


def _development(rows) -> dict[tuple, list[float]]:
  """Scores of development clips by setting and model."""
  scores = {}
  for (*key, _), row in index(rows).items():
    if row["split"] == "dev":
      scores.setdefault(tuple(key), []).append(row["score"])
  return scores


def index(rows) -> dict[tuple, dict]:
  """Rows by setting, model and clip, each of which may be there once.

  Raises:
    ValueError: a row is there twice.
  """
  found = {}
  for row in rows:
    key = key_of(row, row["model"])
    if key in found:
      raise ValueError(f"two rows for {key}")
    found[key] = row
  return found


def key_of(row: dict, model: str) -> tuple:
  """What a row with this model's score of the same clip and setting is found by."""
  return (*setting_of(row), model, row["clip"])


def _sort_key(item) -> tuple:
  corpus, method, distance, t_ratio, calibrated = item[0]
  return corpus, method, distance or "", -1 if t_ratio is None else t_ratio, calibrated


def _label(row: dict) -> bool:
  return row["group"] == "a" if row["model"] == REFERENCE else row["split"] == "member"


def _check_cross_over(first: dict, second: dict) -> None:
  same = [c for c in first if c in second and _label(first[c]) == _label(second[c])]
  if same:
    raise ValueError(
      f"{len(same)} clips have the same split under A and B, e.g. {min(same)}:"
      " in a cross-over a clip is a member of exactly one"
    )


def _interval(bounds: intervals.Interval) -> list[float] | None:
  return None if math.isnan(bounds[0]) else [float(bound) for bound in bounds]


def _mean(values) -> float:
  return float(np.mean(values))


def _median(rows, key: str) -> float | None:
  values = [row[key] for row in rows if row[key] is not None]
  return float(np.median(values)) if values else None
