"""Stable Audio as the probe sees it: encode, denoise, decode."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import oobleck, oobleck_model
from lsaprobe_jax.models.stable_audio import dit, durations


class StableAudioDiffusion(oobleck_model.OobleckModel, struct.PyTreeNode):
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
    rematerialise: as of `oobleck_model.OobleckModel`, as are the two below.
    dtype: of the transformer and the decoder.
    samples: length of the audio.
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
