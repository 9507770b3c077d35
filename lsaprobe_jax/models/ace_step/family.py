"""ACE-Step as a family of models that are built from a configuration."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lsaprobe_jax import diffusion
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checks, fresh, oobleck, oobleck_model, waveform
from lsaprobe_jax.models import pipeline_settings as settings
from lsaprobe_jax.models.ace_step import dit
from lsaprobe_jax.models.ace_step.latent import AceStepDiffusion

# How finely the path is tabulated, and how the pipeline shifts its times by default.
_TIMES = 1000
_SHIFT = 3.0
_MOST_SHIFT = 100.0
_TRANSFORMER = {
  "hidden_size": 2048,
  "intermediate_size": 6144,
  "num_hidden_layers": 24,
  "num_attention_heads": 16,
  "num_key_value_heads": 8,
  "head_dim": 128,
  "in_channels": 192,
  "audio_acoustic_hidden_dim": 64,
  "patch_size": 2,
  "rope_theta": 1_000_000.0,
  "attention_bias": False,
  "rms_norm_eps": 1e-6,
  "sliding_window": 128,
  "layer_types": None,
  "encoder_hidden_size": None,
}
_UNREAD = frozenset({"attention_dropout", "is_turbo", "model_version"})
_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler",)
# The pipeline gives its own sigmas, and tells the transformer what comes of them: with
# more than one time it would be told others than it learnt.
_SCHEDULER = {
  "num_train_timesteps": (1,),
  "use_dynamic_shifting": (False,),
  "shift_terminal": (None,),
  "use_karras_sigmas": (False,),
  "use_exponential_sigmas": (False,),
  "use_beta_sigmas": (False,),
  "invert_sigmas": (False,),
  "stochastic_sampling": (False,),
}
# These say how it would shift dynamically.
_UNREAD_SCHEDULER = frozenset(
  {
    "base_shift",
    "max_shift",
    "base_image_seq_len",
    "max_image_seq_len",
    "time_shift_type",
  }
)
_LAYERS = {"sliding_attention": True, "full_attention": False}


class Networks(NamedTuple):
  """The two networks of a model."""

  transformer: dit.AceStepDiT
  vae: oobleck.Oobleck


class AceStep:
  """The family: every method takes a model configuration.

  Its keys are `transformer`, `vae` and `scheduler` (the pipeline's JSON files),
  `condition_tokens`, how many tokens the condition has, and `silence_frames`, how many
  latents of silence there are. Parameters have the keys `transformer`, `vae`, and
  `conditioning` for both.
  """

  def check_settings(
    self, model_config: Mapping[str, Any], tensors: int | None = None
  ) -> None:
    """Refuses a model configuration (see `registry.Family`)."""
    counts = ("condition_tokens", "silence_frames")
    required = ("transformer", "vae", "scheduler", *counts)
    checks.table("the model", model_config, required, None)
    build_networks(model_config, tensors)
    _read_shift(model_config["scheduler"])
    for name in counts:
      checks.whole(name, model_config[name], 1, checks.LARGEST)

  def build(
    self,
    model_config: Mapping[str, Any],
    params: Any,
    num_inference_steps: int,
    *,
    precision: str = "float32",
    stop_at: str = "waveform",
  ) -> AceStepDiffusion:
    """Builds a model from its configuration and weights (see `registry.Family`)."""
    dtype = waveform.dtype_of(precision)
    if stop_at != "waveform":
      raise SettingError(f"stop_at={stop_at}: ACE-Step decodes to the waveform only")
    self.check_settings(model_config)
    networks = build_networks(model_config)
    shift = _SHIFT * _read_shift(model_config["scheduler"])
    return AceStepDiffusion(
      params=params["transformer"],
      vae_params=params["vae"],
      condition=params["conditioning"]["tokens"],
      silence=params["conditioning"]["silence"],
      schedule=diffusion.Schedule.from_path(diffusion.RECTIFIED_FLOW, _TIMES, shift),
      network=networks.transformer,
      autoencoder=networks.vae,
      sample_rate=oobleck_model.read(model_config["vae"])["sampling_rate"],
      num_inference_steps=num_inference_steps,
      dtype=dtype,
    )

  def abstract_params(self, model_config: Mapping[str, Any]) -> Any:
    """Returns names and shapes of all networks' parameters, without making any."""
    self.check_settings(model_config)
    transformer, vae = build_networks(model_config)
    tokens = (model_config["condition_tokens"], _read(model_config)["width"])
    silence = (model_config["silence_frames"], transformer.channels)

    def make():
      key = jax.random.key(0)
      inputs = (jnp.zeros(tokens), jnp.zeros((2, transformer.context_channels)))
      latent = jnp.zeros((2, transformer.channels))
      audio = jnp.zeros((vae.hop, vae.audio_channels))
      return {
        "transformer": transformer.init(key, latent, jnp.float32(0.5), *inputs)[
          "params"
        ],
        "vae": vae.init(key, audio)["params"],
        "conditioning": {"tokens": jnp.zeros(tokens), "silence": jnp.zeros(silence)},
      }

    return jax.eval_shape(make)

  def init_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws fresh parameters (`fresh.draw`), and sets the condition to zero."""
    return fresh.draw(self.abstract_params(model_config), key, ("layers",))

  def random_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws parameters for a control; fresh ones have no layer of zeros."""
    return self.init_params(model_config, key)


FAMILY = AceStep()


def build_networks(
  model_config: Mapping[str, Any], tensors: int | None = None
) -> Networks:
  """Builds the two networks that a model configuration describes.

  Args:
    model_config: see `AceStep`.
    tensors: how many the weights hold, which bounds the layers; None if not known.

  Raises:
    ValueError: on a setting that is not supported, or parts that do not fit together.
  """
  transformer = _read(model_config)
  vae = oobleck_model.read(model_config["vae"], tensors)
  channels = transformer["audio_acoustic_hidden_dim"]
  settings.check_agree(
    {
      "the VAE's decoder_input_channels and audio_acoustic_hidden_dim": (
        vae["decoder_input_channels"],
        channels,
      ),
      # The state, the source and which of it is made.
      "the transformer's in_channels and three times audio_acoustic_hidden_dim": (
        transformer["in_channels"],
        3 * channels,
      ),
    }
  )
  network = dit.AceStepDiT(
    features=transformer["hidden_size"],
    hidden=transformer["intermediate_size"],
    heads=transformer["num_attention_heads"],
    kv_heads=transformer["num_key_value_heads"],
    head_features=transformer["head_dim"],
    channels=channels,
    context_channels=2 * channels,
    patch=transformer["patch_size"],
    theta=float(transformer["rope_theta"]),
    epsilon=float(transformer["rms_norm_eps"]),
    bias=transformer["attention_bias"],
    window=transformer["sliding_window"],
    near=transformer["near"],
  )
  return Networks(transformer=network, vae=oobleck_model.build(vae))


def frame_rate(model_config: Mapping[str, Any]) -> float:
  """Returns how many latent frames a second has."""
  vae = oobleck_model.read(model_config["vae"])
  return vae["sampling_rate"] / oobleck_model.build(vae).hop


def near_layers(name: str, kinds: Any, count: int) -> tuple[bool, ...]:
  """Returns of each layer whether its tokens attend to near ones alone.

  Args:
    name: of the file, for messages.
    kinds: its `layer_types`; every other layer is a near one where it has none.
    count: of layers.

  Raises:
    ValueError: they are no list of so many known kinds.
  """
  if kinds is None:
    return tuple(i % 2 == 0 for i in range(count))
  known = isinstance(kinds, tuple) and all(
    isinstance(kind, str) and kind in _LAYERS for kind in kinds
  )
  settings.require(
    known and len(kinds) == count, name, "layer_types", kinds,
    f"a list of {count} of {' and '.join(_LAYERS)}",
  )  # fmt: skip
  return tuple(_LAYERS[kind] for kind in kinds)


def check_attention(name: str, read: Mapping[str, Any]) -> None:
  """Refuses settings that make no attention.

  Args:
    name: of the file, for messages.
    read: its settings.

  Raises:
    ValueError: names the setting.
  """
  heads, kv_heads = read["num_attention_heads"], read["num_key_value_heads"]
  settings.require(
    heads % kv_heads == 0, name, "num_key_value_heads", kv_heads,
    f"a divisor of num_attention_heads = {heads}",
  )  # fmt: skip
  even = read["head_dim"] % 2 == 0
  settings.require(even, name, "head_dim", read["head_dim"], "an even number")
  checks.real(f"{name}: rope_theta", read["rope_theta"], 1, checks.LARGEST)
  checks.real(f"{name}: rms_norm_eps", read["rms_norm_eps"], 0, 1, inside=True)


def _read(model_config: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the transformer's settings, with `near` and the condition's `width`."""
  name = "transformer/config.json"
  read = settings.read(model_config["transformer"], name, _TRANSFORMER, {}, _UNREAD)
  # Blocks are stacked: their number says nothing of that of tensors.
  settings.check_blocks(f"{name}: num_hidden_layers", read["num_hidden_layers"], None)
  check_attention(name, read)
  width = read["encoder_hidden_size"]
  if width is None:
    width = read["hidden_size"]
  checks.whole(f"{name}: encoder_hidden_size", width, 1, checks.LARGEST)
  near = near_layers(name, read["layer_types"], read["num_hidden_layers"])
  return read | {"near": near, "width": width}


def _read_shift(config: Mapping[str, Any]) -> float:
  """Returns how a scheduler shifts the times that the pipeline has shifted already.

  Raises:
    ValueError: it does not say ACE-Step's path.
  """
  name = "scheduler/scheduler_config.json"
  checks.table(name, config, (), None)
  if config.get("_class_name") not in _SCHEDULERS:
    checks.refuse(
      f"{name}: _class_name", config.get("_class_name"), " or ".join(_SCHEDULERS)
    )
  # diffusers' own default where the file is silent.
  stated = {"num_train_timesteps": 1000} | dict(config)
  read = settings.read(stated, name, {"shift": 1.0}, _SCHEDULER, _UNREAD_SCHEDULER)
  return checks.real(f"{name}: shift", read["shift"], 0, _MOST_SHIFT, inside=True)
