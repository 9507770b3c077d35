"""Attacks: what a row's score comes from, one file each, one signature (`outcome`).

`get` builds a baseline by name. Adding one is writing one file with a class that does
what `outcome` says, and naming it in `_KNOWN`.
"""

import inspect
from typing import Any

from lsaprobe_jax.attacks.gradient_norm import GradientNorm
from lsaprobe_jax.attacks.loss import Loss
from lsaprobe_jax.attacks.noise_optimisation import NoiseOptimisation
from lsaprobe_jax.attacks.pfami import PFAMI
from lsaprobe_jax.attacks.pia import PIA
from lsaprobe_jax.attacks.random_stability import RandomStability
from lsaprobe_jax.attacks.rediffuse import ReDiffuse
from lsaprobe_jax.attacks.relative_degradation import RelativeDegradation
from lsaprobe_jax.attacks.secmi import SecMI
from lsaprobe_jax.attacks.second_order import SecondOrder
from lsaprobe_jax.attacks.sima import SimA
from lsaprobe_jax.attacks.trajectory import Trajectory

__all__ = ["get", "nfe_matched", "takes_distance", "takes_search"]

_KNOWN = {
  "loss": Loss,
  "random_stability": RandomStability,
  "trajectory": Trajectory,
  "secmi": SecMI,
  "pia": PIA,
  "pian": PIA,
  "sima": SimA,
  "pfami": PFAMI,
  "rediffuse": ReDiffuse,
  "gradient_norm": GradientNorm,
  "noise_optimisation": NoiseOptimisation,
  "second_order": SecondOrder,
  "relative_degradation": RelativeDegradation,
}


def takes_distance(name: str) -> bool:
  """Whether a baseline compares reconstructions by a distance."""
  return "distance" in inspect.signature(_find(name)).parameters


def takes_search(name: str) -> bool:
  """Whether a baseline has the probe's search in it (its setting `search`)."""
  return "search" in inspect.signature(_find(name)).parameters


def get(name: str, distance: Any, **settings: Any):
  """Builds a baseline.

  Args:
    name: one of `_KNOWN`; "pian" is PIA with `mean_absolute` set.
    distance: a distance (`distances.get`), for those that compare by one.
    **settings: its other fields; `search` (`search.get`) for those that take one.

  Raises:
    ValueError: on an unknown name or setting.
  """
  if takes_distance(name):
    settings["distance"] = distance
  try:
    return _find(name)(**settings)
  except TypeError as error:
    raise ValueError(f"attack {name}: {error}") from error


def nfe_matched(
  attack: Any, evaluations: int, num_inference_steps: int, num_times: int
):
  """The attack, repeated until it has spent what another does (BASELINES rule 4).

  Its own kind of repeat is set, the field that its `repeats` names: draws, times or
  steps. Others count for nothing, nor does what is not the network. A repeat evaluates
  the network on what it has not seen, but for the first of SecMI's steps, which is of
  the clean clip whatever the time. Those that draw no noise and take times next to each
  other (`distinct_times`: PIA, PIAN, SimA) can have no more than the schedule has.

  Args:
    attack: a baseline (`get`).
    evaluations: network evaluations to spend on a clip, forward and backward.
    num_inference_steps: S of the generator's reverse process.
    num_times: T of its schedule.

  Returns:
    The attack, spending as near to `evaluations` as whole repeats come, at least
    one: half a repeat off at most (6 for SecMI in ten steps, 2 S for Trajectory at
    four times, S / 2 or 3 S / 2 for the others that reconstruct); less where times are
    used up. For noise optimisation it is an estimate from below, as its line searches
    are as long as the loss makes them; its rows say what it spent.

  Raises:
    ValueError: for an attack without such a field (`relative_degradation`: its spending is
      its search's).
  """
  if not hasattr(attack, "repeats"):
    raise ValueError(f"{type(attack).__name__} has nothing to repeat")
  repeat = lambda n: attack.replace(**{attack.repeats: n})
  # What is spent is a straight line in the repeats.
  first, second = (repeat(n).nfe(num_inference_steps) for n in (1, 2))
  count = max(1, 1 + round((evaluations - first) / (second - first)))
  if getattr(attack, "distinct_times", False):
    count = min(count, num_times)
  return repeat(count)


def _find(name: str):
  if name not in _KNOWN:
    raise ValueError(f"no baseline is called {name!r}; known: {', '.join(_KNOWN)}")
  return _KNOWN[name]
