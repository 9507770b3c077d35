"""A diffusion model made of functions that somebody else wrote."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import reconstruction
from lsaprobe_jax.models.diffusion_model import StateKind


class DenoiserModel(struct.PyTreeNode):
  """A diffusion model made of three functions (`trained.from_denoiser`).

  Attributes:
    params: the weights, a pytree of arguments; None where the functions take none.
    schedule: the noise schedule.
    predict_fn: the denoiser, `(x, t) -> out` with t in 1..T, or with the continuous
      time of a path; `params` stand before both where there are any. It predicts what
      the schedule says.
    encode_fn: waveform [samples] -> clean state, likewise; None for the identity.
    decode_fn: clean state -> waveform, likewise; None for the identity.
    sample_rate: of the audio, in Hz.
    num_inference_steps: S, the DDIM steps of the reverse process.
    rematerialise: as of `waveform.WaveformDiffusion`.
    samples: length that a decoded waveform is cut to; None leaves it as it is.
    channels: of the audio; with more than one, functions take and return [channels,
      samples], and a waveform of one channel stands for all.
  """

  params: Any
  schedule: diffusion.Schedule
  predict_fn: Callable[..., jax.Array] = struct.field(pytree_node=False)
  encode_fn: Callable[..., jax.Array] | None = struct.field(pytree_node=False)
  decode_fn: Callable[..., jax.Array] | None = struct.field(pytree_node=False)
  sample_rate: int = struct.field(pytree_node=False)
  num_inference_steps: int = struct.field(pytree_node=False, default=1)
  rematerialise: bool | None = struct.field(pytree_node=False, default=None)
  samples: int | None = struct.field(pytree_node=False, default=None)
  channels: int = struct.field(pytree_node=False, default=1)

  @property
  def state_kind(self) -> StateKind:
    """The waveform, where nothing encodes it."""
    return "waveform" if self.encode_fn is None else "other"

  def for_length(self, samples: int) -> "DenoiserModel":
    """Returns the model for clips of so many samples, which it decodes to."""
    return self.replace(samples=samples)

  def encode(self, audio: jax.Array) -> jax.Array:
    """Returns the clean state x_0 of [samples], or of [channels, samples]."""
    if self.channels > 1:
      audio = jnp.atleast_2d(audio)
      audio = jnp.broadcast_to(audio, (self.channels, audio.shape[1]))
    return audio if self.encode_fn is None else self._call(self.encode_fn, audio)

  def predict_noise(self, x: jax.Array, t) -> jax.Array:
    """Returns `e(x, t)`; t = 0, which PIA asks about, is taken for t = 1."""
    t = jnp.maximum(jnp.asarray(t), 1)
    return diffusion.implied_noise(self.schedule, x, t, self.predict(x, t))

  def predict(self, x: jax.Array, t) -> jax.Array:
    """Returns what the denoiser predicts; t = 0 is taken for t = 1."""
    t = jnp.maximum(jnp.asarray(t), 1)
    time = t if self.schedule.time is None else self.schedule.time[t]
    return self._call(self.predict_fn, x, time)

  def decode(self, x_0: jax.Array) -> jax.Array:
    """Returns the waveform of a clean state, without what encoding padded."""
    audio = x_0 if self.decode_fn is None else self._call(self.decode_fn, x_0)
    one = 1 if self.channels == 1 else 2
    return audio[..., : self.samples] if audio.ndim == one else audio

  def reconstruct(self, x_t: jax.Array, t) -> jax.Array:
    """Returns `R_t(x_t)` as a waveform: the reverse process, then decode."""
    return reconstruction.reconstruct(self, x_t, t)

  def _call(self, function: Callable[..., jax.Array], *args: Any) -> jax.Array:
    return function(*args) if self.params is None else function(self.params, *args)
