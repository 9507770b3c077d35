"""From a configuration to what scores: searches, distances, attacks. Reads no flags."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import app
from ml_collections import ConfigDict

from lsaprobe_jax import attacks, distances
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import DegradationCurve, LSAProbe, MaxDegradation
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.metrics.summary import NFE_MATCHED

PROBE = "lsa_probe"
# The ascent at one budget, without a search for it.
MAX_DEGRADATION = "max_degradation"


def make_search(settings: ConfigDict, name: str | None = None):
  """The search a configuration names, or another for which it has settings.

  Args:
    settings: `name`, `eta_max`, `norm`, and under the name of a search its own.
    name: of the search, if not `settings.name`.
  """
  name = name or settings.name
  known = [key for key, value in settings.items() if isinstance(value, ConfigDict)]
  if name not in known:
    raise app.UsageError(f"--config.search.name={name}: known: {', '.join(known)}")
  try:
    return searches.get(
      name, eta_max=settings.eta_max, norm=settings.norm, **settings[name]
    )
  except (ValueError, TypeError) as error:
    raise app.UsageError(f"--config.search: {error}") from error


def check_searches(settings: ConfigDict, flag: str = "--config") -> None:
  """Refuses settings of any search: recordings use others than the one named.

  Args:
    settings: see `make_search`.
    flag: what an error puts before a setting's name.
  """
  names = [key for key, value in settings.items() if isinstance(value, ConfigDict)]
  # First the one that is used, whose settings matter most.
  for name in sorted(names, key=lambda name: name != settings.name):
    try:
      make_search(settings, name)
    except app.UsageError as error:
      text = str(error).replace("--config", flag, 1)
      raise app.UsageError(text) from error
  make_search(settings)


def make_distance_of(config: ConfigDict, corpus: Corpus) -> distances.Distance:
  """The distance that a configuration names, tried on silence as long as the clips."""
  silence = np.zeros(corpus.audio.shape[1], np.float32)
  try:
    distance = distances.get(config.distance, sample_rate=corpus.sample_rate)
    jax.eval_shape(lambda d, x, y: d(x, y), distance, silence, silence)
  except (ValueError, OSError) as error:
    raise app.UsageError(f"--config.distance={config.distance}: {error}") from error
  return distance


def make_baseline(config: ConfigDict, name: str, distance) -> tuple[float, Any]:
  """t_ratio and attack of a baseline; its t is the probe's where it has none."""
  if name not in config.baselines:
    known = ", ".join((PROBE, *config.baselines))
    raise app.UsageError(f"--config.methods: {name!r} is not one of {known}")
  settings = {"t_ratio": config.t_ratio} | dict(config.baselines[name])
  t_ratio = settings.pop("t_ratio")
  if attacks.takes_search(name):
    settings["search"] = make_search(config.search)
  try:
    return t_ratio, attacks.get(name, distance, **settings)
  except ValueError as error:
    raise app.UsageError(f"--config.baselines.{name}: {error}") from error


def nfe_matched(settings: ConfigDict) -> list[str]:
  """Rivals of a sweep with as many evaluations as the probe, by `settings.nfe_matched`."""
  return [f"{name}{NFE_MATCHED}" for name in settings.nfe_matched]


def compared(settings: ConfigDict) -> list[str]:
  """The probe and its rivals in an ablation, as they are and matched, each once."""
  return list(dict.fromkeys((*settings.compared, *nfe_matched(settings))))


def check_methods(config: ConfigDict, distance, num_times: int) -> dict[str, float]:
  """Refuses methods that could not be scored, each in its turn.

  Args:
    config: all settings.
    distance: for those that compare by one.
    num_times: T, of the model that has the fewest.

  Returns:
    t_ratio of every baseline by the flag that sets it.

  Raises:
    app.UsageError: an unknown one, settings that it does not have, or one with as many
      evaluations as the probe that cannot be repeated or stands before the probe.
  """
  check_order("methods", config.methods)
  times = {}
  for name in config.methods:
    plain = name.removesuffix(NFE_MATCHED)
    if name in (PROBE, MAX_DEGRADATION):
      continue
    ratio, attack = make_baseline(config, plain, distance)
    times[f"--config.baselines.{plain}.t_ratio"] = ratio
    if plain != name and not hasattr(attack, "repeats"):
      raise app.UsageError(f"--config.methods: {name}: {plain} has nothing to repeat")
    check_times(plain, attack, num_times)
  return times


def check_times(name: str, attack: Any, num_times: int) -> None:
  """Refuses a baseline that asks for more different times than a schedule has."""
  if getattr(attack, "distinct_times", False) and attack.times > num_times:
    raise app.UsageError(
      f"--config.baselines.{name}.times={attack.times}: the schedule has {num_times}"
    )


def check_order(field: str, names: Sequence[str]) -> None:
  """Refuses what is matched to the probe's evaluations before the probe is scored."""
  first = next((name for name in names if name.endswith(NFE_MATCHED)), None)
  if first and PROBE not in names[: names.index(first)]:
    raise app.UsageError(f"--config.{field}: {first} must come after {PROBE}")


def make_attack(config: ConfigDict, name: str, distance) -> tuple[float, Any]:
  """t_ratio and attack of a method, as it costs: the probe's without its tau."""
  if name == MAX_DEGRADATION:
    search = make_search(config.search)
    eta = config.max_degradation.eta
    return config.t_ratio, MaxDegradation(distance=distance, eta=eta, search=search)
  if name != PROBE:
    return make_baseline(config, name, distance)
  search = make_search(config.search)
  if searches.gives_curves(search):
    return config.t_ratio, DegradationCurve(distance=distance, search=search)
  # Out of reach, and finite, so that there is a score.
  return config.t_ratio, LSAProbe(distance=distance, tau=1e30, search=search)
