"""Audit statistics on rows of scores: NumPy, SciPy and scikit-learn, no JAX.

The names below are the ones that a user of scores needs first; the modules hold more.
"""

from lsaprobe_jax.metrics.comparisons import against, compare, holm, rank_correlations
from lsaprobe_jax.metrics.difficulty import by_reference
from lsaprobe_jax.metrics.intervals import clustered_auc
from lsaprobe_jax.metrics.roc import auc, precision, roc_curve, tpr_at_fpr
from lsaprobe_jax.metrics.set_comparison import compare_tracks
from lsaprobe_jax.metrics.sets import compare_sets
from lsaprobe_jax.metrics.summary import summarise

__all__ = [
  "against",
  "auc",
  "by_reference",
  "clustered_auc",
  "compare",
  "compare_sets",
  "compare_tracks",
  "holm",
  "precision",
  "rank_correlations",
  "roc_curve",
  "summarise",
  "tpr_at_fpr",
]
