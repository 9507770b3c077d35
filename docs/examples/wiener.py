"""A learned Wiener filter: an example of a model on waveforms."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp


class Wiener(nn.Module):
  """Predicts the noise by a gain for each step and band of frequencies.

  No denoiser does better on Gaussian, stationary sound.

  Attributes:
    bands: gains between 0 Hz and half the sample rate, with straight lines between.
    max_steps: T, steps of the training schedule.
    dtype: None: a Fourier transform runs in float32.
  """

  bands: int = 33
  max_steps: int = 50
  dtype: Any = None

  @nn.compact
  def __call__(self, x, step):
    """Noisy waveform [samples], network index 0..T - 1 -> noise [samples]."""
    if self.dtype is not None:
      raise ValueError("a Wiener filter runs in float32")
    shape = (self.max_steps, self.bands)
    gains = self.param("gains", nn.initializers.normal(0.1), shape)[step]
    spectrum = jnp.fft.rfft(x)
    place = jnp.linspace(0, self.bands - 1, spectrum.shape[0])
    gain = jnp.interp(place, jnp.arange(self.bands), nn.sigmoid(gains))
    return jnp.fft.irfft(gain * spectrum, x.shape[0])
