"""Stable Audio Open as a family of models that are built from a configuration."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lsaprobe_jax import diffusion
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checks, fresh, oobleck, oobleck_model, waveform
from lsaprobe_jax.models import pipeline_settings as settings
from lsaprobe_jax.models.stable_audio import dit, durations
from lsaprobe_jax.models.stable_audio.latent import StableAudioDiffusion

# How finely the path is tabulated.
_TIMES = 1000
_TRANSFORMER = {
  "in_channels": 64,
  "out_channels": 64,
  "num_layers": 24,
  "attention_head_dim": 64,
  "num_attention_heads": 24,
  "num_key_value_attention_heads": 12,
  "cross_attention_dim": 768,
  "time_proj_dim": 256,
  "global_states_input_dim": 1536,
  "cross_attention_input_dim": 768,
}
_PROJECTION = {
  "text_encoder_dim": 768,
  "conditioning_dim": 768,
  "min_value": 0.0,
  "max_value": 512.0,
}
_SCHEDULER = {"prediction_type": ("v_prediction",), "sigma_data": (1, 1.0)}
_SCHEDULERS = ("CosineDPMSolverMultistepScheduler",)


class Networks(NamedTuple):
  """The three networks of a model."""

  transformer: dit.StableAudioDiT
  vae: oobleck.Oobleck
  projection_model: durations.Durations


class StableAudio:
  """The family: every method takes a model configuration.

  Its keys are `transformer`, `vae`, `projection_model` and `scheduler` (the pipeline's
  JSON files) and `text_tokens`, how many tokens of a text the condition has, 0 for
  none. Parameters have the keys `transformer`, `vae`, `projection_model`, and
  `conditioning` for a text.
  """

  def check_settings(
    self, model_config: Mapping[str, Any], tensors: int | None = None
  ) -> None:
    """Refuses a model configuration (see `registry.Family`)."""
    required = ("transformer", "vae", "projection_model", "scheduler", "text_tokens")
    checks.table("the model", model_config, required, None)
    build_networks(model_config, tensors)
    _check_scheduler(model_config["scheduler"])
    checks.whole("text_tokens", model_config["text_tokens"], 0, checks.LARGEST)

  def build(
    self,
    model_config: Mapping[str, Any],
    params: Any,
    num_inference_steps: int,
    *,
    precision: str = "float32",
    stop_at: str = "waveform",
  ) -> StableAudioDiffusion:
    """Builds a model from its configuration and weights (see `registry.Family`)."""
    dtype = waveform.dtype_of(precision)
    if stop_at != "waveform":
      raise SettingError(
        f"stop_at={stop_at}: Stable Audio decodes to the waveform only"
      )
    self.check_settings(model_config)
    networks = build_networks(model_config)
    return StableAudioDiffusion(
      params=params["transformer"],
      vae_params=params["vae"],
      durations_params=params["projection_model"],
      text=params.get("conditioning", {}).get("text"),
      start_seconds=jnp.float32(0),
      end_seconds=None,
      schedule=diffusion.Schedule.from_path(diffusion.TRIGONOMETRIC, _TIMES),
      network=networks.transformer,
      autoencoder=networks.vae,
      embedder=networks.projection_model,
      sample_rate=oobleck_model.read(model_config["vae"])["sampling_rate"],
      num_inference_steps=num_inference_steps,
      dtype=dtype,
    )

  def abstract_params(self, model_config: Mapping[str, Any]) -> Any:
    """Returns names and shapes of all networks' parameters, without making any."""
    self.check_settings(model_config)
    networks = build_networks(model_config)
    read = _read(model_config, "transformer")
    tokens, width = model_config["text_tokens"], read["cross_attention_input_dim"]

    def make():
      key = jax.random.key(0)
      latent = jnp.zeros((2, networks.transformer.channels))
      overall = jnp.zeros(read["global_states_input_dim"])
      inputs = (latent, jnp.float32(0.5), jnp.zeros((1, width)), overall)
      audio = jnp.zeros((networks.vae.hop, networks.vae.audio_channels))
      made = {
        "transformer": networks.transformer.init(key, *inputs)["params"],
        "vae": networks.vae.init(key, audio)["params"],
        "projection_model": networks.projection_model.init(key, 0.0, 1.0)["params"],
      }
      return made | (
        {"conditioning": {"text": jnp.zeros((tokens, width))}} if tokens else {}
      )

    return jax.eval_shape(make)

  def init_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws fresh parameters (`fresh.draw`), and sets a text to zero."""
    return fresh.draw(self.abstract_params(model_config), key, ("transformer_blocks",))

  def random_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws parameters for a control; fresh ones have no layer of zeros."""
    return self.init_params(model_config, key)


