"""Distances between short-time spectra: multi-resolution STFT and log-mel."""

from collections.abc import Sequence
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import optional
from lsaprobe_jax.distances import _frames
from lsaprobe_jax.errors import ArgumentError


def power_spectrogram(
  audio: jax.Array, *, fft_size: int, hop: int, width: int
) -> jax.Array:
  """Returns squared magnitudes of the centred short-time Fourier transform.

  They are those of `torch.stft` and `librosa.stft` with a periodic Hann window,
  `center=True` and reflected ends. A window shorter than the transform is not moved to
  its middle as it is there: that changes phases only, and spares transforming the zeros
  around it.

  Args:
    audio: `[samples]`.
    fft_size: length of the transform.
    hop: samples from one frame to the next.
    width: length of the window, at most `fft_size`.

  Returns:
    `[1 + samples // hop, 1 + fft_size // 2]`.

  Raises:
    ArgumentError: the audio is not longer than half a transform: there is then nothing
      to reflect, and the originals refuse it too.
  """
  samples = audio.shape[-1]
  if samples <= fft_size // 2:
    raise ArgumentError(
      f"audio: {samples} samples are too few for an STFT of {fft_size}: it needs more"
      f" than {fft_size // 2}"
    )
  left = fft_size // 2 - (fft_size - width) // 2
  count = 1 + samples // hop
  padded = jnp.pad(audio, (left, left), mode="reflect")
  frames = _frames.frame(padded, width, hop, count)
  window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width)
  spectrum = jnp.fft.rfft(frames * window.astype(frames.dtype), fft_size)
  return jnp.square(spectrum.real) + jnp.square(spectrum.imag)


