"""Settings of a sweep: an experiment, and what is varied around it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.metrics.pivot import NFE_MATCHED
from lsaprobe_jax.scoring.factories import (
  ANCHORED,
  PROBE,
  check_eta_ref,
  check_order,
  check_searches,
)
from lsaprobe_jax.scoring.settings import EXPERIMENT_RULES, Experiment
from lsaprobe_jax.settings import Rule, Settings, a_name, above, check_once, whole

_MOST_BUDGET = 1e6

SWEEP_RULES: tuple[Rule, ...] = (
  *EXPERIMENT_RULES,
  above(0, 1, "sweep.t_ratio", "sweep.equal_compute"),
  above(0, _MOST_BUDGET, "sweep.eta_max", "sweep.eta_ref"),
  whole(1, 1_000, "sweep.draws"),
  a_name("sweep.methods", "sweep.nfe_matched", "sweep.compared", "sweep.distance"),
  a_name("sweep.with_development"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variations(Settings):
  """What a sweep runs.

  Attributes:
    methods: baselines of the main table.
    nfe_matched: baselines that are scored with the probe's NFE besides, in the main
      table and wherever `compared` are.
    compared: the probe and the baselines that stand beside it in ablations.
    compared_in: by an ablation of `variants`, what is compared there instead.
    with_development: ablations of `variants` in which development clips are scored too,
      as in the main table, for controls (`metrics.dose`).
    paper: changes under which the probe is scored once more, as `lsa_probe_paper`.
    t_ratio: times of the ablations `t_ratio` and `times`.
    equal_compute: times of the ablation with baselines at the probe's NFE.
    eta_max: largest budgets.
    eta_ref: budgets that calibrate tau.
    distance: names of distances.
    draws: numbers of draws of noise that scores are averaged over.
    variants: by ablation and label, what is changed.
  """

  methods: tuple[str, ...] = ()
  nfe_matched: tuple[str, ...] = ()
  compared: tuple[str, ...] = (PROBE,)
  compared_in: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  with_development: tuple[str, ...] = ()
  paper: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  t_ratio: tuple[float, ...] = ()
  equal_compute: tuple[float, ...] = ()
  eta_max: tuple[float, ...] = ()
  eta_ref: tuple[float, ...] = ()
  distance: tuple[str, ...] = ()
  draws: tuple[int, ...] = ()
  variants: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

  @property
  def matched_names(self) -> list[str]:
    """Names of the baselines with the probe's NFE."""
    return [f"{name}{NFE_MATCHED}" for name in self.nfe_matched]

  @property
  def compared_names(self) -> list[str]:
    """What stands in an ablation, as it is and with the probe's NFE, each once."""
    return list(dict.fromkeys((*self.compared, *self.matched_names)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepSettings(Experiment):
  """An experiment, and what is varied around it."""

  RULES: ClassVar[tuple[Rule, ...]] = SWEEP_RULES
  ONCE: ClassVar[tuple[str, ...]] = (
    *Experiment.ONCE,
    *(f"sweep.{name}" for name in ("t_ratio", "equal_compute", "eta_max", "eta_ref")),
    *("sweep.distance", "sweep.draws"),
  )

  sweep: Variations = Variations()

  @property
  def experiment(self) -> Experiment:
    """The experiment alone.

    What else is to be run makes no row another: methods and variations may grow later.
    """
    values = self.to_dict()
    del values["sweep"]
    return Experiment.from_dict(values | {"methods": []})


def check_sweep(settings: SweepSettings) -> None:
  """Refuses settings of a sweep, and what its variants would change them to.

  All variants are checked, also those that a run does not make.

  Raises:
    SettingError: it begins with the setting.
  """
  check_searches(settings.search)
  changes = {"paper": settings.sweep.paper} | {
    f"variants.{name}.{label}": own
    for name, labels in settings.sweep.variants.items()
    for label, own in labels.items()
  }
  for name, own in changes.items():
    try:
      check_searches(settings.experiment.changed(own).search)
    except SettingError as error:
      raise SettingError(f"sweep.{name}.{error}") from error
  for eta_ref in settings.sweep.eta_ref:
    try:
      check_eta_ref(settings, eta_ref)
    except SettingError as error:
      raise SettingError(f"sweep.{str(error).removeprefix('tau.')}") from error
  _check_names(settings)


def _check_names(settings: SweepSettings) -> None:
  """Refuses methods that are none, or that stand where they cannot be scored."""
  sweep = settings.sweep
  alone = {PROBE, ANCHORED, *settings.baselines}
  # The others spend what their search does, and have nothing to repeat.
  repeated = alone - {PROBE, ANCHORED, "relative_degradation"}
  both = alone | {f"{name}{NFE_MATCHED}" for name in repeated}
  for field in ("compared_in", "with_development"):
    if unknown := set(getattr(sweep, field)) - set(sweep.variants):
      raise SettingError(
        f"sweep.{field}: {min(unknown)!r} is not one of the variants,"
        f" {', '.join(sorted(sweep.variants))}"
      )
  for field, names, known in (
    ("methods", sweep.methods, alone),
    ("nfe_matched", sweep.nfe_matched, repeated),
    ("compared", sweep.compared, both),
    *((f"compared_in.{name}", own, both) for name, own in sweep.compared_in.items()),
  ):
    if unknown := set(names) - known:
      raise SettingError(
        f"sweep.{field}: {min(unknown)!r} is not one of {', '.join(sorted(known))}"
      )
    check_once(f"sweep.{field}", names)
    check_order(f"sweep.{field}", names)
  if PROBE in sweep.methods:
    raise SettingError(f"sweep.methods: {PROBE} is always the first; leave it out")
  # Variants without a list of their own have both too.
  own = ("equal_compute", "distance", "eta_max", "eta_ref")
  if any(getattr(sweep, name) for name in own) or set(sweep.variants) - set(
    sweep.compared_in
  ):
    check_order("sweep.compared, then sweep.nfe_matched", sweep.compared_names)