FAMILY = StableAudio()


def build_networks(
  model_config: Mapping[str, Any], tensors: int | None = None
) -> Networks:
  """Builds the three networks that a model configuration describes.

  Args:
    model_config: see `StableAudio`.
    tensors: how many the weights hold, which bounds the layers; None if not known.

  Raises:
    ValueError: on a setting that is not supported, or parts that do not fit together.
  """
  parts = ("transformer", "projection_model")
  transformer, projection = (_read(model_config, part) for part in parts)
  _check_transformer(transformer)
  vae = oobleck_model.read(model_config["vae"], tensors)
  _check_fit(transformer, vae, projection)
  return Networks(
    transformer=dit.StableAudioDiT(
      channels=transformer["in_channels"],
      layers=transformer["num_layers"],
      head_features=transformer["attention_head_dim"],
      heads=transformer["num_attention_heads"],
      kv_heads=transformer["num_key_value_attention_heads"],
      condition_features=transformer["cross_attention_dim"],
      time_features=transformer["time_proj_dim"],
    ),
    vae=oobleck_model.build(vae),
    projection_model=durations.Durations(
      features=projection["conditioning_dim"],
      lowest=float(projection["min_value"]),
      highest=float(projection["max_value"]),
    ),
  )


def _read(model_config: Mapping[str, Any], part: str) -> dict[str, Any]:
  """Returns the settings of a part, each of its default's type."""
  defaults = {"transformer": _TRANSFORMER, "projection_model": _PROJECTION}
  return settings.read(model_config[part], f"{part}/config.json", defaults[part], {})


def _check_transformer(transformer: Mapping[str, Any]) -> None:
  """Refuses settings that make no transformer."""
  name = "transformer/config.json"
  # Blocks are stacked: their number says nothing of that of tensors.
  settings.check_blocks(f"{name}: num_layers", transformer["num_layers"], None)
  heads = transformer["num_attention_heads"]
  kv_heads = transformer["num_key_value_attention_heads"]
  settings.require(
    heads % kv_heads == 0, name, "num_key_value_attention_heads", kv_heads,
    f"a divisor of num_attention_heads = {heads}",
  )  # fmt: skip
  for key, factor in (("attention_head_dim", 4), ("time_proj_dim", 2)):
    value = transformer[key]
    settings.require(value % factor == 0, name, key, value, f"a multiple of {factor}")


def _check_fit(transformer, vae, projection) -> None:
  """Refuses parts of which two sizes differ that must agree."""
  lowest, highest = projection["min_value"], projection["max_value"]
  settings.require(
    lowest < highest, "projection_model/config.json", "max_value", highest,
    f"above min_value = {lowest}",
  )  # fmt: skip
  latents, channels = vae["decoder_input_channels"], transformer["in_channels"]
  width = projection["conditioning_dim"]
  settings.check_agree(
    {
      "the VAE's decoder_input_channels and the transformer's in_channels": (
        latents,
        channels,
      ),
      "the transformer's out_channels and in_channels": (
        transformer["out_channels"],
        channels,
      ),
      "conditioning_dim and the transformer's cross_attention_input_dim": (
        width,
        transformer["cross_attention_input_dim"],
      ),
      "twice conditioning_dim and the transformer's global_states_input_dim": (
        2 * width,
        transformer["global_states_input_dim"],
      ),
    }
  )


def _check_scheduler(config: Mapping[str, Any]) -> None:
  """Refuses a scheduler that does not say Stable Audio's path."""
  name = "scheduler/scheduler_config.json"
  checks.table(name, config, (), None)
  if config.get("_class_name") not in _SCHEDULERS:
    checks.refuse(
      f"{name}: _class_name", config.get("_class_name"), " or ".join(_SCHEDULERS)
    )
  # diffusers' own defaults where the file is silent.
  stated = {"prediction_type": "v_prediction", "sigma_data": 1.0} | dict(config)
  for key, known in _SCHEDULER.items():
    settings.require(stated[key] in known, name, key, stated[key], str(known[0]))
