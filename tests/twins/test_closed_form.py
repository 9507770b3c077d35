"""Why twins work, in closed form: a linear denoiser that has learnt one clip.

docs/twins.md derives what is tested here. The denoiser is optimal for Gaussian data
with variance v in all directions and m more in that of the learnt clip u.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from lsaprobe_jax import attacks, diffusion, twins
from lsaprobe_jax.attacks.twinned import Twinned

SAMPLES, T, DRAWS = 64, 60, 2_000
V, M = 0.5, 40.0
SCHEDULE = diffusion.linear(200, 1e-4, 0.02)
A, SIGMA = float(SCHEDULE.signal[T]), float(SCHEDULE.noise[T])


class Gaussian(struct.PyTreeNode):
  """The optimal denoiser of Gaussian data: `e(x, t) = sigma_t Sigma_t^-1 x`."""

  params: jax.Array  # the covariance of the data, [samples, samples]
  schedule: diffusion.Schedule
  num_inference_steps: int = struct.field(pytree_node=False, default=1)
  state_kind: str = struct.field(pytree_node=False, default="waveform")

  def encode(self, audio):
    return audio

  def predict_noise(self, x, t):
    signal, noise = self.schedule.signal[t], self.schedule.noise[t]
    noisy = signal**2 * self.params + noise**2 * jnp.eye(SAMPLES)
    return noise * jnp.linalg.solve(noisy, x)


def learnt(*clips) -> Gaussian:
  """A denoiser that has learnt some clips, each of size 1."""
  covariance = V * np.eye(SAMPLES) + sum(M * np.outer(u, u) for u in clips)
  return Gaussian(params=jnp.asarray(covariance, jnp.float32), schedule=SCHEDULE)


def unit(seed: int) -> np.ndarray:
  """A clip of size 1 without a constant part or one at half the rate."""
  spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=SAMPLES))
  spectrum[[0, -1]] = 0
  clip = np.fft.irfft(spectrum)
  return clip / np.linalg.norm(clip)


U = unit(0)


def scores(model, clip, *names) -> tuple[float, list[float]]:
  """Loss of a clip and of its twins, a mean over many draws."""
  attack = Twinned.by_names(attacks.Loss(draws=DRAWS), names)
  clip = jnp.asarray(clip, jnp.float32)
  found = jax.jit(lambda *args: attack(*args))(model, jax.random.key(1), clip, T)
  return float(found.score), np.asarray(found.details["twin_scores"]).tolist()


def excess(clip) -> float:
  """What a clip adds to the expected loss of `learnt(U)`: a^2 sigma^2 |S^-1 x|^2."""
  own, rest = A**2 * (V + M) + SIGMA**2, A**2 * V + SIGMA**2
  along = float(U @ clip) ** 2
  return (A * SIGMA) ** 2 * (along / own**2 + (clip @ clip - along) / rest**2)


@pytest.mark.parametrize("size", [2.0, 6.0])
@pytest.mark.parametrize("name", ["reversal", "phase_90"])
def test_a_learnt_clip_differs_from_its_twin_by_the_closed_form(name, size):
  clip = size * U
  twin = np.asarray(twins.get(name)(clip), np.float64)
  own, (other,) = scores(learnt(U), clip, name)
  wanted = excess(twin) - excess(clip)
  assert wanted > 0
  # eps is paired, so that its part of the loss cancels but for a cross term.
  assert own - other == pytest.approx(wanted, rel=0.1)
  rho = float(U @ twin) / size
  gap = 1 / (A**2 * V + SIGMA**2) ** 2 - 1 / (A**2 * (V + M) + SIGMA**2) ** 2
  closed = (A * SIGMA * size) ** 2 * (1 - rho**2) * gap
  assert wanted == pytest.approx(closed, rel=1e-6)


def test_difficulty_cancels_of_a_clip_that_was_not_learnt():
  other = unit(1)
  other -= (other @ U) * U
  other -= (other @ U[::-1]) * U[::-1]
  raw, less = [], []
  for size in (1.0, 8.0):
    own, (twin,) = scores(learnt(U), size * other, "reversal")
    raw.append(own)
    less.append(own - twin)
  # A clip of eight times the size is harder by 63 times the excess of the smaller one.
  harder = 63 * excess(other)
  assert raw[0] - raw[1] == pytest.approx(harder, rel=0.1)
  assert np.abs(less).max() < 0.05 * harder


def test_polarity_is_a_symmetry_of_a_linear_denoiser_and_finds_nothing():
  own, (other,) = scores(learnt(U), 6 * U, "polarity")
  assert own == pytest.approx(other, rel=1e-6) or abs(own - other) < 0.1 * excess(6 * U)
  (found,) = twins.suitable(learnt(U), 6 * U[None].astype(np.float32), ["polarity"])
  assert not found.suitable


def test_a_twin_that_was_trained_on_as_well_finds_nothing():
  # Augmentation by reversal: both orders of time are learnt alike.
  both = learnt(U, U[::-1])
  own, (other,) = scores(both, 6 * U, "reversal")
  alone, (twin,) = scores(learnt(U), 6 * U, "reversal")
  assert abs(own - other) < 0.1 * (alone - twin)


def test_the_noise_cancels_where_it_moves_with_the_clip():
  model, clip = learnt(U), 6 * unit(1)
  seeds = jax.random.split(jax.random.key(3), 40)
  attack = attacks.Loss(draws=1)
  paired = Twinned.by_names(attack, ["reversal"])
  audio = jnp.asarray(clip, jnp.float32)
  moved = jax.vmap(lambda key: paired(model, key, audio, T))(seeds)
  less = moved.score - moved.details["twin_scores"][:, 0]
  fixed = jax.vmap(lambda key: attack(model, key, audio[::-1], T).score)(seeds)
  assert np.std(less) < 0.5 * np.std(moved.score - fixed)
