"""A linear (Gaussian) denoiser and the mean square: the cost in closed form."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax import diffusion

SAMPLES, T, STEPS = 32, 120, 3


class MeanSquare:
  """The waveform distance, without the package's own implementation."""

  def embed(self, audio):
    return audio

  def compare(self, reference, estimate):
    return jnp.mean(jnp.square(reference - estimate))


@dataclasses.dataclass(frozen=True)
class LinearGenerator:
  """The optimal denoiser of Gaussian data is linear: so is the whole reverse."""

  matrix: jax.Array
  schedule: diffusion.Schedule = diffusion.linear(200, 1e-4, 0.02)  # noqa: RUF009

  def encode(self, audio):
    return audio

  def reconstruct(self, x_t, t):
    predict = lambda x, t: self.schedule.noise[t] * (self.matrix @ x)
    return diffusion.reverse(predict, self.schedule, x_t, t, STEPS)

  def jacobian(self):
    return np.asarray(
      jax.jacobian(lambda x: self.reconstruct(x, T))(jnp.zeros(SAMPLES)), np.float64
    )


def random_symmetric() -> LinearGenerator:
  """One direction that the reverse process damps least, clearly apart from the rest."""
  rng = np.random.default_rng(0)
  basis = np.linalg.qr(rng.normal(size=(SAMPLES, SAMPLES)))[0]
  eigenvalues = np.r_[0.05, np.linspace(0.7, 0.95, SAMPLES - 1)]
  return LinearGenerator(jnp.asarray(basis * eigenvalues @ basis.T, jnp.float32))


def gain(generator: LinearGenerator) -> float:
  """sigma |J|: D of the worst perturbation of rms size eta is (gain eta)^2."""
  return np.linalg.norm(generator.jacobian(), 2) * float(generator.schedule.noise[T])
