"""A linear (Gaussian) denoiser and the mean square: the cost in closed form.

D is a quadratic, so that searches can be held to exact answers. `Linear` reverses as
real models do; `quadratic` is the same D as one small matrix, which compiles in
milliseconds.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import diffusion

SAMPLES, T, STEPS = 32, 120, 3


class MeanSquare(struct.PyTreeNode):
  """The waveform distance, without the package's own implementation."""

  def embed(self, audio):
    return audio

  def compare(self, reference, estimate):
    return jnp.mean(jnp.square(reference - estimate))


class Linear(struct.PyTreeNode):
  """The optimal denoiser of Gaussian data is linear: so is the whole reverse."""

  matrix: jax.Array
  schedule: diffusion.Schedule
  num_inference_steps: int = struct.field(pytree_node=False, default=STEPS)

  def encode(self, audio):
    return audio

  def decode(self, x_0):
    return x_0

  def reconstruct(self, x_t, t):
    predict = lambda x, t: self.schedule.noise[t] * (self.matrix @ x)
    return diffusion.reverse(predict, self.schedule, x_t, t, self.num_inference_steps)


def linear_model(matrix) -> Linear:
  schedule = diffusion.linear(200, 1e-4, 0.02)
  return Linear(matrix=jnp.asarray(matrix, jnp.float32), schedule=schedule)


@functools.cache
def random_symmetric() -> Linear:
  """One direction that the reverse process damps least, clearly apart from the rest."""
  rng = np.random.default_rng(0)
  basis = np.linalg.qr(rng.normal(size=(SAMPLES, SAMPLES)))[0]
  eigenvalues = np.r_[0.05, np.linspace(0.7, 0.95, SAMPLES - 1)]
  return linear_model(basis * eigenvalues @ basis.T)


@functools.cache
def diagonal() -> Linear:
  """In the largest norm all samples of the worst perturbation are at the bound."""
  return linear_model(np.diag(np.linspace(0.05, 0.95, SAMPLES)))


@jax.jit
def _jacobian(model):
  return jax.jacobian(lambda x: model.reconstruct(x, T))(jnp.zeros(SAMPLES))


def response(model: Linear) -> np.ndarray:
  """sigma J: how the reconstruction answers to delta~, [samples, samples]."""
  return np.asarray(_jacobian(model), np.float64) * float(model.schedule.noise[T])


def gain(model: Linear) -> float:
  """|sigma J|: D of the worst perturbation of rms size eta is (gain eta)^2."""
  return np.linalg.norm(response(model), 2)


def quadratic(matrix, delta):
  """D of a linear model whose response is `matrix`."""
  return jnp.mean(jnp.square(matrix @ delta))
