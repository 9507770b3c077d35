"""What scores, made from an experiment's settings: searches, distances and attacks."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from lsaprobe_jax import attacks, distances
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import DegradationCurve, LSAProbe, MaxDegradation
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.metrics.pivot import NFE_MATCHED
from lsaprobe_jax.rows import ANCHORED_CURVE, CURVE
from lsaprobe_jax.scoring.settings import Experiment, SearchSettings, TauSettings

PROBE = "lsa_probe"
# The probe anchored at the clip.
ANCHORED = "lsa_probe_anchored"
# The ascent at one budget, without a search for it.
MAX_DEGRADATION = "max_degradation"
# A target that no clip reaches, and that is finite, so that there is a score.
_OUT_OF_REACH = 1e30


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeForm:
  """A form of the probe: the paper's, or anchored at the clip.

  Attributes:
    method: what rows call it.
    curve: what rows of its curves are called.
    anchor: one of `probe.ANCHORS`.
    t_ratio: its time over T.
    tau: how its tau is calibrated.
  """

  method: str
  curve: str
  anchor: str
  t_ratio: float
  tau: TauSettings


def probe_form(settings: Experiment, method: str = PROBE) -> ProbeForm:
  """Returns the form of the probe that a method's name stands for."""
  if method == ANCHORED:
    return ProbeForm(
      method=ANCHORED,
      curve=ANCHORED_CURVE,
      anchor="clip",
      t_ratio=settings.anchored.t_ratio,
      tau=settings.anchored.tau,
    )
  return ProbeForm(
    method=PROBE,
    curve=CURVE,
    anchor="reconstruction",
    t_ratio=settings.t_ratio,
    tau=settings.tau,
  )


def make_search(settings: SearchSettings, name: str | None = None) -> searches.Search:
  """Makes the search that settings name, or another for which they have options.

  Args:
    settings: see `SearchSettings`.
    name: of the search; `settings.name` by default.

  Raises:
    SettingError: there is no such search, or one of its options cannot be used.
  """
  name = name or settings.name
  if name not in settings.options:
    raise SettingError(f"search.name={name}: known: {', '.join(settings.options)}")
  options = settings.options[name]
  return searches.get(name, eta_max=settings.eta_max, norm=settings.norm, **options)


def check_searches(settings: SearchSettings) -> None:
  """Refuses options of any search, as recordings use others than the one named."""
  # First the one that is used, whose settings matter most.
  for name in sorted(settings.options, key=lambda name: name != settings.name):
    make_search(settings, name)
  make_search(settings)


def make_distance(name: str, corpus: Corpus) -> distances.Distance:
  """Makes a distance at the rate of some clips, and tries it on silence as long.

  Raises:
    SettingError: there is no such distance, its weights are not installed, or the
      clips are too short for it.
  """
  silence = np.zeros(corpus.audio.shape[-1], np.float32)
  try:
    distance = distances.get(name, sample_rate=corpus.sample_rate)
    jax.eval_shape(lambda d, x, y: d(x, y), distance, silence, silence)
  except SettingError:
    raise
  except (ValueError, OSError) as error:
    raise SettingError(f"distance={name}: {error}") from error
  return distance


def make_baseline(settings: Experiment, name: str, distance) -> tuple[float, Any]:
  """Makes a baseline, by its settings in `settings.baselines` or its own defaults.

  Args:
    settings: all settings.
    name: of the baseline.
    distance: for those that compare by one.

  Returns:
    (t_ratio, attack); t_ratio is the probe's where the baseline has none of its own.

  Raises:
    SettingError: there is no such baseline, or it has no such option.
  """
  if name not in (*settings.baselines, *attacks.names()):
    known = (PROBE, ANCHORED, *settings.baselines, *attacks.names())
    known = ", ".join(dict.fromkeys(known))
    raise SettingError(f"methods: {name!r} is not one of {known}")
  options = {"t_ratio": settings.t_ratio} | dict(settings.baselines.get(name, {}))
  t_ratio = options.pop("t_ratio")
  if attacks.takes_search(name):
    options["search"] = make_search(settings.search)
  return t_ratio, attacks.get(name, distance, **options)


