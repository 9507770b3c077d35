"""The noise schedule that a model configuration describes."""

import reprlib
from collections.abc import Mapping
from typing import Any

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import checks
from lsaprobe_jax.text import printable

_KNOWN = {
  "linear": diffusion.linear,
  "scaled_linear": diffusion.scaled_linear,
  "cosine": diffusion.cosine,
}
_BETA_ENDS = ("beta_start", "beta_end")


def check_settings(settings: Any) -> None:
  """Refuses a schedule that is neither a known one nor betas.

  Raises:
    ValueError: names the setting and what it must be.
  """
  checks.table("schedule", settings, ("num_train_timesteps",), None)
  times = settings["num_train_timesteps"]
  checks.whole("schedule.num_train_timesteps", times, 1, checks.MOST_TIMES)
  if "betas" in settings:
    checks.table("schedule", settings, ("num_train_timesteps", "betas"))
    checks.betas("schedule.betas", settings["betas"], times)
    return
  checks.table("schedule", settings, ("name",), None)
  if not isinstance(settings["name"], str) or settings["name"] not in _KNOWN:
    shown = printable(reprlib.repr(settings["name"]))
    raise ValueError(f"unknown schedule {shown}; known: {sorted(_KNOWN)}")
  required: tuple[str, ...] = ("name", "num_train_timesteps")
  if settings["name"] == "cosine":
    known = ("offset", "max_beta")
    checks.table("schedule", settings, required, known)
  else:
    known = _BETA_ENDS
    checks.table("schedule", settings, (*required, *known))
  for key in known:
    if key in settings:
      checks.real(f"schedule.{key}", settings[key], 0, 1, inside=True)


def build(settings: Mapping[str, Any]) -> diffusion.Schedule:
  """Builds a schedule from its `name` and settings, or from its `betas`.

  Args:
    settings: key `num_train_timesteps`, and either `betas` or `name` with the arguments
      of that function in `diffusion`.

  Raises:
    ValueError: on a setting that no schedule has.
  """
  settings = dict(settings)
  check_settings(settings)
  if "betas" in settings:
    schedule = diffusion.Schedule.from_betas(settings["betas"])
  else:
    schedule = _KNOWN[settings.pop("name")](**settings)
  checks.signal_left("schedule", schedule.signal)
  return schedule
