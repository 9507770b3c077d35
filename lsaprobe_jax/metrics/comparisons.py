"""Tests between methods: paired, clustered by track, corrected for their number."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import stats

from lsaprobe_jax.metrics import intervals, pivot
from lsaprobe_jax.rows import DIFFICULTY_CALIBRATIONS, Row


class Comparison(NamedTuple):
  """A difference of AUCs and its two-sided test.

  Attributes:
    difference: the contrast's value.
    standard_error: clustered, with the covariance between the rows in it.
    statistic: difference over standard error.
    p_value: against 0, by Student's t with `clusters - 2` degrees of freedom; NaN
      where the variance cannot be estimated.
    ci: interval of the difference.
  """

  difference: float
  standard_error: float
  statistic: float
  p_value: float
  ci: intervals.Interval


def compare(
  estimate: intervals.AucEstimate, contrast=(1.0, -1.0), confidence=0.95
) -> Comparison:
  """Paired test of a contrast of AUCs (DeLong et al. 1988, clustered).

  Two methods on one target are rows (1, -1); on a cross-over, with rows in the
  order method 1 on A and B, method 2 on A and B, (1/2, 1/2, -1/2, -1/2).

  Args:
    estimate: k AUCs and their covariance (`intervals.clustered_auc`).
    contrast: [k] weights that sum to 0.
    confidence: coverage asked for, in (0, 1).

  Returns:
    The comparison. Identical rows (difference and variance 0) have p = 1.

  Raises:
    ValueError: where the weights do not sum to 0.
  """
  contrast = np.asarray(contrast, float)
  if not math.isclose(contrast.sum(), 0, abs_tol=1e-12):
    raise ValueError(f"a comparison needs weights that sum to 0, got {contrast}")
  difference, error, freedom = intervals.standard_error(estimate, contrast)
  if error == 0 and abs(difference) < 1e-12:
    return Comparison(0.0, 0.0, 0.0, 1.0, (0.0, 0.0))
  if math.isnan(error) or error == 0:
    return Comparison(difference, error, math.nan, math.nan, (math.nan, math.nan))
  statistic = difference / error
  half = error * stats.t.ppf((1 + confidence) / 2, freedom)
  return Comparison(
    difference=difference,
    standard_error=error,
    statistic=statistic,
    p_value=float(2 * stats.t.sf(abs(statistic), freedom)),
    ci=(difference - half, difference + half),
  )


def holm(p_values) -> np.ndarray:
  """Holm-Bonferroni adjusted p-values (Holm 1979), in the order given.

  Sorted upwards, the i-th of m is `max over j <= i of min(1, (m - j + 1) p_j)`;
  rejecting where it is <= alpha holds the family-wise error at alpha.

  Args:
    p_values: [m] in [0, 1].

  Returns:
    [m] adjusted p-values in [0, 1].

  Raises:
    ValueError: where a p-value is NaN or outside [0, 1].
  """
  p = np.asarray(p_values, float)
  if not ((p >= 0) & (p <= 1)).all():
    raise ValueError(f"p-values lie in [0, 1], got {p.tolist()}")
  order = np.argsort(p, kind="stable")
  steps = np.minimum(1, p[order] * np.arange(p.size, 0, -1))
  adjusted = np.empty_like(p)
  adjusted[order] = np.maximum.accumulate(steps)
  return adjusted


def rank_correlations(rows: Iterable[Row], method: str) -> dict[tuple[str, str], float]:
  """How alike two methods rank the clips: Spearman's rho with each other method.

  A search whose scores rank clips as random directions do has found nothing of its
  own, whatever its AUC.

  Args:
    rows: result rows (see `summary`), raw; the null control's are passed over.
    method: the method to compare the others with.

  Returns:
    `{(other method, model): rho}` over the clips that both scored, development clips
    included; pairs with fewer than three clips in common are left out.

  Raises:
    ValueError: a method scored a clip twice under one model.
  """
  raw = (
    row
    for row in rows
    if row["difficulty_calibration"] == "none" and row["model"] != pivot.REFERENCE
  )
  try:
    scores = pivot.pivot(raw, ("method", "model"), "clip")
  except ValueError as error:
    raise ValueError(f"{error}: one distance, time and seed at once") from error
  found = {}
  for (other, model), theirs in sorted(scores.items()):
    ours = scores.get((method, model), {})
    common = sorted(ours.keys() & theirs.keys())
    if other != method and len(common) >= 3:
      pairs = ([own[clip]["score"] for clip in common] for own in (ours, theirs))
      found[other, model] = float(stats.spearmanr(*pairs).statistic)
  return found


def against(
  rows: Iterable[Row],
  method: str = "lsa_probe",
  *,
  distance: str | None = None,
  t_ratio: float | None = None,
  confidence: float = 0.95,
) -> list[dict]:
  """Every other setting against one of the probe, paired and clustered by track.

  Raw scores are compared with the raw probe, and difficulty-calibrated ones with the
  probe calibrated alike: by reference, by twins, or by both. On a cross-over the
  contrast is of means: (1/2, 1/2, -1/2, -1/2) of the method and the probe under A and
  B. Where either lacks one of the two, each model that both have is compared alone.
  Only clips that both have scored count, under both models on a cross-over. Holm's
  correction is over all records together, raw and calibrated. The blind baseline (a
  gate, and cross-fitted, which the variance here does not know) and the null control
  are not compared.

  Args:
    rows: result rows (see `summary`); add those of `difficulty.calibrated` for all.
    method: to compare the others with; its own other settings are among them.
    distance: that method's, where it has several; any by default.
    t_ratio: likewise.
    confidence: coverage asked for, in (0, 1).

  Returns:
    Records sorted by setting: the names of `pivot.SETTING`, `model` ('mean' on a
    cross-over), `auc` and `auc_probe` on the clips they share, `difference` (auc minus
    auc_probe; positive where the method is the better), its `ci`, `p_value`, `p_holm`,
    `n` clips of `n_tracks` tracks, and `nfe` and `nfe_probe`, network function
    evaluations forward and backward, a median over clips. ci and p are None where a
    side has a single track or the variance is 0; such a record does not count in the
    correction.

  Raises:
    ValueError: no rows of the method, or several settings of it; a clip scored twice;
      clips in common of one side only.
  """
  judged = (r for r in pivot.targets_only(rows) if r["method"] != pivot.BLIND)
  settings = pivot.pivot(judged, pivot.SETTING, "model", "clip")
  records = []
  for key, probe in _probes(settings, method, distance, t_ratio).items():
    for (corpus, *other, calibrated), by_model in settings.items():
      same = (corpus, calibrated) == (key[0], key[-1])
      if same and (corpus, *other, calibrated) != key:
        names = (corpus, *other, calibrated)
        names = dict(zip(pivot.SETTING, names, strict=True))
        records += _compare_settings(names, by_model, probe, confidence)
  return sorted(corrected(records), key=_order)


def twins_against_reference(
  rows: Iterable[Row], *, confidence: float = 0.95
) -> list[dict]:
  """Every setting by twins against the same by reference, paired and by track.

  The contrast is that of `against`, on the clips that have both. Holm's correction is
  over all records together.

  Args:
    rows: result rows with those of `difficulty.calibrated`. Settings that lack one of
      the two have no record.
    confidence: coverage asked for, in (0, 1).

  Returns:
    Records sorted by setting: the names of `pivot.SETTING`, `model` ('mean' on a
    cross-over), `auc_twins` and `auc_reference`, `difference` (positive where twins are
    the better), its `ci`, `p_value`, `p_holm`, `n` clips of `n_tracks` tracks, and
    `nfe_twins` and `nfe_reference`, all that either spends on a clip, a median.

  Raises:
    ValueError: a clip scored twice; clips in common of one side only.
  """
  judged = (r for r in pivot.targets_only(rows) if r["method"] != pivot.BLIND)
  settings = pivot.pivot(judged, pivot.SETTING, "model", "clip")
  sides = {"auc": "auc_twins", "auc_probe": "auc_reference"}
  sides |= {"nfe": "nfe_twins", "nfe_probe": "nfe_reference"}
  records = []
  for key, by_model in settings.items():
    reference = settings.get((*key[:-1], "reference"))
    if key[-1] != "twins" or reference is None:
      continue
    names = dict(zip(pivot.SETTING, key, strict=True))
    found = _compare_settings(names, by_model, reference, confidence)
    records += [{sides.get(k, k): v for k, v in record.items()} for record in found]
  return sorted(corrected(records), key=_order)


def corrected(records: list[dict]) -> list[dict]:
  """The records with Holm's correction over all of them anew, whatever they had."""
  known = [i for i, record in enumerate(records) if record["p_value"] is not None]
  adjusted = holm([records[i]["p_value"] for i in known])
  p_holm = dict(zip(known, map(float, adjusted), strict=True))
  return [record | {"p_holm": p_holm.get(i)} for i, record in enumerate(records)]


