"""MusicLDM and AudioLDM as a family of models that are built from a configuration."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checks, fresh, pipeline_settings, waveform
from lsaprobe_jax.models.musicldm import mel, scheduler, unet, vae, vocoder
from lsaprobe_jax.models.musicldm.latent import LatentDiffusion

# diffusers' own default, and where float32 still has room around latents of any size.
_SCALING_FACTOR = 0.18215
_SCALES = (1e-6, 1e6)
_STOPS = ("waveform", "mel")

Networks = tuple[unet.UNet, vae.VAE, vocoder.Vocoder]


class MusicLDM:
  """The family: every method takes a model configuration.

  Its keys are `unet`, `vae`, `vocoder` and `scheduler` (the pipeline's JSON files),
  `mel` (see `mel.from_config`) and `sample_rate`. Parameters have the keys `unet`,
  `vae`, `vocoder`, and `conditioning` for a UNet that takes an embedding.
  """

  def check_settings(
    self, model_config: Mapping[str, Any], tensors: int | None = None
  ) -> None:
    """Refuses a model configuration (see `registry.Family`)."""
    required = ("unet", "vae", "vocoder", "scheduler", "mel", "sample_rate")
    checks.table("the model", model_config, required, None)
    rate = checks.whole("sample_rate", model_config["sample_rate"], *checks.RATES)
    mel.check_settings(model_config["mel"], rate)
    scheduler.read(model_config["scheduler"])
    build_networks(model_config, tensors)
    scaling = model_config["vae"].get("scaling_factor", _SCALING_FACTOR)
    checks.real("vae/config.json: scaling_factor", scaling, *_SCALES)

  def build(
    self,
    model_config: Mapping[str, Any],
    params: Any,
    num_inference_steps: int,
    *,
    precision: str = "float32",
    stop_at: str = "waveform",
  ) -> LatentDiffusion:
    """Builds a model from its configuration and weights (see `registry.Family`)."""
    dtype = waveform.dtype_of(precision)
    if stop_at not in _STOPS:
      raise SettingError(f"stop_at={stop_at}: it must be {' or '.join(_STOPS)}")
    self.check_settings(model_config)
    denoiser, autoencoder, voice = build_networks(model_config)
    conditional = denoiser.condition_width is not None
    scaling = model_config["vae"].get("scaling_factor", _SCALING_FACTOR)
    return LatentDiffusion(
      params=params["unet"],
      vae_params=params["vae"],
      vocoder_params=params["vocoder"],
      condition=params["conditioning"]["embedding"] if conditional else None,
      schedule=scheduler.build_schedule(model_config["scheduler"]),
      front_end=mel.from_config(model_config["mel"], model_config["sample_rate"]),
      network=denoiser,
      autoencoder=autoencoder,
      voice=voice,
      sample_rate=model_config["sample_rate"],
      scaling_factor=float(scaling),
      num_inference_steps=num_inference_steps,
      stop_at=stop_at,
      dtype=dtype,
    )

  def abstract_params(self, model_config: Mapping[str, Any]) -> Any:
    """Returns names and shapes of all networks' parameters, without making any."""
    self.check_settings(model_config)
    denoiser, autoencoder, voice = build_networks(model_config)
    width = denoiser.condition_width
    # Small, but divisible by everything: shapes of parameters do not depend on it.
    side = 2 ** (len(denoiser.channels) - 1)

    def make():
      key = jax.random.key(0)
      latent = jnp.zeros((side, side, denoiser.in_channels))
      condition = None if width is None else jnp.zeros(width)
      log_mel = jnp.zeros((autoencoder.factor, autoencoder.factor, 1))
      made = {
        "unet": denoiser.init(key, latent, 0, condition)["params"],
        "vae": autoencoder.init(key, log_mel)["params"],
        "vocoder": voice.init(key, jnp.zeros((1, voice.mels)))["params"],
      }
      return (
        made if width is None else made | {"conditioning": {"embedding": condition}}
      )

    return jax.eval_shape(make)

  def init_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws fresh parameters (`fresh.draw`), and sets the condition to zero."""
    return fresh.draw(self.abstract_params(model_config), key)

  def random_params(self, model_config: Mapping[str, Any], key: jax.Array) -> Any:
    """Draws parameters for a control; fresh ones have no layer of zeros."""
    return self.init_params(model_config, key)


FAMILY = MusicLDM()


def build_networks(
  model_config: Mapping[str, Any], tensors: int | None = None
) -> Networks:
  """Builds the three networks that a model configuration describes.

  Args:
    model_config: see `MusicLDM`.
    tensors: how many the weights hold, which bounds the blocks; None if not known.

  Raises:
    ValueError: on a setting that is not supported, or parts that do not fit together.
  """
  networks = (
    unet.from_config(model_config["unet"], tensors),
    vae.from_config(model_config["vae"], tensors),
    vocoder.from_config(model_config["vocoder"], tensors),
  )
  _check_fit(networks, model_config["mel"])
  return networks


def _check_fit(networks: Networks, front_end: Mapping[str, Any]) -> None:
  """Refuses networks and a front end of which two sizes differ that must agree."""
  denoiser, autoencoder, voice = networks
  pairs = {
    "the VAE's latent_channels and the UNet's in_channels": (
      autoencoder.latent_channels,
      denoiser.in_channels,
    ),
    "the UNet's out_channels and in_channels": (
      denoiser.out_channels,
      denoiser.in_channels,
    ),
    "the VAE's in_channels and a spectrogram's": (autoencoder.in_channels, 1),
    "the VAE's out_channels and a spectrogram's": (autoencoder.out_channels, 1),
    "the mel front end's mels and the vocoder's model_in_dim": (
      front_end["mels"],
      voice.mels,
    ),
    "the mel front end's hop and the product of the vocoder's upsample_rates": (
      front_end["hop"],
      voice.hop,
    ),
    "mels and their multiple of the VAE's shrinking": (
      voice.mels,
      voice.mels - voice.mels % autoencoder.factor,
    ),
  }
  pipeline_settings.check_agree(pairs)
