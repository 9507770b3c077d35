"""Whether a peer of `benchmarks.fair` computes what our program does."""

from typing import Any

import numpy as np

from benchmarks.workers import Spec, Workers
from lsaprobe_jax import search

# How far D may differ, relative, at the first budget: ours against a peer's.
ALIKE = {"float32": 1e-3, "tf32": 0.1, "bfloat16": 0.5}
# The size of the gradient there, in float32: MR-STFT's is a sum of signs.
_ALIKE_GRADIENT = 1e-2
# Costs of another search than the default one, and its gradients: an ascent that ends
# where it has reached tau may end a step later on the other side.
_ALIKE_COST = 1e-2


def by_budget(spec: Spec, found: dict[str, Any]) -> list[tuple[float, float]]:
  """The largest D that a clip's first and last budgets gave, of the default search."""
  if spec.side == "jax":
    return [(rungs[0], rungs[-1]) for rungs in found["degradations"]]
  settings = search.Continuation(rungs=spec.rungs)
  first, last = settings.steps + settings.warmup, settings.steps + 1
  return [(max(met[:first]), max(met[-last:])) for met in found["degradations"]]


def differences(ours: list, theirs: list) -> tuple[float, float]:
  """The largest relative differences, at the first budget and at the last."""
  ours, theirs = np.array(ours), np.array(theirs)
  return tuple(np.max(np.abs(ours - theirs) / np.abs(theirs), axis=0).tolist())


def alike(pool: Workers, ours: Spec, peer: Spec, off: tuple[float, float]) -> bool:
  """Whether a peer computes what ours does.

  Where D has kinks (logarithms, absolute values, a vocoder's activations) rounding
  turns gradients, and the climbs part: `off`, their `differences`, says nothing then,
  but D and the size of its gradient where both start do.
  """
  bound = ALIKE[peer.precision]
  if max(off) < bound:
    return True
  if peer.precision != "float32":
    return False
  one, other = map(pool.at_start, (ours, peer))
  apart = [
    float(np.max(np.abs(np.subtract(one[key], other[key])) / np.abs(other[key])))
    for key in ("value", "size")
  ]
  print(f"{peer.side} {peer.distance}: at the start D is {apart[0]:.1e} apart, its"
        f" gradient {apart[1]:.1e}")  # fmt: skip
  return apart[0] < bound and apart[1] < _ALIKE_GRADIENT


def _count_same(ours: list[float], theirs: list[float]) -> int:
  """How many clips have the same C_adv, or none on both sides."""
  return int(np.sum(np.isclose(ours, theirs, rtol=1e-4, equal_nan=True)))


def disagreement(
  pool: Workers, ours: Spec, peer: Spec, mine: dict, theirs: dict
) -> tuple[dict[str, Any], str]:
  """What a peer's row says of its answer beside ours, and why it is left out, if it is.

  Under the default search the climbs are compared (`alike`), under others the costs.
  """
  facts = {"same_cost": _count_same(mine["cost"], theirs["cost"])}
  one, other = (np.mean(found["gradients"]) for found in (mine, theirs))
  counts = f"gradients are {other:g} and {one:g}"
  if ours.search == "continuation":
    off = differences(by_budget(ours, mine), by_budget(peer, theirs))
    if one == other and alike(pool, ours, peer, off):
      return facts | {"differs": off}, ""
    return facts, (
      f"D differs by {off[0]:.1e} at the first budget and {off[1]:.1e} at the last,"
      f" {counts}"
    )
  costs = np.array([mine["cost"], theirs["cost"]])
  reached = np.isfinite(costs)
  apart = np.abs(np.diff(costs, axis=0)[0] / costs[0])[reached.all(0)]
  furthest = max(apart, default=0.0)
  same = (reached[0] == reached[1]).all() and furthest < _ALIKE_COST
  if same and abs(other - one) <= _ALIKE_COST * one:
    return facts, ""
  return facts, f"costs differ by {furthest:.1e}, {counts}"
