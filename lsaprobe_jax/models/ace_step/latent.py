"""ACE-Step as the probe sees it: encode, denoise, decode."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import oobleck, oobleck_model
from lsaprobe_jax.models.ace_step import dit


class AceStepDiffusion(oobleck_model.OobleckModel, struct.PyTreeNode):
  """A diffusion model on Oobleck's latents. A pytree: weights are arguments.

  It is asked as for text to music: the source is silence, and all of it is to be made.

  Attributes:
    params: the transformer's parameters, which the diffusion was trained on.
    vae_params: the autoencoder's.
    condition: tokens that the transformer attends to, [n, D]: of lyrics, timbre and
      text, or the learned one that stands for none.
    silence: latents of silence as the pipeline stores them, [m, C]; a longer state has
      them over and over.
    schedule: the path, tabulated.
    network: the transformer.
    autoencoder: Oobleck.
    sample_rate: of the audio, in Hz.
    num_inference_steps: S, steps of the reverse process.
    rematerialise: as of `oobleck_model.OobleckModel`, as are the two below.
    dtype: of the transformer and the decoder.
    samples: length of the audio.
  """

  params: Any
  vae_params: Any
  condition: jax.Array
  silence: jax.Array
  schedule: diffusion.Schedule
  network: dit.AceStepDiT = struct.field(pytree_node=False)
  autoencoder: oobleck.Oobleck = struct.field(pytree_node=False)
  sample_rate: int = struct.field(pytree_node=False)
  num_inference_steps: int = struct.field(pytree_node=False, default=1)
  rematerialise: bool | None = struct.field(pytree_node=False, default=None)
  dtype: Any = struct.field(pytree_node=False, default=None)
  samples: int | None = struct.field(pytree_node=False, default=None)

  def predict(self, x: jax.Array, t) -> jax.Array:
    """What the transformer predicts, the velocity; t = 0 is taken for t = 1."""
    time = self.schedule.time[jnp.maximum(jnp.asarray(t), 1)]
    frames = np.arange(x.shape[0]) % self.silence.shape[0]
    source = jnp.asarray(self.silence)[frames]
    # Ones in the place of what is made anew.
    context = jnp.concatenate([source, jnp.ones_like(source)], axis=-1)
    states, condition, context = self._rounded((x, self.condition, context))
    variables = {"params": self._rounded(self.params)}
    # Times that differ must not become one: the time keeps its type.
    out = self._remade(self.network).apply(variables, states, time, condition, context)
    return out.astype(x.dtype)