def _probes(settings, method, distance, t_ratio) -> dict[tuple, dict]:
  """The probe's one setting, by corpus and difficulty calibration."""
  wanted = {1: method, 2: distance, 3: t_ratio}
  wanted = {i: value for i, value in wanted.items() if value is not None}
  probes = {
    k: v for k, v in settings.items() if all(k[i] == w for i, w in wanted.items())
  }
  if not probes:
    known = ", ".join(sorted({key[1] for key in settings})) or "none"
    raise ValueError(
      f"no rows of {' '.join(map(str, wanted.values()))}; known: {known}"
    )
  if len({(key[0], key[-1]) for key in probes}) < len(probes):
    found = "; ".join(sorted(f"{key[2]}, {key[3]}" for key in probes))
    raise ValueError(
      f"{method} has several settings, name distance and t_ratio: {found}"
    )
  return probes


def _compare_settings(names, other, probe, confidence) -> list[dict]:
  """One record on a cross-over, else one for each model that both have."""
  common = sorted(other.keys() & probe.keys())
  if set(pivot.CROSS_OVER) <= set(common):
    groups = {"mean": list(pivot.CROSS_OVER)}
  else:
    groups = {model: [model] for model in common}
  records = []
  for name, models in groups.items():
    lanes = [side[model] for side in (other, probe) for model in models]
    try:
      records.append({**names, "model": name, **_paired(lanes, confidence)})
    except ValueError as error:
      raise ValueError(
        f"{names} and what it is compared with, under {', '.join(models)}: {error};"
        " score both on the same clips"
      ) from error
  return records


