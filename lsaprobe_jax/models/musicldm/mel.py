"""The log-mel spectrogram that MusicLDM's and AudioLDM's VAEs take."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import optional
from lsaprobe_jax.models import checks

# AudioLDM's are 1024 and 64.
_MOST_FFT = 65_536
_MOST_MELS = 1024


class MelFrontEnd(struct.PyTreeNode):
  """Waveform -> log-mel, differentiable.

  AudioLDM's training code (github.com/haoheliu/AudioLDM, `audioldm/audio/stft.py`,
  `audio_processing.py` and `tools.py`, read, not run): mean off, peak to 0.5; periodic
  Hann window, reflected ends, magnitude of the transform; librosa's mel filters (Slaney
  scale and normalisation), on magnitudes; natural logarithm, floored at 1e-5.
  MusicLDM's published configuration has the same numbers (16 kHz, 1024, 160, 64 mels
  from 0 to 8 kHz). The tests hold it to `torch.stft` and librosa's filters.

  Attributes:
    filters: mel filters, float32 [bins, mels].
    hop: samples a frame.
    fft_size: of the transform and its window.
    floor: least mel magnitude.
    peak: the waveform is brought to this absolute peak, without its mean; None leaves
      it as it is.
  """

  filters: jax.Array
  hop: int = struct.field(pytree_node=False)
  fft_size: int = struct.field(pytree_node=False)
  floor: float = struct.field(pytree_node=False)
  peak: float | None = struct.field(pytree_node=False)

  def __call__(self, audio: jax.Array, frames: int) -> jax.Array:
    """Log-mel of a waveform, whose end is padded with silence or cut.

    Args:
      audio: float32 [samples], in [-1, 1].
      frames: how many to return; frame i is centred on sample `i * hop`.

    Returns:
      float32 [frames, mels], in nepers.
    """
    length = frames * self.hop
    audio = self.level(audio)[:length]
    audio = jnp.pad(audio, (0, length - audio.shape[0]))
    reach = self.fft_size // 2
    if length <= reach:
      raise ValueError(
        f"{length} samples are too few for a transform of {self.fft_size}: it needs"
        f" more than {reach}"
      )
    padded = jnp.pad(audio, (reach, reach), mode="reflect")
    starts = self.hop * np.arange(frames)[:, None]
    cut = padded[starts + np.arange(self.fft_size)]
    angle = 2 * np.pi * np.arange(self.fft_size) / self.fft_size
    window = np.asarray(0.5 - 0.5 * np.cos(angle), cut.dtype)
    spectrum = jnp.fft.rfft(cut * window)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    # Far below the mel floor; keeps the root's gradient finite at silence.
    magnitude = jnp.sqrt(jnp.maximum(power, 1e-20))
    return jnp.log(jnp.maximum(magnitude @ self.filters, self.floor))

  def level(self, audio: jax.Array) -> jax.Array:
    """Takes off the mean and brings the peak to the front end's, where it has one."""
    if self.peak is None:
      return audio
    audio = audio - jnp.mean(audio)
    return self.peak * audio / (jnp.max(jnp.abs(audio)) + 1e-8)


def check_settings(config: Any, sample_rate: int) -> None:
  """Refuses settings that make no front end.

  Args:
    config: as of `from_config`.
    sample_rate: in Hz.

  Raises:
    ValueError: names the setting.
  """
  required = ("mels", "hop", "fft_size", "low", "high", "floor", "peak")
  checks.table("mel", config, required)
  checks.whole("mel.mels", config["mels"], 1, _MOST_MELS)
  checks.whole("mel.fft_size", config["fft_size"], 2, _MOST_FFT)
  checks.whole("mel.hop", config["hop"], 1, _MOST_FFT)
  checks.real("mel.high", config["high"], 0, sample_rate / 2)
  checks.real("mel.low", config["low"], 0, config["high"])
  checks.real("mel.floor", config["floor"], 0, 1, inside=True)
  if config["peak"] is not None:
    checks.real("mel.peak", config["peak"], 0, checks.LARGEST, inside=True)


def from_config(config: Mapping[str, Any], sample_rate: int) -> MelFrontEnd:
  """Builds the front end that a model folder describes.

  Args:
    config: `mels`, `hop`, `fft_size`, `low` and `high` (Hz), `floor`, `peak`.
    sample_rate: in Hz.
  """
  # It is slow to import, and only this model needs it.
  librosa = optional.require("librosa", "audio")
  filters = librosa.filters.mel(
    sr=sample_rate,
    n_fft=config["fft_size"],
    n_mels=config["mels"],
    fmin=config["low"],
    fmax=config["high"],
  )
  return MelFrontEnd(
    filters=jnp.asarray(filters.T, jnp.float32),
    hop=config["hop"],
    fft_size=config["fft_size"],
    floor=config["floor"],
    peak=config["peak"],
  )
