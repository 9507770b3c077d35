"""Twins for rows of a made-up cross-over (`crossover`)."""

import crossover
import numpy as np

METHODS = ("loss", "rediffuse", "lsa_probe", "lsa_probe_anchored", "random_stability")


def with_twins(rows, seed=0):
  """The rows, each with two twins whose scores say nothing of membership."""
  rng = np.random.default_rng(seed)
  twins = {"twins": "polarity,reversal", "twin_nfe_forward": 8, "twin_nfe_backward": 0}
  return [
    row | twins | {"twin_scores": rng.normal(size=2).tolist(), "twin_seconds": 0.2}
    for row in rows
  ]


def evaluation(effect=1.0, without=("random_stability",)):
  """Five methods on a cross-over and under a reference model, and the blind baseline.

  Args:
    effect: of membership on the first method; each other has a little more.
    without: methods that have no twins.
  """
  made = crossover.rows("blind", 5, 0.0, models=("A",), t_ratio=None)
  for seed, method in enumerate(METHODS):
    own = crossover.rows(method, seed, effect + 0.3 * seed)
    own += crossover.rows(method, seed + 20, 0.0, models=("reference",))
    made += own if method in without else with_twins(own, seed)
  return [row | {"seed": 0} for row in made]


def by_epochs(lengths=(93, 187, 750)):
  """An ablation of training lengths; at the first one method lacks twins."""
  return [
    row | {"value": epochs}
    for epochs in lengths
    for row in evaluation(
      2 * epochs / max(lengths),
      ("random_stability", *["rediffuse"] * (epochs == lengths[0])),
    )
    if row["method"] != "blind"
  ]
