"""A model seen in a mirror, by which noise moves with a twin."""

from typing import Any

import jax
from flax import struct

from lsaprobe_jax import diffusion
from lsaprobe_jax.models.diffusion_model import DiffusionModel, StateKind
from lsaprobe_jax.twins.changes import Mirror


class Mirrored(struct.PyTreeNode):
  """A model seen in a mirror: `T' o model o T`, a `DiffusionModel` like any other.

  Attributes:
    params: the weights, by which the gradient norm differentiates.
    model: the model.
    twin: the mirror.
  """

  params: Any
  model: DiffusionModel
  twin: Mirror

  @property
  def schedule(self):
    """The noise schedule of the model."""
    return self.model.schedule

  @property
  def sample_rate(self) -> int:
    """The rate of the audio, in Hz."""
    return self.model.sample_rate

  @property
  def num_inference_steps(self) -> int:
    """S, the DDIM steps of the reverse process."""
    return self.model.num_inference_steps

  @property
  def rematerialise(self) -> bool | None:
    """Whether the model's steps are rematerialised, as far as it says so."""
    return getattr(self.model, "rematerialise", None)

  @property
  def state_kind(self) -> StateKind:
    """What a state of the model is."""
    return getattr(self.model, "state_kind", "other")

  @property
  def channels(self) -> int:
    """Channels of what the model decodes to; 1 where it does not say."""
    return getattr(self.model, "channels", 1)

  def for_length(self, samples: int) -> "Mirrored":
    """Returns the model for clips of so many samples."""
    return self.replace(model=self.model.for_length(samples))

  def encode(self, audio: jax.Array) -> jax.Array:
    """Returns T' x_0 of the twin's clean state x_0."""
    return self._back(self.model.encode(self.twin(audio)))

  def predict_noise(self, x: jax.Array, t) -> jax.Array:
    """Returns `T' e(T x, t)`."""
    model = self.model.replace(params=self.params)
    return self._back(model.predict_noise(self._there(x), t))

  def predict(self, x: jax.Array, t) -> jax.Array:
    """Returns what `predict_noise` does of what the network predicts."""
    model = self.model.replace(params=self.params)
    return self._back(diffusion.predicted(model, self._there(x), t))

  def decode(self, x_0: jax.Array) -> jax.Array:
    """Returns T' of the twin's waveform."""
    return self._heard(self.model.decode(self._there(x_0)))

  def reconstruct(self, x_t: jax.Array, t) -> jax.Array:
    """Returns `T' R_t(T x_t)`."""
    model = self.model.replace(params=self.params)
    return self._heard(model.reconstruct(self._there(x_t), t))

  def _there(self, state: jax.Array) -> jax.Array:
    return self.twin.on_state(state, self.state_kind)

  def _back(self, state: jax.Array) -> jax.Array:
    return self.twin.undo_on_state(state, self.state_kind)

  def _heard(self, decoded: jax.Array) -> jax.Array:
    # A latent model that stops at the mel spectrogram decodes to frames.
    if getattr(self.model, "stop_at", "waveform") == "mel":
      return self.twin.undo_on_state(decoded, "frames")
    return self.twin.undo(decoded)


def mirrored(model: DiffusionModel, twin: Mirror) -> Mirrored:
  """Returns a model as a twin sees it."""
  return Mirrored(params=model.params, model=model, twin=twin)
