"""A latent diffusion model as the probe sees it: encode, denoise, decode."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import reconstruction
from lsaprobe_jax.models.diffusion_model import StateKind
from lsaprobe_jax.models.musicldm import mel, vae, vocoder


class LatentDiffusion(struct.PyTreeNode):
  """A diffusion model on VAE latents of log-mel. A pytree: weights are arguments.

  Attributes:
    params: the UNet's parameters, which the diffusion was trained on.
    vae_params: the VAE's parameters.
    vocoder_params: the vocoder's parameters.
    condition: CLAP embedding [width] that all clips are denoised under; None for a UNet
      that takes none.
    schedule: the noise schedule. Where diffusers sets `set_alpha_to_one` to false, its
      t = 0 is as noisy as t = 1.
    front_end: waveform -> log-mel.
    network: the UNet.
    autoencoder: the VAE.
    voice: the vocoder.
    sample_rate: of the audio, in Hz.
    scaling_factor: x_0 is this times the mode of the VAE's latent.
    num_inference_steps: S, DDIM steps of the reverse process.
    rematerialise: whether a backward pass computes again what is inside the VAE
      decoder, the vocoder and S > 1 steps; None as of `waveform.WaveformDiffusion`.
    stop_at: `waveform`, or `mel` to end before the vocoder.
    dtype: of the UNet, the VAE decoder and the vocoder; None for that of states and
      parameters. States, and what encodes a clip, keep their own.
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
  num_inference_steps: int = struct.field(pytree_node=False, default=1)
  rematerialise: bool | None = struct.field(pytree_node=False, default=None)
  stop_at: str = struct.field(pytree_node=False, default="waveform")
  dtype: Any = struct.field(pytree_node=False, default=None)
  samples: int | None = struct.field(pytree_node=False, default=None)

  state_kind: ClassVar[StateKind] = "frames"

  def for_length(self, samples: int) -> "LatentDiffusion":
    """Returns the model for clips of so many samples, which it decodes to."""
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
    """`e(x, t)`, which the UNet predicts or implies."""
    out = self.predict(x, t)
    return diffusion.implied_noise(self.schedule, x, jnp.maximum(t, 1), out)

  def predict(self, x: jax.Array, t) -> jax.Array:
    """What the UNet says; state t = 1..T is its index t - 1, and t = 0 its index 0."""
    t = jnp.maximum(jnp.asarray(t), 1)
    condition = self._rounded(self.condition)
    variables = {"params": self._rounded(self.params)}
    out = self.network.apply(variables, self._rounded(x), t - 1, condition)
    return out.astype(x.dtype)

  def decode(self, x_0: jax.Array) -> jax.Array:
    """x_0 -> waveform [samples], or log-mel [frames, mels] where it stops there.

    What encoding padded is cut off, and so is the vocoder's tail.
    """
    # Rematerialised, the backward pass holds the inside of one part at a time.
    part = (lambda fn: fn) if self.rematerialise is False else jax.checkpoint
    log_mel = part(self._log_mel)(self.vae_params, x_0)
    samples = self.samples or log_mel.shape[0] * self.front_end.hop
    if self.stop_at == "mel":
      return log_mel[: -(-samples // self.front_end.hop)]
    return part(self._waveform)(self.vocoder_params, log_mel)[:samples]

  # Jitted so that it is traced once, though a search has it three times: the clean
  # side, the gradient, the last point. Tracing is most of what a second start takes.
  @jax.jit
  def reconstruct(self, x_t: jax.Array, t) -> jax.Array:
    """`R_t` to the waveform: deterministic reverse from t to 0, then decode."""
    return reconstruction.reconstruct(self, x_t, t)

  def _log_mel(self, params, x_0):
    latent = self._rounded(x_0 / self.scaling_factor)
    variables = {"params": self._rounded(params)}
    log_mel = self.autoencoder.apply(variables, latent, method="decode")
    return log_mel[..., 0].astype(x_0.dtype)

  def _waveform(self, params, log_mel):
    variables = {"params": self._rounded(params)}
    audio = self.voice.apply(variables, self._rounded(log_mel))
    return audio.astype(log_mel.dtype)

  def _rounded(self, tree):
    """Returns arrays in the networks' `dtype`, where there is one."""
    if self.dtype is None:
      return tree
    return jax.tree.map(lambda leaf: leaf.astype(self.dtype), tree)
