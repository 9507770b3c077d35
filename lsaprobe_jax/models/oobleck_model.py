"""What models on Oobleck's latents share: its settings, encoding and decoding."""

import math
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import checks, oobleck, reconstruction, torch_params
from lsaprobe_jax.models import pipeline_settings as settings
from lsaprobe_jax.models.diffusion_model import StateKind
from lsaprobe_jax.models.files import lora

_NAME = "vae/config.json"
_DEFAULTS = {
  "encoder_hidden_size": 128,
  "downsampling_ratios": (2, 4, 4, 8, 8),
  "channel_multiples": (1, 2, 4, 8, 16),
  "decoder_channels": 128,
  "decoder_input_channels": 64,
  "audio_channels": 2,
  "sampling_rate": 44100,
}
_MOST_HOP = 65_536
_MOST_CHANNELS = 2
# The part that predicts, as pipelines call it.
_TRANSFORMER = "transformer"


def read(config: Mapping[str, Any], tensors: int | None = None) -> dict[str, Any]:
  """Returns the settings of an autoencoder, all of them checked.

  Args:
    config: `vae/config.json` of a pipeline.
    tensors: how many the weights hold, which bounds the layers; None if not known.

  Raises:
    ValueError: on a setting that makes no autoencoder.
  """
  vae = settings.read(config, _NAME, _DEFAULTS, {})
  strides, multiples = vae["downsampling_ratios"], vae["channel_multiples"]
  checks.whole(f"{_NAME}: sampling_rate", vae["sampling_rate"], *checks.RATES)
  checks.whole(f"{_NAME}: audio_channels", vae["audio_channels"], 1, _MOST_CHANNELS)
  # With an odd one the decoder ends before the clip does.
  odd = any(stride % 2 for stride in strides)
  settings.require(not odd, _NAME, "downsampling_ratios", strides, "even numbers")
  settings.require(
    math.prod(strides) <= _MOST_HOP, _NAME, "downsampling_ratios", strides,
    f"a product of at most {_MOST_HOP:,}",
  )  # fmt: skip
  settings.check_blocks(f"{_NAME}: downsampling_ratios", 3 * len(strides), tensors)
  settings.check_agree(
    {
      "the numbers of downsampling_ratios and of channel_multiples": (
        len(strides),
        len(multiples),
      ),
      "twice the VAE's decoder_input_channels and its encoder_hidden_size": (
        2 * vae["decoder_input_channels"],
        vae["encoder_hidden_size"],
      ),
    }
  )
  return vae


def build(vae: Mapping[str, Any]) -> oobleck.Oobleck:
  """Builds the autoencoder of settings that `read` returned."""
  return oobleck.Oobleck(
    encoder_channels=vae["encoder_hidden_size"],
    decoder_channels=vae["decoder_channels"],
    audio_channels=vae["audio_channels"],
    strides=vae["downsampling_ratios"],
    multiples=vae["channel_multiples"],
  )


def port(
  state: dict[str, np.ndarray],
  folder: pathlib.Path,
  blocks: str,
  adapter: lora.Adapter | None = None,
) -> Any:
  """Returns the parameters of a part of a pipeline.

  Args:
    state: its state dict in PyTorch's names.
    folder: of the part; that of the transformer is called so.
    blocks: name of the transformer's blocks, which are stacked.
    adapter: a LoRA that is merged into the transformer; None for none.

  Raises:
    ValueError: tensors have no place; names the folder.
    ArgumentError: the LoRA is of another network.
  """
  predicts = folder.name == _TRANSFORMER
  if adapter is not None and predicts:
    state = lora.merge(state, adapter, _TRANSFORMER)
  try:
    params = torch_params.module_params(state)
    return torch_params.stack(params, blocks) if predicts else params
  except ValueError as error:
    raise ValueError(f"{folder}: {error}") from error


class OobleckModel:
  """The methods that models on Oobleck's latents share.

  A model is a `flax.struct.PyTreeNode` too, and has these fields besides its own.

  Attributes:
    vae_params: the autoencoder's parameters.
    schedule: the path, tabulated.
    autoencoder: Oobleck.
    rematerialise: whether a backward pass computes again what is inside the blocks of
      both networks and of S > 1 steps; None as of `waveform.WaveformDiffusion`.
    dtype: of the transformer and the decoder; None for that of states and parameters.
    samples: length of the audio; None where decoding may end with the last whole
      latent frame. See `for_length`.
  """

  state_kind: ClassVar[StateKind] = "frames"

  @property
  def channels(self) -> int:
    """Channels of the audio."""
    return self.autoencoder.audio_channels

  def for_length(self, samples: int) -> Self:
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

  def predict_noise(self, x: jax.Array, t) -> jax.Array:
    """`e(x, t)`, which the network's prediction implies."""
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
