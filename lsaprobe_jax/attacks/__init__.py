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
from lsaprobe_jax.attacks.secmi import SecMI
from lsaprobe_jax.attacks.sima import SimA
from lsaprobe_jax.attacks.trajectory import Trajectory

__all__ = ["get", "takes_distance"]

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
}


def takes_distance(name: str) -> bool:
  """Whether a baseline compares reconstructions by a distance."""
  return "distance" in inspect.signature(_find(name)).parameters


def get(name: str, distance: Any, **settings: Any):
  """Builds a baseline.

  Args:
    name: one of `_KNOWN`; "pian" is PIA with `mean_absolute` set.
    distance: a distance (`distances.get`), for those that compare by one.
    **settings: its other fields.

  Raises:
    ValueError: on an unknown name or setting.
  """
  if takes_distance(name):
    settings["distance"] = distance
  try:
    return _find(name)(**settings)
  except TypeError as error:
    raise ValueError(f"attack {name}: {error}") from error


def _find(name: str):
  if name not in _KNOWN:
    raise ValueError(f"no baseline is called {name!r}; known: {', '.join(_KNOWN)}")
  return _KNOWN[name]
