"""A model whose networks do not matter: one matrix, on clips of 32 samples."""

import numpy as np

from lsaprobe_jax import diffusion
from lsaprobe_jax.models.trained import TrainedModel, from_denoiser

RATE, SAMPLES = 8000, 32


def denoise(matrix, x, t):
  """Noise as a linear function of the state."""
  return matrix @ x


def model(name: str = "A", seed: int = 0) -> TrainedModel:
  """A model of T = 20 times without a record of what it was trained on."""
  rng = np.random.default_rng(seed)
  return from_denoiser(
    denoise,
    diffusion.linear(20, 1e-4, 0.2),
    sample_rate=RATE,
    params=rng.normal(scale=0.1, size=(SAMPLES, SAMPLES)).astype(np.float32),
    name=name,
  )
