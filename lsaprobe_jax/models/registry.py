"""A trained diffusion model as the probe sees it: encode, denoise, decode."""

import reprlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checks, diffwave
from lsaprobe_jax.models.diffwave import HOP_SAMPLES, DiffWave
from lsaprobe_jax.models.musicldm import latent as musicldm
from lsaprobe_jax.text import printable

_SCHEDULES = {
  "linear": diffusion.linear,
  "scaled_linear": diffusion.scaled_linear,
  "cosine": diffusion.cosine,
}

# Networks on waveforms by family: Linen modules `(x, index) -> noise` with the fields
# `max_steps` and `dtype`; a model configuration's `network` holds the others.
_NETWORKS = {"diffwave": DiffWave}
# By family, what refuses settings of the network: `(settings, name, tensors)`. Of other
# families only the size of numbers is checked.
_CHECKS = {"diffwave": diffwave.check_settings}

# `scale` brings music to about unit variance; beyond these it would leave float32.
_SCALES = (1e-6, 1e6)

# None: as the input and the parameters, which tests make float64.
_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


class WaveformDiffusion(struct.PyTreeNode):
  """A diffusion model on waveforms. A pytree: weights travel as arguments.

  Attributes:
    params: the network's parameters.
    schedule: its noise schedule.
    network: the module, `(x, index) -> noise`.
    sample_rate: of the audio, Hz.
    scale: the state is `scale * audio`, so that music at the corpus loudness has
      about unit variance when the model was trained that way (1 for LMNT's).
    num_inference_steps: S, DDIM steps of the reverse process.
  """

  params: Any
  schedule: diffusion.Schedule
  network: nn.Module = struct.field(pytree_node=False)
  sample_rate: int = struct.field(pytree_node=False)
  scale: float = struct.field(pytree_node=False, default=1.0)
  num_inference_steps: int = struct.field(pytree_node=False, default=1)

  def for_length(self, samples: int) -> "WaveformDiffusion":
    """The generator for clips of so many samples: itself, a state is as long."""
    del samples
    return self

  def encode(self, audio: jax.Array) -> jax.Array:
    """Waveform [samples] in [-1, 1] -> clean state x_0."""
    return self.scale * audio

  def predict_noise(self, x: jax.Array, t) -> jax.Array:
    """`e(x, t)`; state t = 1..T is network index t - 1, and t = 0 means index 0."""
    index = jnp.maximum(jnp.asarray(t) - 1, 0)
    return self.network.apply({"params": self.params}, x, index)

  def decode(self, x_0: jax.Array) -> jax.Array:
    """Clean state -> waveform [samples]."""
    return x_0 / self.scale

  def reconstruct(self, x_t: jax.Array, t) -> jax.Array:
    """`R_t` to the waveform: deterministic reverse from t to 0, then decode."""
    x_0 = diffusion.reverse(
      self.predict_noise, self.schedule, x_t, t, self.num_inference_steps
    )
    # Fused with a small distance behind it, XLA's CPU backend computes parts of the
    # network's last layers again: a gradient took 1.6 times as long.
    return jax.lax.optimization_barrier(self.decode(x_0))


def check_steps(num_inference_steps: int) -> None:
  """Refuses a count of DDIM steps below 1.

  Raises:
    SettingError: there is no step.
  """
  if num_inference_steps < 1:
    raise SettingError(f"num_inference_steps={num_inference_steps}: at least 1")


def check_settings(model_config: dict[str, Any], tensors: int | None = None) -> None:
  """Refuses a model configuration of which a value is not what it must be.

  Every value is looked at before anything is built, because sizes decide how long
  building takes.

  Args:
    model_config: as of `build_model`.
    tensors: how many the weights hold, which bounds the layers; None where there are
      no weights yet.

  Raises:
    ValueError: names the setting and what it must be.
  """
  family = _family(model_config)
  if family == "musicldm":
    musicldm.check_settings(model_config, tensors)
    return
  required = ("family", "network", "schedule", "sample_rate", "scale")
  checks.table("the model", model_config, required, None)
  checks.whole("sample_rate", model_config["sample_rate"], *checks.RATES)
  checks.real("scale", model_config["scale"], *_SCALES)
  _check_schedule(model_config["schedule"])
  checks.table("network", model_config["network"], (), None)
  checks.numbers("network", model_config["network"])
  if family in _CHECKS:
    _CHECKS[family](model_config["network"], "network", tensors)


def _family(model_config: dict[str, Any]) -> str:
  """The family of a model configuration, one of those that are known."""
  family = checks.table("the model", model_config, ("family",), None)["family"]
  known = (*_NETWORKS, "musicldm")
  if not isinstance(family, str) or family not in known:
    shown = printable(reprlib.repr(family))
    raise ValueError(f"unknown model family {shown}; known: {', '.join(known)}")
  return family


