"""Attacks: what a row's score comes from, one file each, all called alike.

`get` makes a baseline by name and lets an object of one's own through; `register` gives
such an attack a name. What an attack has to do is said by `Attack`.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from lsaprobe_jax.attacks.gradient_norm import GradientNorm
from lsaprobe_jax.attacks.loss import Loss
from lsaprobe_jax.attacks.lsa_probe import DegradationCurve, LSAProbe, MaxDegradation
from lsaprobe_jax.attacks.noise_optimisation import NoiseOptimisation
from lsaprobe_jax.attacks.outcome import Attack, Outcome
from lsaprobe_jax.attacks.path_error import PathError
from lsaprobe_jax.attacks.pfami import PFAMI
from lsaprobe_jax.attacks.pia import PIA, STANDARD_NORMAL
from lsaprobe_jax.attacks.random_stability import RandomStability
from lsaprobe_jax.attacks.rediffuse import ReDiffuse
from lsaprobe_jax.attacks.relative_degradation import RelativeDegradation
from lsaprobe_jax.attacks.secmi import SecMI
from lsaprobe_jax.attacks.second_order import SecondOrder
from lsaprobe_jax.attacks.sima import SimA
from lsaprobe_jax.attacks.trajectory import Trajectory
from lsaprobe_jax.attacks.twinned import Twinned
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.text import printable

__all__ = [
  "PFAMI",
  "PIA",
  "Attack",
  "DegradationCurve",
  "GradientNorm",
  "LSAProbe",
  "Loss",
  "MaxDegradation",
  "NoiseOptimisation",
  "Outcome",
  "PathError",
  "RandomStability",
  "ReDiffuse",
  "RelativeDegradation",
  "SecMI",
  "SecondOrder",
  "SimA",
  "Trajectory",
  "Twinned",
  "get",
  "name_of",
  "names",
  "nfe_matched",
  "register",
  "takes_distance",
  "takes_search",
]

_OWN: dict[str, Callable[..., Attack]] = {
  "loss": Loss,
  "random_stability": RandomStability,
  "trajectory": Trajectory,
  "path_error": PathError,
  "secmi": SecMI,
  "pia": PIA,
  "pian": functools.partial(PIA, mean_absolute=STANDARD_NORMAL),
  "sima": SimA,
  "pfami": PFAMI,
  "rediffuse": ReDiffuse,
  "gradient_norm": GradientNorm,
  "noise_optimisation": NoiseOptimisation,
  "second_order": SecondOrder,
  "relative_degradation": RelativeDegradation,
}
_ADDED: dict[str, Callable[..., Attack]] = {}


def names() -> tuple[str, ...]:
  """Returns the names that `get` knows; the probe itself is `LSAProbe`."""
  return (*_OWN, *_ADDED)


def name_of(attack: Attack) -> str | None:
  """Returns the name by which `get` knows the class of an attack, if it knows any."""
  known = (_OWN | _ADDED).items()
  return next((name for name, made in known if made is type(attack)), None)


def takes_distance(name: str) -> bool:
  """Returns whether a baseline compares reconstructions by a distance."""
  return "distance" in inspect.signature(_find(name)).parameters


def takes_search(name: str) -> bool:
  """Returns whether a baseline has the probe's search in it (its field `search`)."""
  return "search" in inspect.signature(_find(name)).parameters


def get(name: str | Attack, distance: Any = None, **settings: Any) -> Attack:
  """Makes a baseline, or returns an attack that is made.

  Args:
    name: one of `names()`, or an attack itself.
    distance: a distance (`distances.get`), for baselines that compare by one.
    **settings: the other fields of a baseline that is named; `search` (`search.get`)
      for those that take one.

  Raises:
    SettingError: there is no such baseline, or it has no such setting.
    ArgumentError: what is given is neither a name nor an attack, or is an attack and
      has its settings already.
  """
  if not isinstance(name, str):
    return _given(name, settings)
  if takes_distance(name):
    settings["distance"] = distance
  try:
    return _find(name)(**settings)
  except TypeError as error:
    raise SettingError(f"baselines.{printable(name)}: {error}") from error


def register(name: str, attack: Callable[..., Attack]) -> None:
  """Gives an attack from outside a name, for this process.

  Args:
    name: what `get` will know it by; a name that was given before is given anew.
    attack: makes the attack of its settings: a class with what `Attack` asks for. A
      field `distance` is filled with the distance, a field `search` with the search.

  Raises:
    ArgumentError: the name is one of the library's own.
  """
  if name in _OWN:
    raise ArgumentError(
      f"name={printable(name)} is one of the library's own; choose another"
    )
  _ADDED[name] = attack


def nfe_matched(attack: Any, nfe: int, num_inference_steps: int, num_times: int):
  """Repeats an attack until it spends as many NFE as another.

  docs/evaluation.md, rule 4, says why. The attack's own kind of repeat is set, the one
  that its `repeats` names: draws, times or steps. Only calls of the network count. A
  repeat calls it on what it has not seen, but for SecMI: its first step is of the clean
  clip whatever the time, and beyond t times it has seen them all. Those that draw no
  noise and take times next to each other (`distinct_times`: PIA, PIAN, SimA) can have
  no more than the schedule has.

  Args:
    attack: a baseline (`get`).
    nfe: NFE (network function evaluations) to spend on a clip, forward plus backward.
    num_inference_steps: S of the model's reverse process.
    num_times: T of its schedule.

  Returns:
    The attack with as many repeats, at least one, as bring it nearest to `nfe`. It is
    off by half a repeat at most, which is 6 NFE for SecMI in ten steps, 5 for the path
    error at ten times, 2 S for Trajectory at four times, and S / 2 or S for the
    others that reconstruct, without what is rematerialised. It spends less where the
    times are used up. For noise optimisation the NFE are an estimate from below, as its
    line searches are as long as the loss makes them; its rows say what it spent.

  Raises:
    ArgumentError: the attack has nothing to repeat. The NFE of `relative_degradation`
      are its search's to say.
  """
  if not hasattr(attack, "repeats"):
    kind = printable(type(attack).__name__)
    raise ArgumentError(f"attack={kind} has nothing to repeat")
  repeat = lambda n: attack.replace(**{attack.repeats: n})
  # What is spent is a straight line in the repeats.
  first, second = (repeat(n).nfe(num_inference_steps) for n in (1, 2))
  count = max(1, 1 + round((nfe - first) / (second - first)))
  if getattr(attack, "distinct_times", False):
    count = min(count, num_times)
  return repeat(count)


def _find(name: str) -> Callable[..., Attack]:
  known = _OWN | _ADDED
  if name not in known:
    raise SettingError(
      f"baselines.{printable(name)}: there is no such baseline; known:"
      f" {', '.join(known)}"
    )
  return known[name]


def _given(attack: Any, settings: dict[str, Any]) -> Attack:
  """Returns an attack that somebody made."""
  kind = printable(type(attack).__name__)
  if isinstance(attack, type) or not isinstance(attack, Attack):
    raise ArgumentError(f"attack={kind}: it has to be a name, or an attacks.Attack")
  if settings:
    raise ArgumentError(f"attack={kind} has its settings, but got {sorted(settings)}")
  return attack