def _paired(lanes: list[dict[str, dict]], confidence: float) -> dict:
  """Compares the first half of the lanes with the second, on the clips of all."""
  clips = sorted(set.intersection(*map(set, lanes)))
  scores = np.array([[lane[c]["score"] for c in clips] for lane in lanes], float)
  labels = np.array([[lane[c]["split"] == "member" for c in clips] for lane in lanes])
  tracks = [lanes[0][c]["track"] for c in clips]
  estimate = intervals.clustered_auc(scores, labels, tracks)
  k = len(lanes) // 2
  found = compare(estimate, np.repeat([1 / k, -1 / k], k), confidence)
  known = not math.isnan(found.p_value)
  return {
    "auc": float(estimate.auc[:k].mean()),
    "auc_probe": float(estimate.auc[k:].mean()),
    "difference": found.difference,
    "ci": [float(bound) for bound in found.ci] if known else None,
    "p_value": found.p_value if known else None,
    "p_holm": None,
    "n": len(clips),
    "n_tracks": len(set(tracks)),
    "nfe": _nfe(lanes[:k]),
    "nfe_probe": _nfe(lanes[k:]),
  }


def _nfe(lanes: list[dict[str, dict]]) -> float:
  rows = [row for lane in lanes for row in lane.values()]
  return float(np.median([r["nfe_forward"] + r["nfe_backward"] for r in rows]))


def _order(record: dict) -> tuple:
  t_ratio = -1 if record["t_ratio"] is None else record["t_ratio"]
  names = (record["corpus"], record["method"], record["distance"] or "", t_ratio)
  calibration = DIFFICULTY_CALIBRATIONS.index(record["difficulty_calibration"])
  return (*names, calibration, record["model"])
