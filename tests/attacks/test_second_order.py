"""The gain by power iteration against singular values of the whole Jacobian."""

import jax
import jax.numpy as jnp
import linear
import numpy as np
import pytest
from naive import DISTANCE, SAMPLES, STEPS, T, run

from lsaprobe_jax import distances
from lsaprobe_jax.attacks.second_order import SecondOrder


def largest_singular_value(naive, embed):
  """rms of all the embedding's leaves together over rms of delta~, at its worst."""
  x_t = naive.noised(T, 0)

  def embedding(delta):
    leaves = jax.tree.leaves(embed(naive.reverse(x_t + naive.sigma[T] * delta)))
    return jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])

  jacobian = np.asarray(jax.jacobian(embedding)(jnp.zeros(SAMPLES)), np.float64)
  return np.linalg.norm(jacobian, 2) * np.sqrt(SAMPLES / len(jacobian))


LOG_MEL = distances.get("log_mel", sample_rate=8000, fft_size=64, hop=16, mels=8)
MR_STFT = distances.get(
  "mr_stft", sample_rate=8000, fft_sizes=(64, 32), hops=(16, 8), widths=(48, 32)
)


# The logarithm of a nearly empty bin bends within tiny budgets: MR-STFT's gain at
# eta = 1e-3 is half of that at 0, and at the default 0.01 less than a quarter.
@pytest.mark.parametrize(
  ("distance", "eta"),
  [(DISTANCE, 1e-4), (LOG_MEL, 1e-4), (MR_STFT, 3e-6)],
  ids=["waveform", "log_mel", "mr_stft"],
)
def test_gain_is_the_largest_singular_value(model, audio, key, naive, distance, eta):
  attack = SecondOrder(distance=distance, eta=eta, steps=60)
  found = run(attack, model, audio, key)
  exact = largest_singular_value(naive, distance.embed)
  np.testing.assert_allclose(found.details["gain"], exact, rtol=0.01)
  assert found.score == -found.details["gain"]
  assert found.nfe_forward == STEPS * (1 + 2 * 60)
  assert found.nfe_backward == STEPS * 60


def linear_gains(key, numbers_of_steps):
  model, audio = linear.random_symmetric(), jnp.zeros(linear.SAMPLES)
  score = jax.jit(lambda attack, *args: attack(*args, linear.T).details["gain"])
  return [
    float(
      score(SecondOrder(distance=linear.MeanSquare(), steps=steps), model, key, audio)
    )
    for steps in numbers_of_steps
  ]


def test_gain_gives_the_cost_of_a_quadratic_distance(key):
  # A linear model has D = (gain eta)^2 in the worst direction, for every eta.
  exact = linear.gain(linear.random_symmetric())
  np.testing.assert_allclose(linear_gains(key, [8]), exact, rtol=0.01)


def test_more_steps_never_lower_the_gain(key):
  gains = np.array(linear_gains(key, range(1, 9)))
  assert gains[0] < 0.9 * gains[-1]
  assert np.all(np.diff(gains) >= -1e-5 * gains[-1])


def test_gain_is_0_where_nothing_can_be_felt(model, audio, key):
  class Deaf:
    def embed(self, audio):
      return 0 * audio

  found = SecondOrder(distance=Deaf())(model, key, audio, T)
  assert found.score == 0
