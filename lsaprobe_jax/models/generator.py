"""A trained diffusion model as the probe sees it: encode, denoise, decode."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.models.diffwave import HOP_SAMPLES, DiffWave
from lsaprobe_jax.models.musicldm import generator as musicldm

_SCHEDULES = {
  "linear": diffusion.linear,
  "scaled_linear": diffusion.scaled_linear,
  "cosine": diffusion.cosine,
}

# Networks on waveforms by family: Linen modules `(x, index) -> noise` with the fields
# `max_steps` and `dtype`; a model configuration's `network` holds the others.
_NETWORKS = {"diffwave": DiffWave}

# None: as the input and the parameters, which tests make float64.
_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


class WaveformGenerator(struct.PyTreeNode):
  """A diffusion model on waveforms. A pytree: weights travel as arguments.

  Attributes:
    params: the network's parameters.
    schedule: its noise schedule.
    network: the module, `(x, index) -> noise`.
    sample_rate: of the audio, Hz.
    scale: the state is `scale * audio`, so that music at the corpus loudness has
      about unit variance when the model was trained that way (1 for LMNT's).
    num_steps: S, DDIM steps of the reverse process.
  """

  params: Any
  schedule: diffusion.Schedule
  network: nn.Module = struct.field(pytree_node=False)
  sample_rate: int = struct.field(pytree_node=False)
  scale: float = struct.field(pytree_node=False, default=1.0)
  num_steps: int = struct.field(pytree_node=False, default=1)

  def for_length(self, samples: int) -> "WaveformGenerator":
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
    x_0 = diffusion.reverse(self.predict_noise, self.schedule, x_t, t, self.num_steps)
    # Fused with a small distance behind it, XLA's CPU backend computes parts of the
    # network's last layers again: a gradient took 1.6 times as long.
    return jax.lax.optimization_barrier(self.decode(x_0))


def build_network(
  model_config: dict[str, Any], precision: str = "float32"
) -> nn.Module:
  """The network on waveforms that a model configuration describes.

  Args:
    model_config: as of `build_generator`.
    precision: of its blocks, `float32` or `bfloat16`.

  Raises:
    ValueError: on an unknown family or precision.
  """
  if precision not in _DTYPES:
    raise ValueError(f"unknown precision {precision!r}; known: {', '.join(_DTYPES)}")
  family = model_config["family"]
  if family not in _NETWORKS:
    known = ", ".join((*_NETWORKS, "musicldm"))
    raise ValueError(f"unknown model family {family!r}; known: {known}")
  return _NETWORKS[family](
    max_steps=model_config["schedule"]["num_steps"],
    dtype=_DTYPES[precision],
    **model_config["network"],
  )


def build_schedule(model_config: dict[str, Any]) -> diffusion.Schedule:
  """The schedule a model configuration describes: its `name`, or its `betas`."""
  settings = dict(model_config["schedule"])
  if "betas" in settings:
    return diffusion.Schedule.from_betas(settings["betas"])
  name = settings.pop("name")
  if name not in _SCHEDULES:
    raise ValueError(f"unknown schedule {name!r}; known: {sorted(_SCHEDULES)}")
  return _SCHEDULES[name](**settings)


def build_generator(
  model_config: dict[str, Any],
  params: Any,
  num_steps: int,
  precision: str = "float32",
  stop_at: str = "waveform",
) -> WaveformGenerator | musicldm.LatentGenerator:
  """A generator from its configuration and weights.

  Args:
    model_config: key `family`; for networks on waveforms keys `network`, `schedule`,
      `sample_rate`, `scale`; for `musicldm` those of
      `models.musicldm.generator.build_generator`.
    params: parameters that fit the networks.
    num_steps: S, DDIM steps of the reverse process.
    precision: of the network's blocks, `float32` or `bfloat16` (not `musicldm`).
    stop_at: what is decoded to, `waveform`, or `mel` to end before a vocoder.

  Raises:
    ValueError: on a setting that the family does not have.
  """
  if model_config["family"] == "musicldm":
    if precision != "float32":
      raise ValueError(f"precision {precision!r}: a musicldm model runs in float32")
    return musicldm.build_generator(model_config, params, num_steps, stop_at)
  if stop_at != "waveform":
    raise ValueError(f"stop_at {stop_at!r}: only a musicldm model has another end")
  return WaveformGenerator(
    params=params,
    schedule=build_schedule(model_config),
    network=build_network(model_config, precision),
    sample_rate=model_config["sample_rate"],
    scale=model_config["scale"],
    num_steps=num_steps,
  )


# Compiled once for all models of one architecture: it takes seconds.
_init = jax.jit(lambda network, *args: network.init(*args), static_argnums=0)


def init_params(model_config: dict[str, Any], key: jax.Array) -> Any:
  """Fresh parameters, before any training."""
  if model_config["family"] == "musicldm":
    return musicldm.init_params(model_config, key)
  network = build_network(model_config)
  args = (jnp.zeros(1024), jnp.int32(0))
  if getattr(network, "mels", None) is not None:
    args += (jnp.zeros((1024 // HOP_SAMPLES, network.mels)),)
  return _init(network, key, *args)["params"]


def abstract_params(model_config: dict[str, Any]) -> Any:
  """Names and shapes of a model's parameters, without making any."""
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
