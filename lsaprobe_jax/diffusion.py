"""The diffusion process: paths and schedules, forward noise, deterministic reverse.

A state on the path from music to noise is `x_t = a_t x_0 + s_t eps`. Time runs from
t = 0 (clean) to t = T (noise) on a table of `a` and `s`. A discrete schedule gives it
by `a_t^2 = alpha_bar_t = prod_{s <= t} (1 - beta_s)`, and a path in continuous time is
tabulated (`Schedule.from_path`). A network predicts the noise, v (Salimans and Ho
2022) or a flow's velocity (Liu et al. 2023), and the deterministic step from one time
to another is exact for each. All functions work on one example of any shape; a batch,
or several timesteps, come from `jax.vmap` outside.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.text import printable

# How far a path may lie from what its prediction is of, by rounding.
_ON_PATH = 1e-4
# The least noise of state 1: with less, a perturbation of it moves nothing in float32.
_LEAST_NOISE = 1e-6

# Maps a state of any shape and t, a scalar int32 in 1..T, to what is predicted of it,
# of the same shape.
Predict = Callable[[jax.Array, jax.Array], jax.Array]

# What a network predicts, by diffusers' names: the noise eps; `a eps - s x_0` where
# `a^2 + s^2 = 1`; the velocity `eps - x_0` of a flow, where `a + s = 1`.
PREDICTIONS = ("epsilon", "v_prediction", "flow")


class Path(NamedTuple):
  """A path in continuous time u, from music at 0 to noise at 1.

  Attributes:
    signal: `a(u)`, of float64 arrays.
    noise: `s(u)`.
    prediction: what networks on this path predict, one of `PREDICTIONS`.
  """

  signal: Callable[[np.ndarray], np.ndarray]
  noise: Callable[[np.ndarray], np.ndarray]
  prediction: str


# Stable Audio's: `a = cos(pi u / 2)`, `s = sin(pi u / 2)`.
TRIGONOMETRIC = Path(
  lambda u: np.sin(np.pi / 2 * (1 - u)), lambda u: np.sin(np.pi / 2 * u), "v_prediction"
)
# ACE-Step's and Stable Audio 3's: a straight line from music to noise.
RECTIFIED_FLOW = Path(lambda u: 1 - u, lambda u: u, "flow")


class Schedule(struct.PyTreeNode):
  """A noise schedule, tabulated at t = 0..T.

  The square roots are tables of their own because `1 - alpha_bar` loses most of
  its digits in float32 near t = 0; here they come from float64.

  Attributes:
    signal: `a = sqrt(alpha_bar)`, float32 [T + 1], from 1 down.
    noise: `s = sigma = sqrt(1 - alpha_bar)`, float32 [T + 1], from 0 up; of a flow
      `1 - a`.
    time: the continuous time u of each t, float32 [T + 1], which networks of a path are
      told; None for a discrete schedule, whose networks are told t.
    prediction: what the network predicts, one of `PREDICTIONS`.
  """

  signal: jax.Array
  noise: jax.Array
  time: jax.Array | None = None
  prediction: str = struct.field(pytree_node=False, default="epsilon")

  @property
  def num_train_timesteps(self) -> int:
    """T, the number of noising steps."""
    return self.signal.shape[-1] - 1

  @property
  def log_snr(self) -> np.ndarray:
    """`2 log(a / s)` at t = 0..T, by which times of different paths are compared."""
    signal, noise = (np.asarray(x, np.float64) for x in (self.signal, self.noise))
    with np.errstate(divide="ignore"):
      return 2 * (np.log(signal) - np.log(noise))

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

  @classmethod
  def from_path(
    cls, path: Path, num_train_timesteps: int = 1000, shift: float = 1.0
  ) -> "Schedule":
    """Tabulates a path at evenly spaced times, or at those that a sampler shifts.

    Args:
      path: the path.
      num_train_timesteps: T, how finely; a network on it knows no T of its own.
      shift: the times are `u = shift w / (1 + (shift - 1) w)` of evenly spaced w, as
        samplers of flows visit them (Esser et al. 2024, equation 23): above 1 they lie
        closer together near the noise. The last w is half a step before 1, where
        nothing of the clip would be left.

    Raises:
      ArgumentError: there is no time, or the shift is not positive.
    """
    if num_train_timesteps < 1 or not 0 < shift < math.inf:
      raise ArgumentError(
        f"num_train_timesteps={num_train_timesteps} and shift={shift} must be positive"
      )
    even = np.arange(num_train_timesteps + 1) / num_train_timesteps
    even[-1] -= 0.5 / num_train_timesteps
    time = shift * even / (1 + (shift - 1) * even)
    tables = (path.signal(time), path.noise(time), time)
    return cls(
      *(jnp.asarray(table, jnp.float32) for table in tables), prediction=path.prediction
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


def check_prediction(schedule: Schedule) -> None:
  """Refuses what a schedule says is predicted, where it is unknown or not on its path.

  Raises:
    ArgumentError: names it, and what there is.
  """
  if schedule.prediction not in PREDICTIONS:
    raise ArgumentError(
      f"prediction={printable(str(schedule.prediction))}: one of"
      f" {', '.join(PREDICTIONS)}"
    )
  signal, noise = (np.asarray(x, np.float64) for x in (schedule.signal, schedule.noise))
  length = signal + noise if schedule.prediction == "flow" else np.hypot(signal, noise)
  if schedule.prediction != "epsilon" and np.max(np.abs(length - 1)) > _ON_PATH:
    lengths = "a + s" if schedule.prediction == "flow" else "a^2 + s^2"
    raise ArgumentError(
      f"prediction={schedule.prediction} is of a path with {lengths} = 1, and this"
      " schedule's is another"
    )


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


def matched_t_ratio(schedule: Schedule, like: Schedule, t_ratio: float) -> float:
  """Returns the time over T of a schedule that has the log-SNR of another's time.

  A time says little across families: a tenth of T is a log-SNR of 3.9 under the
  embedded DiffWaves and of 1.6 under MusicLDM. It is the time in 1..T whose log-SNR is
  the nearest.

  Args:
    schedule: the schedule whose time is asked for.
    like: the schedule that `t_ratio` is of.
    t_ratio: a time of `like` over its T.

  Raises:
    ArgumentError: t does not lie in 1..T of `like`.
  """
  wanted = like.log_snr[timestep(like, t_ratio)]
  t = 1 + int(np.argmin(np.abs(schedule.log_snr[1:] - wanted)))
  return t / schedule.num_train_timesteps


def add_noise(schedule: Schedule, x_0: jax.Array, t, noise: jax.Array) -> jax.Array:
  """Returns `x_t = a_t x_0 + s_t eps`."""
  return schedule.signal[t] * x_0 + schedule.noise[t] * noise


def target(schedule: Schedule, x_0: jax.Array, t, noise: jax.Array) -> jax.Array:
  """Returns what a network should predict of `x_t`, for training."""
  if schedule.prediction == "epsilon":
    return noise
  if schedule.prediction == "flow":
    return noise - x_0
  return schedule.signal[t] * noise - schedule.noise[t] * x_0


def predicted(model, x: jax.Array, t) -> jax.Array:
  """Returns what a model's network says of a state, as its schedule has it.

  It is `model.predict`, or `model.predict_noise` of a model that has no other.
  """
  return getattr(model, "predict", model.predict_noise)(x, t)


def implied_noise(schedule: Schedule, x: jax.Array, t, out: jax.Array) -> jax.Array:
  """Returns the noise in a state that a prediction `out` of it implies."""
  if schedule.prediction == "epsilon":
    return out
  if schedule.prediction == "flow":
    return x + schedule.signal[t] * out
  return schedule.signal[t] * out + schedule.noise[t] * x


def step(schedule: Schedule, x: jax.Array, out: jax.Array, t, s) -> jax.Array:
  """Takes one deterministic step from time t to time s (Song et al. 2021, equation 12).

  It returns `x_s = a_s x_0^ + s_s e`, with the clean signal `x_0^` and the noise `e`
  that a prediction `out` at time t implies: DDIM's step, for v a rotation, and for a
  flow Euler's step. s > t noises, s < t denoises, and s = t returns x.
  """
  if schedule.prediction == "epsilon":
    ratio = schedule.signal[s] / schedule.signal[t]
    return ratio * x + (schedule.noise[s] - ratio * schedule.noise[t]) * out
  signal, noise = schedule.signal[t], schedule.noise[t]
  more_signal, more_noise = schedule.signal[s] - signal, schedule.noise[s] - noise
  # With a + s = 1, or below with a^2 + s^2 = 1, nothing is divided by what all but
  # vanishes at t = T, and no time is left by rounding.
  if schedule.prediction == "flow":
    return x + more_noise * out
  kept = 1 - (jnp.square(more_signal) + jnp.square(more_noise)) / 2
  return kept * x + (signal * more_noise - noise * more_signal) * out


def reverse(
  predict: Predict,
  schedule: Schedule,
  x_t: jax.Array,
  t,
  num_inference_steps: int,
  *,
  rematerialise: bool = True,
) -> jax.Array:
  """Runs `R_t`, deterministic from t to 0 in S steps; it is differentiable.

  The step count is static and t is traced, so one compilation serves every t. The
  grid is `round(t (S - i) / S)`; where t < S some of its steps repeat a time and
  leave the state as it is.

  Args:
    predict: the network, `(x, t) -> out` with t in 1..T, which predicts what the
      schedule says.
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

  def move(x, times):
    t, s = times
    return step(schedule, x, predict(x, jnp.maximum(t, 1)), t, s), None

  if rematerialise and num_inference_steps > 1:
    move = jax.checkpoint(move, prevent_cse=False)
  return jax.lax.scan(move, x_t, (grid[:-1], grid[1:]))[0]
