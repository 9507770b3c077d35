"""Stable Audio as the probe sees it: encode, denoise, decode."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import oobleck, reconstruction
from lsaprobe_jax.models.diffusion_model import StateKind
from lsaprobe_jax.models.stable_audio import dit, durations


class StableAudioDiffusion(struct.PyTreeNode):
  """A diffusion model on Oobleck's latents. A pytree: weights are arguments.

  Without a text it is under the pipeline's own null condition, which is zeros for all
  tokens, while start and end are still told beside them.

  Attributes:
    params: the transformer's parameters, which the diffusion was trained on.
    vae_params: the autoencoder's.
    durations_params: of what embeds start and end.
    text: the projected tokens of a prompt, [n, D]; None for none.
    start_seconds: where the clip starts in its track, a scalar.
    end_seconds: where the track ends, a scalar; None where it is the clip's own end.
    schedule: the path, tabulated.
    network: the transformer.
    autoencoder: Oobleck.
    embedder: what embeds start and end.
    sample_rate: of the audio, in Hz.
    num_inference_steps: S, steps of the reverse process.
    rematerialise: whether a backward pass computes again what is inside the blocks of
      both networks and of S > 1 steps; None as of `waveform.WaveformDiffusion`.
    dtype: of the transformer and the decoder; None for that of states and parameters.
    samples: length of the audio; None where decoding may end with the last whole
      latent frame. See `for_length`.
  """

  params: Any
  vae_params: Any
  durations_params: Any
  text: jax.Array | None
  start_seconds: Any
  end_seconds: Any
  schedule: diffusion.Schedule
  network: dit.StableAudioDiT = struct.field(pytree_node=False)
  autoencoder: oobleck.Oobleck = struct.field(pytree_node=False)
  embedder: durations.Durations = struct.field(pytree_node=False)
  sample_rate: int = struct.field(pytree_node=False)
  num_inference_steps: int = struct.field(pytree_node=False, default=1)
  rematerialise: bool | None = struct.field(pytree_node=False, default=None)
  dtype: Any = struct.field(pytree_node=False, default=None)
  samples: int | None = struct.field(pytree_node=False, default=None)

  state_kind: ClassVar[StateKind] = "frames"

  @property
  def channels(self) -> int:
    """Channels of the audio."""
    return self.autoencoder.audio_channels

  def for_length(self, samples: int) -> "StableAudioDiffusion":
    """Returns the model for clips of so many samples."""
    return self.replace(samples=samples)

  def encode(self, audio: jax.Array) -> jax.Array:
    """Waveform [samples] or [channels, samples] -> x_0, [frames, C].

    A waveform of one channel is that of all. The end is padded with silence to whole
    latent frames.
    """
    audio = jnp.atleast_2d(audio)
    audio = jnp.broadcast_to(audio, (self.channels, audio.shape[1])).T
    network = self._remade(self.autoencoder)
    audio = jnp.pad(audio, ((0, -audio.shape[0] % network.hop), (0, 0)))
    return network.apply({"params": self.vae_params}, audio, method="encode")

  def predict(self, x: jax.Array, t) -> jax.Array:
    """What the transformer predicts, v; t = 0 is taken for t = 1."""
    time = self.schedule.time[jnp.maximum(jnp.asarray(t), 1)]
    embedded = self._durations(x.shape[0])
    # Tokens of zeros have keys and values of zeros: one is as good as many.
    tokens = jnp.zeros_like(embedded[:1])
    if self.text is not None:
      tokens = jnp.concatenate([self.text, embedded])
    states, tokens, overall = self._rounded((x, tokens, embedded.reshape(-1)))
    # Times that differ must not become one: they keep their type, as frequencies do.
    params = self._rounded(self.params) | {"time_proj": self.params["time_proj"]}
    network = self._remade(self.network)
    out = network.apply({"params": params}, states, time, tokens, overall)
    return out.astype(x.dtype)

  def _durations(self, frames: int) -> jax.Array:
    """Start and end as they are told, [2, features]."""
    end = self.end_seconds
    if end is None:
      samples = self.samples or frames * self.autoencoder.hop
      end = self.start_seconds + jnp.float32(samples / self.sample_rate)
    variables = {"params": self.durations_params}
    return self.embedder.apply(variables, self.start_seconds, end)

  def predict_noise(self, x: jax.Array, t) -> jax.Array:
    """`e(x, t)`, which the transformer's v implies."""
    t = jnp.maximum(jnp.asarray(t), 1)
    return diffusion.implied_noise(self.schedule, x, t, self.predict(x, t))

  def decode(self, x_0: jax.Array) -> jax.Array:
    """x_0 -> waveform [samples], or [channels, samples] of more than one.

    What encoding padded is cut off.
    """
    variables = {"params": self._rounded(self.vae_params)}
    network = self._remade(self.autoencoder)
    audio = network.apply(variables, self._rounded(x_0), method="decode")
    audio = audio.astype(x_0.dtype)[: self.samples].T
    return audio[0] if self.channels == 1 else audio

  # Jitted so that it is traced once, as `musicldm.latent` says.
  @jax.jit
  def reconstruct(self, x_t: jax.Array, t) -> jax.Array:
    """`R_t` to the waveform: deterministic reverse from t to 0, then decode."""
    return reconstruction.reconstruct(self, x_t, t)

  def _remade(self, network):
    """Returns a network that rematerialises as this model does."""
    return network.clone(rematerialise=self.rematerialise is not False)

  def _rounded(self, tree):
    """Returns arrays in the networks' `dtype`, where there is one."""
    if self.dtype is None:
      return tree
    return jax.tree.map(lambda leaf: jnp.asarray(leaf).astype(self.dtype), tree)
