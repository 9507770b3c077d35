"""Tests between methods: paired, clustered by track, corrected for their number."""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from lsaprobe_jax.evaluation import intervals


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


def rank_correlations(rows, method: str) -> dict[tuple[str, str], float]:
  """How alike two methods rank the clips: Spearman's rho with each other method.

  A search whose scores rank clips as random directions do has found nothing of its
  own, whatever its AUC.

  Args:
    rows: result rows (see `summary`), raw; the null control's are passed over.
    method: the method to compare the others with.

  Returns:
    `{(other method, model): rho}` over the clips that both scored, development clips
    included; pairs with fewer than three clips in common are left out.
  """
  scores: dict[tuple[str, str], dict[str, float]] = {}
  for row in rows:
    if not row["calibrated"] and row["model"] != "reference":
      key = row["method"], row["model"]
      scores.setdefault(key, {})[row["clip"]] = row["score"]
  found = {}
  for (other, model), theirs in sorted(scores.items()):
    ours = scores.get((method, model), {})
    common = sorted(ours.keys() & theirs.keys())
    if other != method and len(common) >= 3:
      pairs = ([ours[clip] for clip in common], [theirs[clip] for clip in common])
      found[other, model] = float(stats.spearmanr(*pairs).statistic)
  return found
