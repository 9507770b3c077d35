"""Families of models by name, and what every family can do.

A model configuration is the table `model` of a model folder's `model.json`; its key
`family` names the family, which alone reads the rest. The functions here look the
family up and call it. `register` adds one from outside the package.
"""

import numbers
import reprlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax

from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models import checks
from lsaprobe_jax.models.ace_step import family as ace_step
from lsaprobe_jax.models.diffusion_model import DiffusionModel
from lsaprobe_jax.models.diffwave import family as diffwave
from lsaprobe_jax.models.musicldm import family as musicldm
from lsaprobe_jax.models.stable_audio import family as stable_audio
from lsaprobe_jax.models.waveform import WaveformFamily
from lsaprobe_jax.text import printable


@runtime_checkable
class Family(Protocol):
  """Models that are built from one kind of configuration."""

  def check_settings(
    self, model_config: Mapping[str, Any], tensors: int | None = None
  ) -> None:
    """Refuses a model configuration of which a value is not what it must be.

    Every value is looked at before anything is built, because a configuration may come
    from anyone, and sizes decide how long building takes.

    Args:
      model_config: the configuration.
      tensors: how many the weights hold, which bounds the layers; None where there are
        no weights yet.

    Raises:
      ValueError: names the setting and what it must be.
    """
    ...

  def build(
    self,
    model_config: Mapping[str, Any],
    params: Any,
    num_inference_steps: int,
    *,
    precision: str = "float32",
    stop_at: str = "waveform",
  ) -> DiffusionModel:
    """Builds a model from its configuration and weights.

    Args:
      model_config: the configuration.
      params: parameters that fit the networks.
      num_inference_steps: S, the DDIM steps of the reverse process.
      precision: of the network's blocks, `float32` or `bfloat16`.
      stop_at: what is decoded to, `waveform`, or `mel` to end before a vocoder.

    Raises:
      SettingError: the family has no such precision or end.
      ValueError: names the setting that it does not have.
    """
    ...

  def init_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws fresh parameters, from which a training starts."""
    ...

  def abstract_params(self, model_config: Mapping[str, Any]) -> Any:
    """Returns names and shapes of the parameters, without making any."""
    ...

  def random_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws parameters of which no layer is zero, for a control without training."""
    ...


_OWN: dict[str, Family] = {
  "diffwave": diffwave.FAMILY,
  "musicldm": musicldm.FAMILY,
  "stable_audio": stable_audio.FAMILY,
  "ace_step": ace_step.FAMILY,
}
_ADDED: dict[str, Family] = {}


def register(family: str, builder: type[nn.Module] | Family) -> None:
  """Adds a family of models from outside, for this process.

  Models of it can then be trained, stored, loaded by `load_model` and audited. A name
  that was added before is given the new builder.

  Args:
    family: what a configuration's key `family` says.
    builder: a Linen module class `(x, index) -> noise` on waveforms [samples] with the
      fields `max_steps` and `dtype` (`waveform.WaveformFamily`), or an object that does
      what `Family` says.

  Raises:
    ArgumentError: the name is one of the library's own, or the builder is neither.
  """
  shown = printable(family)
  if family in _OWN:
    raise ArgumentError(f"family={shown} is one of the library's own; choose another")
  if isinstance(builder, type) and issubclass(builder, nn.Module):
    builder = WaveformFamily(network=builder)
  if isinstance(builder, type) or not isinstance(builder, Family):
    raise ArgumentError(
      f"builder={printable(reprlib.repr(builder))}: it must be a Linen module class on"
      " waveforms, or an object with check_settings, build, init_params,"
      " abstract_params and random_params"
    )
  _ADDED[family] = builder


def get(model_config: Mapping[str, Any]) -> Family:
  """Returns the family of a model configuration.

  Raises:
    ValueError: it names none, or none that is known; lists those that are.
  """
  name = checks.table("the model", model_config, ("family",), None)["family"]
  known = _OWN | _ADDED
  if not isinstance(name, str) or name not in known:
    shown = printable(reprlib.repr(name))
    raise ValueError(f"unknown model family {shown}; known: {', '.join(known)}")
  return known[name]


def check_steps(num_inference_steps: int) -> None:
  """Refuses a count of DDIM steps that is none, or below 1.

  Raises:
    SettingError: there is no step.
  """
  if not isinstance(num_inference_steps, numbers.Integral) or num_inference_steps < 1:
    raise SettingError(
      f"num_inference_steps={num_inference_steps}: at least 1, a whole number"
    )


def check_settings(model_config: Mapping[str, Any], tensors: int | None = None) -> None:
  """Refuses a model configuration (`Family.check_settings`)."""
  get(model_config).check_settings(model_config, tensors)


def build_model(
  model_config: Mapping[str, Any],
  params: Any,
  num_inference_steps: int,
  *,
  precision: str = "float32",
  stop_at: str = "waveform",
) -> DiffusionModel:
  """Builds a model from its configuration and weights (`Family.build`)."""
  return get(model_config).build(
    model_config, params, num_inference_steps, precision=precision, stop_at=stop_at
  )


def init_params(model_config: Mapping[str, Any], key: jax.Array) -> Any:
  """Draws fresh parameters, from which a training starts."""
  return get(model_config).init_params(model_config, key)


def abstract_params(model_config: Mapping[str, Any], tensors: int | None = None) -> Any:
  """Returns names and shapes of a model's parameters, without making any.

  Args:
    model_config: the configuration.
    tensors: how many the weights hold that these will be compared with; a
      configuration of more layers is refused at once, instead of being built first.

  Raises:
    ValueError: on a setting that is not supported.
  """
  family = get(model_config)
  family.check_settings(model_config, tensors)
  return family.abstract_params(model_config)


def random_params(model_config: Mapping[str, Any], key: jax.Array) -> Any:
  """Draws parameters of which no layer is zero, for a control without training."""
  return get(model_config).random_params(model_config, key)
