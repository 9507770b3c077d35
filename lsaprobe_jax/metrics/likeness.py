"""Do two sets of tracks sound alike? One permutation test, for any number of suspects.

Where suspects and reference can be told apart without any model, a difference of their
scores shows nothing of training (Das et al. 2024, arXiv 2406.16201). Two statistics of
acoustic features are taken together, because neither sees everything: the energy
distance (Szekely and Rizzo 2013), which sees that the sides differ in many features at
once, and the largest difference in any one feature. The smaller of their two p-values
is the statistic, whose p-value comes from the same permutations (Westfall and Young
1993), so that the level is kept for one suspect as for a hundred.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.spatial import distance
from scipy.stats import rankdata

from lsaprobe_jax.metrics import permutation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Likeness:
  """Whether the sides sound alike.

  Attributes:
    p_value: p-value of both statistics together.
    feature: name of the feature in which the sides differ most.
    difference: difference of its means, suspects less reference, in its standard
      deviations.
  """

  p_value: float
  feature: str
  difference: float


def compare(
  design: permutation.Design,
  features,
  names: Sequence[str],
  *,
  permutations: int = 4_999,
  seed: int = 0,
) -> Likeness:
  """Tests whether suspects and reference could be exchanged, by what is heard.

  Args:
    design: who the suspects are and how tracks are exchanged.
    features: [n, f] finite, of tracks.
    names: [f] of the features.
    permutations: see `permutation.p_values`.
    seed: seed of the draws.

  Raises:
    ValueError: a feature that is not finite.
  """
  table = np.asarray(features, float)
  if not np.isfinite(table).all():
    raise ValueError("features that are not finite")
  spread = table.std(axis=0)
  table = (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1)
  masks, exact = design.masks(permutations, seed)
  if not exact:  # the observed way is counted in
    masks = np.vstack([design.suspect[None], masks])
  statistics = np.stack([_energy(masks, table), _largest(masks, design, table)])
  # Rank 1 is the most extreme way; ties share the worst rank, which is the timid one.
  ranks = np.stack([rankdata(-_rounded(row), method="max") for row in statistics])
  smallest = ranks.min(axis=0)
  observed = int(np.flatnonzero((masks == design.suspect).all(axis=1))[0])
  differences = table[design.suspect].mean(axis=0) - table[~design.suspect].mean(axis=0)
  most = int(np.abs(differences).argmax())
  return Likeness(
    p_value=float((smallest <= smallest[observed]).mean()),
    feature=names[most],
    difference=float(differences[most]),
  )


def _energy(masks: np.ndarray, table: np.ndarray) -> np.ndarray:
  """Energy statistic [ways] of the tracks that are taken against the others.

  It is the energy distance times n m / (n + m), so that sides of unlike size compare.
  """
  apart = distance.squareform(distance.pdist(table))
  taken = masks.astype(float)
  count = taken.sum(axis=1)
  rest = masks.shape[1] - count
  within = np.einsum("wi,wi->w", taken @ apart, taken)
  to_all = taken @ apart.sum(axis=1)
  between = to_all - within
  others = apart.sum() - 2 * to_all + within
  apart = 2 * between / (count * rest) - within / count**2 - others / rest**2
  return apart * count * rest / (count + rest)


def _largest(masks, design: permutation.Design, table: np.ndarray) -> np.ndarray:
  """Largest mean difference [ways] in any one feature, to either side."""
  found = permutation.mean_difference(masks, design.centred(table.T))
  return np.abs(found).max(axis=0)


def _rounded(values: np.ndarray) -> np.ndarray:
  """So that sums in another order are ties."""
  return np.round(values / max(np.abs(values).max(), 1e-300), 10)
