"""A latent diffusion model as the probe sees it: encode, denoise, decode."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import checks
from lsaprobe_jax.models.musicldm import mel, settings, unet, vae, vocoder

_SCHEDULER = "scheduler/scheduler_config.json"
_SCHEDULER_DEFAULTS = {
  "num_train_timesteps": 1000,
  "beta_start": 0.0001,
  "beta_end": 0.02,
  "beta_schedule": "linear",
  "trained_betas": None,
  "set_alpha_to_one": True,
  "prediction_type": "epsilon",
}
_SCHEDULER_UNREAD = frozenset(
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
_SCHEDULER_FIXED = {
  "beta_schedule": ("linear", "scaled_linear"),
  "prediction_type": ("epsilon", "v_prediction"),
  "clip_sample": (False,),
  "thresholding": (False,),
  "rescale_betas_zero_snr": (False,),
}

# diffusers' own default, and where float32 still has room around latents of any size.
_SCALING_FACTOR = 0.18215
_SCALES = (1e-6, 1e6)

STOPS = ("waveform", "mel")


class LatentDiffusion(struct.PyTreeNode):
  """A diffusion model on VAE latents of log-mel. A pytree: weights are arguments.

  Attributes:
    params: the UNet's parameters, which the diffusion was trained on.
    vae_params: the VAE's.
    vocoder_params: the vocoder's.
    condition: CLAP embedding [width] that all clips are denoised under; None for a UNet
      that takes none.
    schedule: the noise schedule. Where diffusers sets `set_alpha_to_one` to false, its
      t = 0 is as noisy as t = 1.
    front_end: waveform -> log-mel.
    network: the UNet.
    autoencoder: the VAE.
    voice: the vocoder.
    sample_rate: of the audio, Hz.
    scaling_factor: x_0 is this times the mode of the VAE's latent.
    predicts_v: the UNet predicts v (Salimans and Ho 2022), not the noise.
    num_inference_steps: S, DDIM steps of the reverse process.
    stop_at: `waveform`, or `mel` to end before the vocoder.
    samples: length of the audio; None where decoding may end with the last whole
      latent frame. See `for_length`.
  """

  params: Any
  vae_params: Any
  vocoder_params: Any
  condition: jax.Array | None
  schedule: diffusion.Schedule
  front_end: mel.MelFrontEnd
  network: nn.Module = struct.field(pytree_node=False)
  autoencoder: vae.VAE = struct.field(pytree_node=False)
  voice: vocoder.Vocoder = struct.field(pytree_node=False)
  sample_rate: int = struct.field(pytree_node=False)
  scaling_factor: float = struct.field(pytree_node=False)
  predicts_v: bool = struct.field(pytree_node=False, default=False)
  num_inference_steps: int = struct.field(pytree_node=False, default=1)
  stop_at: str = struct.field(pytree_node=False, default="waveform")
  samples: int | None = struct.field(pytree_node=False, default=None)

  def for_length(self, samples: int) -> "LatentDiffusion":
    """The generator for clips of so many samples, which it will decode to."""
    return self.replace(samples=samples)

  def encode(self, audio: jax.Array) -> jax.Array:
    """Waveform [samples] -> x_0, [time, mel, channels].

    The end is padded with silence to whole latent frames.
    """
    frames = -(-audio.shape[0] // self.front_end.hop)
    frames += -frames % self.autoencoder.factor
    log_mel = self.front_end(audio, frames)
    mode = self.autoencoder.apply(
      {"params": self.vae_params}, log_mel[:, :, None], method="encode"
    )
    return self.scaling_factor * mode

  def predict_noise(self, x: jax.Array, t) -> jax.Array:
    """`e(x, t)`; state t = 1..T is network index t - 1, and t = 0 means index 0.

    Of a UNet that predicts v = alpha e - sigma x_0, it is e = alpha v + sigma x.
    """
    t = jnp.maximum(jnp.asarray(t), 1)
    out = self.network.apply({"params": self.params}, x, t - 1, self.condition)
    if not self.predicts_v:
      return out
    return self.schedule.signal[t] * out + self.schedule.noise[t] * x

  def decode(self, x_0: jax.Array) -> jax.Array:
    """x_0 -> waveform [samples], or log-mel [frames, mels] where it stops there.

    What encoding padded is cut off, and so is the vocoder's tail.
    """
    # Each part rematerialised: the backward pass holds the inside of one at a time.
    log_mel = jax.checkpoint(self._log_mel)(self.vae_params, x_0)
    samples = self.samples or log_mel.shape[0] * self.front_end.hop
    if self.stop_at == "mel":
      return log_mel[: -(-samples // self.front_end.hop)]
    return jax.checkpoint(self._waveform)(self.vocoder_params, log_mel)[:samples]

  def reconstruct(self, x_t: jax.Array, t) -> jax.Array:
    """`R_t` to the waveform: deterministic reverse from t to 0, then decode."""
    x_0 = diffusion.reverse(
      self.predict_noise, self.schedule, x_t, t, self.num_inference_steps
    )
    # As in `models.registry`: nothing is fused with, and computed again in, a
    # distance behind it.
    return jax.lax.optimization_barrier(self.decode(x_0))

  def _log_mel(self, params, x_0):
    latent = x_0 / self.scaling_factor
    return self.autoencoder.apply({"params": params}, latent, method="decode")[..., 0]

  def _waveform(self, params, log_mel):
    return self.voice.apply({"params": params}, log_mel)


def build_schedule(config: Mapping[str, Any]) -> tuple[diffusion.Schedule, bool]:
  """The schedule of a `scheduler/scheduler_config.json`, and whether v is predicted.

  Raises:
    ValueError: on a setting that is not supported; names it.
  """
  read = _read_schedule(config)
  steps, ends = read["num_train_timesteps"], (read["beta_start"], read["beta_end"])
  if read["trained_betas"] is not None:
    schedule = diffusion.Schedule.from_betas(np.array(read["trained_betas"]))
  elif read["beta_schedule"] == "linear":
    schedule = diffusion.linear(steps, *ends)
  else:
    schedule = diffusion.scaled_linear(steps, *ends)
  checks.signal_left(_SCHEDULER, schedule.signal)
  if not read["set_alpha_to_one"]:
    signal, noise = schedule.signal, schedule.noise
    schedule = schedule.replace(
      signal=signal.at[0].set(signal[1]), noise=noise.at[0].set(noise[1])
    )
  return schedule, read["prediction_type"] == "v_prediction"


def _read_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
  """The settings of a schedule, each within its limits."""
  checks.table(_SCHEDULER, config, (), None)
  # diffusers' own default where the file is silent.
  clips = config.get("_class_name") in ("DDIMScheduler", "DDPMScheduler")
  read = settings.read(
    {"clip_sample": clips} | dict(config),
    _SCHEDULER,
    _SCHEDULER_DEFAULTS,
    _SCHEDULER_FIXED,
    _SCHEDULER_UNREAD,
  )
  name = f"{_SCHEDULER}: {{}}".format
  steps = read["num_train_timesteps"]
  checks.whole(name("num_train_timesteps"), steps, 1, checks.MOST_TIMES)
  for key in ("beta_start", "beta_end"):
    checks.real(name(key), read[key], 0, 1, inside=True)
  if read["trained_betas"] is not None:
    checks.betas(name("trained_betas"), read["trained_betas"])
  return read


def check_settings(model_config: Mapping[str, Any], tensors: int | None = None) -> None:
  """Refuses a model configuration of which a value is not what it must be.

  Args:
    model_config: as of `build_model`.
    tensors: how many the weights hold; None where that is not known.

  Raises:
    ValueError: names the setting.
  """
  required = ("unet", "vae", "vocoder", "scheduler", "mel", "sample_rate")
  checks.table("the model", model_config, required, None)
  rate = checks.whole("sample_rate", model_config["sample_rate"], *checks.RATES)
  mel.check_settings(model_config["mel"], rate)
  _read_schedule(model_config["scheduler"])
  build_networks(model_config, tensors)
  scaling = model_config["vae"].get("scaling_factor", _SCALING_FACTOR)
  checks.real("vae/config.json: scaling_factor", scaling, *_SCALES)


def build_networks(
  model_config: Mapping[str, Any], tensors: int | None = None
) -> tuple[unet.UNet, vae.VAE, vocoder.Vocoder]:
  """The three networks that a model configuration describes.

  Args:
    model_config: as of `build_model`.
    tensors: how many the weights hold, which bounds the blocks; None if not known.

  Raises:
    ValueError: on a setting that is not supported, or parts that do not fit together.
  """
  denoiser = unet.from_config(model_config["unet"], tensors)
  autoencoder = vae.from_config(model_config["vae"], tensors)
  voice = vocoder.from_config(model_config["vocoder"], tensors)
  fits = {
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
      model_config["mel"]["mels"],
      voice.mels,
    ),
    "the mel front end's hop and the product of the vocoder's upsample_rates": (
      model_config["mel"]["hop"],
      voice.hop,
    ),
    "mels and their multiple of the VAE's shrinking": (
      voice.mels,
      voice.mels - voice.mels % autoencoder.factor,
    ),
  }
  for what, (one, other) in fits.items():
    if one != other:
      raise ValueError(f"{what} must agree, but are {one} and {other}")
  return denoiser, autoencoder, voice


def build_model(
  model_config: Mapping[str, Any], params: Any, num_inference_steps: int, stop_at: str
) -> LatentDiffusion:
  """A generator from its configuration and weights.

  Args:
    model_config: keys `unet`, `vae`, `vocoder`, `scheduler` (the config.json files),
      `mel` (see `mel.from_config`), `sample_rate`.
    params: keys `unet`, `vae`, `vocoder`, and `conditioning` for a UNet that takes an
      embedding.
    num_inference_steps: S, DDIM steps of the reverse process.
    stop_at: `waveform`, or `mel` to end before the vocoder.

  Raises:
    ValueError: on a setting that is not supported.
  """
  if stop_at not in STOPS:
    raise ValueError(f"unknown stop_at {stop_at!r}; known: {', '.join(STOPS)}")
  check_settings(model_config)
  denoiser, autoencoder, voice = build_networks(model_config)
  schedule, predicts_v = build_schedule(model_config["scheduler"])
  conditional = denoiser.condition_width is not None
  return LatentDiffusion(
    params=params["unet"],
    vae_params=params["vae"],
    vocoder_params=params["vocoder"],
    condition=params["conditioning"]["embedding"] if conditional else None,
    schedule=schedule,
    front_end=mel.from_config(model_config["mel"], model_config["sample_rate"]),
    network=denoiser,
    autoencoder=autoencoder,
    voice=voice,
    sample_rate=model_config["sample_rate"],
    scaling_factor=float(model_config["vae"].get("scaling_factor", _SCALING_FACTOR)),
    predicts_v=predicts_v,
    num_inference_steps=num_inference_steps,
    stop_at=stop_at,
  )


def abstract_params(model_config: Mapping[str, Any]) -> Any:
  """Names and shapes of all networks' parameters, without making any."""
  check_settings(model_config)
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
    return made if width is None else made | {"conditioning": {"embedding": condition}}

  return jax.eval_shape(make)


def init_params(model_config: Mapping[str, Any], key: jax.Array) -> Any:
  """Fresh random parameters of all networks, and the zero condition.

  Kernels are normal with variance one over their inputs, biases zero. Drawn by NumPy:
  compiling Flax's own initialisers takes minutes.
  """
  random = np.random.default_rng(np.asarray(jax.random.key_data(key)))

  def draw(path, leaf):
    kind = path[-1].key
    if kind == "kernel":
      size = random.standard_normal(leaf.shape, np.float32)
      return size / np.float32(np.sqrt(np.prod(leaf.shape[:-1])))
    return np.full(leaf.shape, float(kind == "scale"), np.float32)

  return jax.tree.map_with_path(draw, abstract_params(model_config))
