"""The diffusion process: schedules, forward noise, deterministic reverse.

Time runs from t = 0 (clean) to t = T (noise), with `alpha_bar[0] = 1` and
`alpha_bar[t] = prod_{s <= t} (1 - beta_s)`. All functions work on one example of
any shape; a batch, or several timesteps, come from `jax.vmap` outside.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax.errors import ArgumentError

# The least noise of state 1: with less, a perturbation of it moves nothing in float32.
_LEAST_NOISE = 1e-6

# Maps a state of any shape and t, a scalar int32 in 1..T, to noise of the same shape.
PredictNoise = Callable[[jax.Array, jax.Array], jax.Array]


class Schedule(struct.PyTreeNode):
  """A noise schedule, tabulated at t = 0..T.

  The square roots are tables of their own because `1 - alpha_bar` loses most of
  its digits in float32 near t = 0; here they come from float64.

  Attributes:
    signal: `sqrt(alpha_bar)`, float32 [T + 1], from 1 down.
    noise: `sigma = sqrt(1 - alpha_bar)`, float32 [T + 1], from 0 up.
  """

  signal: jax.Array
  noise: jax.Array

  @property
  def num_train_timesteps(self) -> int:
    """T, the number of noising steps."""
    return self.signal.shape[-1] - 1

  @classmethod
  def from_betas(cls, betas: np.ndarray) -> "Schedule":
    """Builds the tables from `beta_1 .. beta_T`, each in (0, 1).

    Raises:
      ArgumentError: there are none, one lies outside, or the first adds no noise.
    """
    betas = np.asarray(betas, np.float64)
    if betas.ndim != 1 or not betas.size or not np.all((betas > 0) & (betas < 1)):
      raise ArgumentError("betas must be a non-empty vector with values inside (0, 1)")
    alpha_bar = np.concatenate([[1.0], np.cumprod(1.0 - betas)])
    if np.sqrt(1.0 - alpha_bar[1]) < _LEAST_NOISE:
      raise ArgumentError(
        f"betas: a first beta of {betas[0]:.3g} adds no noise; it must be at least"
        f" {_LEAST_NOISE**2:g}"
      )
    return cls(
      signal=jnp.asarray(np.sqrt(alpha_bar), jnp.float32),
      noise=jnp.asarray(np.sqrt(1.0 - alpha_bar), jnp.float32),
    )


def linear(num_train_timesteps: int, beta_start: float, beta_end: float) -> Schedule:
  """Makes the schedule whose betas are evenly spaced (Ho et al. 2020; DiffWave)."""
  return Schedule.from_betas(np.linspace(beta_start, beta_end, num_train_timesteps))


def scaled_linear(
  num_train_timesteps: int, beta_start: float, beta_end: float
) -> Schedule:
  """Makes the schedule whose betas have evenly spaced roots (latent diffusion)."""
  roots = np.linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps)
  return Schedule.from_betas(roots**2)


def cosine(
  num_train_timesteps: int, offset: float = 0.008, max_beta: float = 0.999
) -> Schedule:
  """Makes the schedule whose `alpha_bar` is a cosine squared of time.

  It is equation 17 of Nichol and Dhariwal 2021, with betas of at most `max_beta`.
  """
  time = np.arange(num_train_timesteps + 1) / num_train_timesteps
  alpha_bar = np.cos((time + offset) / (1 + offset) * np.pi / 2) ** 2
  return Schedule.from_betas(np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], max_beta))


def timestep(schedule: Schedule, t_ratio: float) -> int:
  """Returns `t = round(t_ratio * T)`.

  Raises:
    ArgumentError: t does not lie in 1..T.
  """
  if not math.isfinite(t_ratio):
    raise ArgumentError(f"t_ratio={t_ratio} is no share of T")
  t = round(t_ratio * schedule.num_train_timesteps)
  if not 1 <= t <= schedule.num_train_timesteps:
    raise ArgumentError(
      f"t_ratio={t_ratio} gives t = {t}, outside 1..{schedule.num_train_timesteps}"
    )
  return t


def add_noise(schedule: Schedule, x_0: jax.Array, t, noise: jax.Array) -> jax.Array:
  """Returns `x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps`."""
  return schedule.signal[t] * x_0 + schedule.noise[t] * noise


def ddim_step(schedule: Schedule, x: jax.Array, noise: jax.Array, t, s) -> jax.Array:
  """Takes one deterministic step from time t to time s (Song et al. 2021, equation 12).

  It returns `x_s = sqrt(alpha_bar_s) x_0^ + sqrt(1 - alpha_bar_s) e`, with `x_0^` the
  clean signal that the predicted noise `e` implies. s > t noises, s < t denoises, and
  s = t returns x.
  """
  ratio = schedule.signal[s] / schedule.signal[t]
  return ratio * x + (schedule.noise[s] - ratio * schedule.noise[t]) * noise


def reverse(
  predict_noise: PredictNoise,
  schedule: Schedule,
  x_t: jax.Array,
  t,
  num_inference_steps: int,
  *,
  rematerialise: bool = True,
) -> jax.Array:
  """Runs `R_t`, deterministic DDIM from t to 0 in S steps; it is differentiable.

  The step count is static and t is traced, so one compilation serves every t. The
  grid is `round(t (S - i) / S)`; where t < S some of its steps repeat a time and
  leave the state as it is.

  Args:
    predict_noise: the network, `(x, t) -> e` with t in 1..T.
    schedule: the noise schedule.
    x_t: the state at time t, of any shape.
    t: the time, a scalar integer in 1..T.
    num_inference_steps: S, at least 1.
    rematerialise: whether a backward pass keeps one state a step and computes what is
      inside a step again, instead of keeping it all. A single step is kept in any case:
      it would be computed twice, and its inside be held all the same.

  Returns:
    The reconstruction at time 0, shaped as x_t.

  Raises:
    ArgumentError: there is no step.
  """
  if num_inference_steps < 1:
    raise ArgumentError(
      f"num_inference_steps={num_inference_steps}: the reverse process needs at least"
      " 1 step"
    )
  remaining = jnp.arange(num_inference_steps, -1, -1)
  # Integer arithmetic: round(t r / S), halves rounded up, exact for every t.
  grid = (2 * jnp.asarray(t) * remaining + num_inference_steps) // (
    2 * num_inference_steps
  )

  def step(x, times):
    t, s = times
    return ddim_step(schedule, x, predict_noise(x, jnp.maximum(t, 1)), t, s), None

  if rematerialise and num_inference_steps > 1:
    step = jax.checkpoint(step, prevent_cse=False)
  return jax.lax.scan(step, x_t, (grid[:-1], grid[1:]))[0]
