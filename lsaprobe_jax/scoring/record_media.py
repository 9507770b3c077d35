"""Sounds and images as records keep them: 16-bit samples, 8-bit log-mel images."""

import io
import pathlib

import jax
import numpy as np

from lsaprobe_jax.distances.spectral import LogMel
from lsaprobe_jax.files import write_whole

# Log-mel images: bands, frames, and decibels below the loudest bin of a clip's panels.
_MELS, _FRAMES, RANGE_DB = 64, 96, 80.0


def log_mel_images(audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float]:
  """Log-mel spectrograms of signals on one scale of decibels.

  Args:
    audio: float32 [n, samples], or [n, channels, samples], of which the mean of the
      channels is drawn.
    sample_rate: in Hz.

  Returns:
    (uint8 [n, mels, frames], lowest band first, 255 at the loudest bin of all and 0 at
    `RANGE_DB` dB below or less; that loudest bin in dB).
  """
  audio = audio if audio.ndim == 2 else audio.mean(axis=1)
  hop = max(1, audio.shape[-1] // _FRAMES)
  fft_size = 1 << int(np.ceil(np.log2(max(0.05 * sample_rate, 2 * hop))))
  mel = LogMel.create(sample_rate=sample_rate, fft_size=fft_size, hop=hop, mels=_MELS)
  nepers = np.stack([np.asarray(_embed(mel, signal)) for signal in audio])
  decibels = 20 / np.log(10) * np.swapaxes(nepers, 1, 2)
  top = float(decibels.max())
  scaled = np.clip(1 + (decibels - top) / RANGE_DB, 0, 1)
  return np.round(255 * scaled).astype(np.uint8), top


_embed = jax.jit(lambda mel, signal: mel.embed(signal))


def to_int16(audio: np.ndarray) -> np.ndarray:
  """Samples in [-1, 1] as 16-bit integers, clipped."""
  return np.round(32767 * np.clip(audio, -1, 1)).astype(np.int16)


def save_arrays(path: pathlib.Path, **arrays: np.ndarray) -> None:
  """Writes an .npz at once: a kill leaves all of it or none."""
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  write_whole(path, buffer.getvalue())
