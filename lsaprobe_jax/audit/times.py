"""Times of an audit's methods, for models that they were not chosen for."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from lsaprobe_jax import diffusion
from lsaprobe_jax.audit.settings import AuditSettings
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.metrics.budgets import ANCHORED
from lsaprobe_jax.metrics.pivot import NFE_MATCHED
from lsaprobe_jax.models.trained import TrainedModel

# Log-SNRs of two schedules that differ by less mean much the same noise.
_ALIKE = 0.5


def chosen_on() -> diffusion.Schedule:
  """Returns the schedule of the embedded DiffWaves, on which the times were chosen."""
  return diffusion.linear(200, 1e-4, 0.02)


def matched(
  settings: AuditSettings, model: TrainedModel
) -> tuple[AuditSettings, list[str]]:
  """Takes the times of all methods over to a model on a path in continuous time.

  They are times of DiffWave's schedule. On a path they become those of the same
  log-SNR (`diffusion.matched_t_ratio`), as the same t means other noise there. Under
  discrete schedules, MusicLDM's too, times stay as they are, so that scores do.

  Args:
    settings: all settings.
    model: the model that is audited.

  Returns:
    (settings with the times to score at, what to note of them). Both are as before
    where the model has a discrete schedule, or where `match_times` is False.

  Raises:
    SettingError: a time is none of DiffWave's schedule.
  """
  schedule = model.model.schedule
  if not settings.match_times or schedule.time is None:
    return settings, []
  chosen = chosen_on()

  def match(ratio: float) -> float:
    try:
      return diffusion.matched_t_ratio(schedule, chosen, ratio)
    except ArgumentError as error:
      raise SettingError(
        f"match_times=True: {error}; it is a time of DiffWave's schedule, or of the"
        " model's own with match_times=False"
      ) from error

  baselines = {
    name: dict(options) | {"t_ratio": match(options["t_ratio"])}
    for name, options in settings.baselines.items()
    if "t_ratio" in options
  }
  anchored = settings.anchored
  made = dataclasses.replace(
    settings,
    t_ratio=match(settings.t_ratio),
    anchored=dataclasses.replace(anchored, t_ratio=match(anchored.t_ratio)),
    baselines=dict(settings.baselines) | baselines,
    # They are this model's own times now.
    match_times=False,
  )
  log_snr = chosen.log_snr[diffusion.timestep(chosen, anchored.t_ratio)]
  note = (
    "settings are untuned for this family: they were chosen on small DiffWaves, and"
    " their times were taken over by log-SNR (t_ratio"
    f" {anchored.t_ratio:g} of the anchored probe, a log-SNR of {log_snr:.1f}, is"
    f" {made.anchored.t_ratio:.3g} here); that costs power and not validity"
  )
  return made, [note]


def unlike(settings: AuditSettings, targets: Sequence[TrainedModel]) -> list[str]:
  """Notes a reference model whose schedule has other noise at a method's time.

  Its scores then speak of another reconstruction than the model's. A control asks
  whether that misleads, not this. A time that a schedule lacks is refused elsewhere.

  Args:
    settings: all settings, with the times that are scored at.
    targets: the model that is audited, and the reference model if there is one.
  """
  model, *others = (target.model.schedule for target in targets)
  notes = []
  for other in others:
    pairs = [(_log_snr(model, t), _log_snr(other, t)) for t in _times(settings)]
    pairs = [pair for pair in pairs if np.all(np.isfinite(pair))]
    apart = lambda pair: abs(pair[0] - pair[1])
    here, there = max(pairs, key=apart, default=(0, 0))
    if apart((here, there)) > _ALIKE:
      notes.append(
        "the reference model is on another noise schedule: the log-SNR is"
        f" {here:.1f} under the model and {there:.1f} under the reference model at the"
        " same time, so that it may take off less of what makes a clip easy"
      )
  return notes


def _times(settings: AuditSettings) -> list[float]:
  """The times of all methods that are scored; the probe's where one has none."""
  plain = [name.removesuffix(NFE_MATCHED) for name in settings.methods]
  own = {ANCHORED: {"t_ratio": settings.anchored.t_ratio}} | dict(settings.baselines)
  return [own.get(name, {}).get("t_ratio", settings.t_ratio) for name in plain]


def _log_snr(schedule: diffusion.Schedule, ratio: float) -> float:
  """That of a time; NaN where the schedule has no such time."""
  try:
    return float(schedule.log_snr[diffusion.timestep(schedule, ratio)])
  except ArgumentError:
    return math.nan