def make_attack(settings: Experiment, name: str, distance) -> tuple[float, Any]:
  """Makes a method of an experiment, as it costs: the probe's without its tau.

  Returns:
    (t_ratio, attack).
  """
  if name == MAX_DEGRADATION:
    search, eta = make_search(settings.search), settings.max_degradation.eta
    return settings.t_ratio, MaxDegradation(distance=distance, eta=eta, search=search)
  if name not in (PROBE, ANCHORED):
    return make_baseline(settings, name, distance)
  form, search = probe_form(settings, name), make_search(settings.search)
  how = {"distance": distance, "search": search, "anchor": form.anchor}
  if searches.gives_curves(search):
    return form.t_ratio, DegradationCurve(**how)
  return form.t_ratio, LSAProbe(tau=_OUT_OF_REACH, **how)


def check_methods(
  settings: Experiment, distance, num_train_timesteps: int
) -> dict[str, float]:
  """Refuses methods that could not be scored, each in its turn.

  Args:
    settings: all settings.
    distance: for those that compare by one.
    num_train_timesteps: T of the model that has the fewest.

  Returns:
    t_ratio of every method that has its own, by the setting that gives it.

  Raises:
    SettingError: an unknown method, options that it does not have, or one with the
      probe's NFE that cannot be repeated or stands before the probe.
  """
  check_order("methods", settings.methods)
  times = {}
  for name in settings.methods:
    plain = name.removesuffix(NFE_MATCHED)
    if name == ANCHORED:
      times["anchored.t_ratio"] = settings.anchored.t_ratio
    if name in (PROBE, ANCHORED):
      check_eta_ref(settings, probe_form(settings, name).tau.eta_ref)
    if name in (PROBE, ANCHORED, MAX_DEGRADATION):
      continue
    if name == "relative_degradation" and settings.search.norm != "rms":
      raise SettingError(
        f"methods: {name} compares with random directions of the norm rms;"
        f" search.norm is {settings.search.norm}"
      )
    ratio, attack = make_baseline(settings, plain, distance)
    times[f"baselines.{plain}.t_ratio"] = ratio
    if plain != name and not hasattr(attack, "repeats"):
      raise SettingError(f"methods: {name}: {plain} has nothing to repeat")
    check_times(plain, attack, ratio, num_train_timesteps)
  return times


def check_eta_ref(settings: Experiment, eta_ref: float) -> None:
  """Refuses to calibrate tau at a budget beyond the curves that it is read off."""
  most = settings.search.eta_max
  curves = searches.gives_curves(make_search(settings.search))
  if curves and eta_ref > most * (1 + 1e-6):
    raise SettingError(
      f"tau.eta_ref={eta_ref:g}: no curve goes beyond search.eta_max, {most:g}; give"
      " one that is no larger, or a larger search.eta_max"
    )


def check_times(
  name: str, attack: Any, t_ratio: float, num_train_timesteps: int
) -> None:
  """Refuses a baseline that asks for times that a schedule does not have."""
  if name == "secmi" and t_ratio == 1:
    raise SettingError(
      "baselines.secmi.t_ratio=1: SecMI takes a step beyond t; give less than 1"
    )
  if getattr(attack, "distinct_times", False) and attack.times > num_train_timesteps:
    raise SettingError(
      f"baselines.{name}.times={attack.times}: the schedule has {num_train_timesteps}"
    )


def check_order(setting: str, names: Sequence[str]) -> None:
  """Refuses what is matched to the probe's NFE before the probe is scored."""
  first = next((name for name in names if name.endswith(NFE_MATCHED)), None)
  if first and PROBE not in names[: names.index(first)]:
    raise SettingError(f"{setting}: {first} must come after {PROBE}")
