"""Diffusion models on waveforms: any Linen network `(x, index) -> noise`."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checks, reconstruction, schedules
from lsaprobe_jax.models.diffusion_model import StateKind

# `scale` brings music to about unit variance; beyond these it would leave float32.
_SCALES = (1e-6, 1e6)

# None: as the input and the parameters, which tests make float64.
_DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


def dtype_of(precision: str) -> Any:
  """Returns what networks compute in by the name of a precision.

  Raises:
    SettingError: there is no such precision.
  """
  if precision not in _DTYPES:
    raise SettingError(f"precision={precision}: it must be {' or '.join(_DTYPES)}")
  return _DTYPES[precision]


class WaveformDiffusion(struct.PyTreeNode):
  """A diffusion model on waveforms. A pytree: weights travel as arguments.

  Attributes:
    params: the network's parameters.
    schedule: its noise schedule.
    network: the module, `(x, index) -> noise`.
    sample_rate: of the audio, in Hz.
    scale: the state is `scale * audio`, so that music at the corpus loudness has
      about unit variance when the model was trained that way (1 for LMNT's).
    num_inference_steps: S, the DDIM steps of the reverse process.
    rematerialise: whether a backward pass computes the inside of S > 1 steps again;
      None where nobody decided, which is yes until `memory.suited` knows the clip.
  """

  params: Any
  schedule: diffusion.Schedule
  network: nn.Module = struct.field(pytree_node=False)
  sample_rate: int = struct.field(pytree_node=False)
  scale: float = struct.field(pytree_node=False, default=1.0)
  num_inference_steps: int = struct.field(pytree_node=False, default=1)
  rematerialise: bool | None = struct.field(pytree_node=False, default=None)

  state_kind: ClassVar[StateKind] = "waveform"

  def for_length(self, samples: int) -> "WaveformDiffusion":
    """Returns the model for clips of so many samples: itself, a state is as long."""
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
    return reconstruction.reconstruct(self, x_t, t)


def _waveform(network: nn.Module) -> tuple[jax.Array, ...]:
  """Inputs that a network on waveforms can be initialised with."""
  del network
  return jnp.zeros(1024), jnp.int32(0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveformFamily:
  """All models whose network is one Linen module `(x, index) -> noise` on waveforms.

  A model configuration of such a family has the keys `network` (the module's fields
  other than `max_steps` and `dtype`), `schedule`, `sample_rate` and `scale`.

  Attributes:
    network: the module's class, with the fields `max_steps` (T) and `dtype`.
    check_network: refuses settings of the network, `(settings, name, tensors)`; None
      checks the size of numbers alone.
    inputs: arrays to initialise a network with.
    zero_layer: a layer that starts at zero, so that fresh weights give the same output
      for every seed; `random_params` draws it as the others are. It may be missing.
  """

  network: Callable[..., nn.Module]
  check_network: Callable[[Mapping[str, Any], str, int | None], None] | None = None
  inputs: Callable[[nn.Module], tuple[jax.Array, ...]] = _waveform
  zero_layer: str = "output_projection"

  def check_settings(
    self, model_config: Mapping[str, Any], tensors: int | None = None
  ) -> None:
    """Refuses a model configuration (see `registry.Family`)."""
    required = ("family", "network", "schedule", "sample_rate", "scale")
    checks.table("the model", model_config, required, None)
    checks.whole("sample_rate", model_config["sample_rate"], *checks.RATES)
    checks.real("scale", model_config["scale"], *_SCALES)
    schedules.check_settings(model_config["schedule"])
    checks.table("network", model_config["network"], (), None)
    checks.numbers("network", model_config["network"])
    if self.check_network is not None:
      self.check_network(model_config["network"], "network", tensors)

  def build_network(
    self, model_config: Mapping[str, Any], precision: str = "float32"
  ) -> nn.Module:
    """Builds the network that a model configuration describes.

    Args:
      model_config: see the class.
      precision: of the network's blocks, `float32` or `bfloat16`.

    Raises:
      SettingError: there is no such precision.
      ValueError: names the setting that the network does not have.
    """
    dtype = dtype_of(precision)
    self.check_settings(model_config)
    return self.network(
      max_steps=model_config["schedule"]["num_train_timesteps"],
      dtype=dtype,
      **model_config["network"],
    )

  def build(
    self,
    model_config: Mapping[str, Any],
    params: Any,
    num_inference_steps: int,
    *,
    precision: str = "float32",
    stop_at: str = "waveform",
  ) -> WaveformDiffusion:
    """Builds a model from its configuration and weights (see `registry.Family`)."""
    if stop_at != "waveform":
      raise SettingError(
        f"stop_at={stop_at}: a model on waveforms decodes to a `waveform` alone"
      )
    self.check_settings(model_config)
    return WaveformDiffusion(
      params=params,
      schedule=schedules.build(model_config["schedule"]),
      network=self.build_network(model_config, precision),
      sample_rate=model_config["sample_rate"],
      scale=model_config["scale"],
      num_inference_steps=num_inference_steps,
    )

  def init_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws fresh parameters, before any training."""
    network = self.build_network(model_config)
    return _init(network, key, *self.inputs(network))["params"]

  def abstract_params(self, model_config: Mapping[str, Any]) -> Any:
    """Returns names and shapes of the parameters, without making any."""
    return jax.eval_shape(lambda: self.init_params(model_config, jax.random.key(0)))

  def random_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws random parameters all through, the zero layer's too."""
    init_key, last_key = jax.random.split(key)
    params = self.init_params(model_config, init_key)
    if self.zero_layer not in params:
      return params
    last = params[self.zero_layer]
    kernel = jax.nn.initializers.he_normal()(last_key, last["kernel"].shape)
    return params | {self.zero_layer: last | {"kernel": kernel}}


# Compiled once for all models of one architecture: it takes seconds.
_init = jax.jit(lambda network, *args: network.init(*args), static_argnums=0)