class MRSTFT(struct.PyTreeNode):
  """Spectral convergence plus log-magnitude L1, averaged over several resolutions.

  For magnitudes X of the reference and Y of the estimate, at each resolution

      ||Y - X||_F / ||X||_F  +  mean |log Y - log X|

  Yamamoto et al. 2019 (Parallel WaveGAN, equations 4 to 6); the defaults and the floor
  are those of `auraloss.freq.MultiResolutionSTFTLoss`, called as `(estimate,
  reference)` on one item. Over a batch auraloss pools the convergence of all items in
  one ratio; this never does.

  Attributes:
    fft_sizes: lengths of the transforms; the audio must exceed half the longest.
    hops: samples between frames, by resolution.
    widths: lengths of the Hann windows, by resolution.
    floor: least power, magnitude squared, that a bin is taken to have.
  """

  name: ClassVar[str] = "mr_stft"

  fft_sizes: tuple[int, ...] = struct.field(pytree_node=False)
  hops: tuple[int, ...] = struct.field(pytree_node=False)
  widths: tuple[int, ...] = struct.field(pytree_node=False)
  floor: float = struct.field(pytree_node=False)

  @classmethod
  def create(
    cls,
    *,
    sample_rate: int,
    fft_sizes: Sequence[int] = (1024, 2048, 512),
    hops: Sequence[int] = (120, 240, 50),
    widths: Sequence[int] = (600, 1200, 240),
    floor: float = 1e-8,
  ) -> Self:
    """Builds the distance.

    Args:
      sample_rate: rate of the audio in Hz. It changes nothing: resolutions are in
        samples.
      fft_sizes: lengths of the transforms.
      hops: samples between frames, by resolution.
      widths: lengths of the windows, by resolution.
      floor: least power of a bin.

    Raises:
      ArgumentError: a resolution is not given in full, or its window exceeds its
        transform.
    """
    del sample_rate
    if not len(fft_sizes) == len(hops) == len(widths) > 0:
      raise ArgumentError(
        f"fft_sizes={fft_sizes}: fft_sizes, hops and widths must be given for each"
        " resolution"
      )
    if any(w > n for w, n in zip(widths, fft_sizes, strict=True)):
      raise ArgumentError(f"widths={widths}: windows exceed transforms {fft_sizes}")
    return cls(tuple(fft_sizes), tuple(hops), tuple(widths), floor)

  def embed(self, audio: jax.Array) -> tuple[tuple[jax.Array, jax.Array], ...]:
    """Returns magnitudes and their logarithms, each [frames, bins], by resolution."""
    return tuple(
      _magnitudes(
        power_spectrogram(audio, fft_size=n, hop=hop, width=width), self.floor
      )
      for n, hop, width in zip(self.fft_sizes, self.hops, self.widths, strict=True)
    )

  def compare(self, reference, estimate) -> jax.Array:
    """Returns the mean over resolutions, a scalar."""
    terms = []
    for (x, log_x), (y, log_y) in zip(reference, estimate, strict=True):
      # The floor keeps the denominator positive, even for silence.
      convergence = _norm(y - x) / jnp.sqrt(jnp.sum(jnp.square(x)))
      terms.append(convergence + jnp.mean(jnp.abs(log_y - log_x)))
    return sum(terms) / len(terms)

  def __call__(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Returns the distance between two signals [samples], a scalar."""
    return self.compare(self.embed(reference), self.embed(estimate))


class LogMel(struct.PyTreeNode):
  """Mean squared difference of log-mel spectrograms.

  The logarithm is natural and taken of mel *magnitudes*, floored: HiFi-GAN's and
  MusicLDM's convention. The filters are librosa's, Slaney scale and normalisation.

  Attributes:
    filters: mel filters, `[bins, mels]`.
    fft_size: length of the transform and its Hann window.
    hop: samples between frames.
    floor: least mel magnitude.
  """

  name: ClassVar[str] = "log_mel"

  filters: jax.Array
  fft_size: int = struct.field(pytree_node=False)
  hop: int = struct.field(pytree_node=False)
  floor: float = struct.field(pytree_node=False)

  @classmethod
  def create(
    cls,
    *,
    sample_rate: int,
    fft_size: int = 1024,
    hop: int = 256,
    mels: int = 80,
    low: float = 0.0,
    high: float | None = None,
    floor: float = 1e-5,
  ) -> Self:
    """Builds the distance.

    Args:
      sample_rate: rate of the audio in Hz.
      fft_size: length of the transform and its Hann window.
      hop: samples between frames.
      mels: number of mel bands.
      low: lowest frequency in Hz.
      high: highest frequency in Hz; half the rate where None.
      floor: least mel magnitude.

    Raises:
      MissingPackageError: librosa, which makes the filters, is not installed.
    """
    librosa = optional.require("librosa", "audio")
    filters = librosa.filters.mel(
      sr=sample_rate, n_fft=fft_size, n_mels=mels, fmin=low, fmax=high
    )
    return cls(jnp.asarray(filters.T, jnp.float32), fft_size, hop, floor)

  def embed(self, audio: jax.Array) -> jax.Array:
    """Returns the log-mel spectrogram, [frames, mels]."""
    power = power_spectrogram(
      audio, fft_size=self.fft_size, hop=self.hop, width=self.fft_size
    )
    # Far below the mel floor; keeps the root's gradient finite at silence.
    magnitude = jnp.sqrt(jnp.maximum(power, 1e-20))
    return jnp.log(jnp.maximum(magnitude @ self.filters, self.floor))

  def compare(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Returns the mean squared difference, a scalar, in nepers squared."""
    return jnp.mean(jnp.square(estimate - reference))

  def __call__(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Returns the distance between two signals [samples], a scalar."""
    return self.compare(self.embed(reference), self.embed(estimate))


def _magnitudes(power: jax.Array, floor: float) -> tuple[jax.Array, jax.Array]:
  """Magnitude and log-magnitude of a power spectrogram, floored."""
  power = jnp.maximum(power, floor)
  return jnp.sqrt(power), 0.5 * jnp.log(power)


def _norm(x: jax.Array) -> jax.Array:
  """Frobenius norm with gradient 0, not NaN, at 0; as PyTorch's."""
  square = jnp.sum(jnp.square(x))
  positive = square > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
