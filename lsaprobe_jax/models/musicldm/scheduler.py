"""The noise schedule that diffusers' `scheduler_config.json` describes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import checks
from lsaprobe_jax.models import pipeline_settings as settings

_FILE = "scheduler/scheduler_config.json"
_DEFAULTS = {
  "num_train_timesteps": 1000,
  "beta_start": 0.0001,
  "beta_end": 0.02,
  "beta_schedule": "linear",
  "trained_betas": None,
  "set_alpha_to_one": True,
  "prediction_type": "epsilon",
}
_UNREAD = frozenset(
  {
    # Only say which times diffusers' own samplers visit; ours are
    # `diffusion.reverse`'s.
    "steps_offset",
    "timestep_spacing",
    # Read by thresholding, clipping and stochastic samplers alone.
    "clip_sample_range",
    "dynamic_thresholding_ratio",
    "sample_max_value",
    "skip_prk_steps",
    "variance_type",
  }
)
_FIXED = {
  "beta_schedule": ("linear", "scaled_linear"),
  "prediction_type": ("epsilon", "v_prediction"),
  "clip_sample": (False,),
  "thresholding": (False,),
  "rescale_betas_zero_snr": (False,),
}


def build_schedule(config: Mapping[str, Any]) -> diffusion.Schedule:
  """Builds the schedule, which says whether the UNet predicts noise or v.

  Raises:
    ValueError: on a setting that is not supported; names it.
  """
  found = read(config)
  steps, ends = found["num_train_timesteps"], (found["beta_start"], found["beta_end"])
  if found["trained_betas"] is not None:
    schedule = diffusion.Schedule.from_betas(np.array(found["trained_betas"]))
  elif found["beta_schedule"] == "linear":
    schedule = diffusion.linear(steps, *ends)
  else:
    schedule = diffusion.scaled_linear(steps, *ends)
  checks.signal_left(_FILE, schedule.signal)
  if not found["set_alpha_to_one"]:
    signal, noise = schedule.signal, schedule.noise
    schedule = schedule.replace(
      signal=signal.at[0].set(signal[1]), noise=noise.at[0].set(noise[1])
    )
  return schedule.replace(prediction=found["prediction_type"])


def read(config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the settings of a schedule, each within its limits.

  Raises:
    ValueError: on a setting that is not supported; names it.
  """
  checks.table(_FILE, config, (), None)
  # diffusers' own default where the file is silent.
  clips = config.get("_class_name") in ("DDIMScheduler", "DDPMScheduler")
  stated = {"clip_sample": clips} | dict(config)
  found = settings.read(stated, _FILE, _DEFAULTS, _FIXED, _UNREAD)
  name = f"{_FILE}: {{}}".format
  steps = found["num_train_timesteps"]
  checks.whole(name("num_train_timesteps"), steps, 1, checks.MOST_TIMES)
  for key in ("beta_start", "beta_end"):
    checks.real(name(key), found[key], 0, 1, inside=True)
  if found["trained_betas"] is not None:
    checks.betas(name("trained_betas"), found["trained_betas"])
  return found