def _check_schedule(settings: Any) -> None:
  """Refuses a schedule that is neither a known one nor betas."""
  checks.table("schedule", settings, ("num_train_timesteps",), None)
  steps = checks.whole(
    "schedule.num_train_timesteps",
    settings["num_train_timesteps"],
    1,
    checks.MOST_TIMES,
  )
  if "betas" in settings:
    checks.table("schedule", settings, ("num_train_timesteps", "betas"))
    checks.betas("schedule.betas", settings["betas"], steps)
    return
  checks.table("schedule", settings, ("name",), None)
  if not isinstance(settings["name"], str) or settings["name"] not in _SCHEDULES:
    shown = printable(reprlib.repr(settings["name"]))
    raise ValueError(f"unknown schedule {shown}; known: {sorted(_SCHEDULES)}")
  if settings["name"] == "cosine":
    known = ("offset", "max_beta")
    checks.table("schedule", settings, ("name", "num_train_timesteps"), known)
  else:
    known = ("beta_start", "beta_end")
    checks.table("schedule", settings, ("name", "num_train_timesteps", *known))
  for key in known:
    if key in settings:
      checks.real(f"schedule.{key}", settings[key], 0, 1, inside=True)


def build_network(
  model_config: dict[str, Any], precision: str = "float32"
) -> nn.Module:
  """The network on waveforms that a model configuration describes.

  Args:
    model_config: as of `build_model`.
    precision: of its blocks, `float32` or `bfloat16`.

  Raises:
    ValueError: on an unknown family, precision or setting.
  """
  if precision not in _DTYPES:
    raise ValueError(f"unknown precision {precision!r}; known: {', '.join(_DTYPES)}")
  check_settings(model_config)
  return _NETWORKS[model_config["family"]](
    max_steps=model_config["schedule"]["num_train_timesteps"],
    dtype=_DTYPES[precision],
    **model_config["network"],
  )


def build_schedule(model_config: dict[str, Any]) -> diffusion.Schedule:
  """The schedule a model configuration describes: its `name`, or its `betas`.

  Raises:
    ValueError: on a setting that no schedule has.
  """
  settings = dict(model_config["schedule"])
  _check_schedule(settings)
  if "betas" in settings:
    schedule = diffusion.Schedule.from_betas(settings["betas"])
  else:
    schedule = _SCHEDULES[settings.pop("name")](**settings)
  checks.signal_left("schedule", schedule.signal)
  return schedule


def build_model(
  model_config: dict[str, Any],
  params: Any,
  num_inference_steps: int,
  precision: str = "float32",
  stop_at: str = "waveform",
) -> WaveformDiffusion | musicldm.LatentDiffusion:
  """A generator from its configuration and weights.

  Args:
    model_config: key `family`; for networks on waveforms keys `network`, `schedule`,
      `sample_rate`, `scale`; for `musicldm` those of
      `models.musicldm.latent.build_model`.
    params: parameters that fit the networks.
    num_inference_steps: S, DDIM steps of the reverse process.
    precision: of the network's blocks, `float32` or `bfloat16` (not `musicldm`).
    stop_at: what is decoded to, `waveform`, or `mel` to end before a vocoder.

  Raises:
    ValueError: on a setting that the family does not have.
  """
  if _family(model_config) == "musicldm":
    if precision != "float32":
      raise ValueError(f"precision {precision!r}: a musicldm model runs in float32")
    return musicldm.build_model(model_config, params, num_inference_steps, stop_at)
  if stop_at != "waveform":
    raise ValueError(f"stop_at {stop_at!r}: only a musicldm model has another end")
  check_settings(model_config)
  return WaveformDiffusion(
    params=params,
    schedule=build_schedule(model_config),
    network=build_network(model_config, precision),
    sample_rate=model_config["sample_rate"],
    scale=model_config["scale"],
    num_inference_steps=num_inference_steps,
  )


# Compiled once for all models of one architecture: it takes seconds.
_init = jax.jit(lambda network, *args: network.init(*args), static_argnums=0)


def init_params(model_config: dict[str, Any], key: jax.Array) -> Any:
  """Fresh parameters, before any training."""
  if _family(model_config) == "musicldm":
    return musicldm.init_params(model_config, key)
  network = build_network(model_config)
  args = (jnp.zeros(1024), jnp.int32(0))
  if getattr(network, "mels", None) is not None:
    args += (jnp.zeros((1024 // HOP_SAMPLES, network.mels)),)
  return _init(network, key, *args)["params"]


def abstract_params(model_config: dict[str, Any], tensors: int | None = None) -> Any:
  """Names and shapes of a model's parameters, without making any.

  Args:
    model_config: as of `build_model`.
    tensors: how many the weights hold that these will be compared with; a
      configuration of more layers is refused at once, instead of being built first.

  Raises:
    ValueError: on a setting that is not supported.
  """
  check_settings(model_config, tensors)
  if model_config["family"] == "musicldm":
    return musicldm.abstract_params(model_config)
  return jax.eval_shape(lambda: init_params(model_config, jax.random.key(0)))


def random_params(model_config: dict[str, Any], key: jax.Array) -> Any:
  """Random parameters all through, for a control that no training has touched.

  DiffWave starts with a last layer of zeros, and so with the same output for every
  seed; here that layer, `output_projection`, is drawn as the others are. Where there
  is no layer of that name these are the fresh parameters.
  """
  if model_config["family"] == "musicldm":
    return init_params(model_config, key)
  init_key, last_key = jax.random.split(key)
  params = init_params(model_config, init_key)
  if "output_projection" not in params:
    return params
  last = params["output_projection"]
  kernel = jax.nn.initializers.he_normal()(last_key, last["kernel"].shape)
  return params | {"output_projection": last | {"kernel": kernel}}
