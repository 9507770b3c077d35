"""What the probe and the attacks ask of a diffusion model."""

from typing import Any, Literal, Protocol, Self, runtime_checkable

import jax

from lsaprobe_jax import diffusion

# What a state is: the waveform itself up to a factor, frames of it along the first
# axis, or something else.
StateKind = Literal["waveform", "frames", "other"]


@runtime_checkable
class DiffusionModel(Protocol):
  """A diffusion model of one clip, without a batch axis.

  A model is a frozen pytree (`flax.struct.PyTreeNode`) whose leaves are arrays: weights
  are arguments of compiled programs, and one program serves all models of one
  architecture. The names follow the paper: x_0 is the clean state, x_t the state at
  time t, and R_t the reverse process. `WaveformDiffusion`, `LatentDiffusion` and
  `DenoiserModel` are such models.

  Attributes:
    params: the denoiser's parameters, by which the gradient norm differentiates.
    schedule: the noise schedule at t = 0..T.
    sample_rate: of the audio, in Hz.
    num_inference_steps: S, the DDIM steps of the reverse process.

  A model whose schedule says that its network predicts something else than the noise
  has `predict(x, t)` too, which returns that (`diffusion.predicted`). It is what the
  reverse process and SecMI step by.

  A model of several channels has `channels`, takes clips [samples] or [channels,
  samples] and decodes to [channels, samples]; distances are then means over channels
  (`distances.channels`).

  A model may have `state_kind` (`StateKind`), which says how `twins` move a state; one
  that has none is of the kind `other`. It may have the field `rematerialise`, which
  `memory.suited` sets by what fits the device.
  """

  params: Any
  schedule: diffusion.Schedule
  sample_rate: int
  num_inference_steps: int

  def encode(self, audio: jax.Array) -> jax.Array:
    """Returns the clean state x_0 of a waveform [samples] in [-1, 1]."""
    ...

  def predict_noise(self, x: jax.Array, t) -> jax.Array:
    """Returns the predicted noise `e(x, t)` of a state at time t in 0..T."""
    ...

  def decode(self, x_0: jax.Array) -> jax.Array:
    """Returns the waveform [samples] of a clean state."""
    ...

  def reconstruct(self, x_t: jax.Array, t) -> jax.Array:
    """Returns `R_t(x_t)` as a waveform: the reverse process, then decode."""
    ...

  def for_length(self, samples: int) -> Self:
    """Returns the model for clips of so many samples, which it decodes to."""
    ...

  def replace(self, **changes: Any) -> Self:
    """Returns the model with other values of some fields."""
    ...
