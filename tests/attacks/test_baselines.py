"""Published baselines against their formulae in plain NumPy; passes against a count."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from naive import DISTANCE, MODEL, SAMPLES, STEPS, T, run

from lsaprobe_jax import diffusion
from lsaprobe_jax.attacks.gradient_norm import GradientNorm
from lsaprobe_jax.attacks.noise_optimisation import NoiseOptimisation
from lsaprobe_jax.attacks.path_error import PathError
from lsaprobe_jax.attacks.pfami import PFAMI
from lsaprobe_jax.attacks.pia import PIA, STANDARD_NORMAL, p_norm
from lsaprobe_jax.attacks.rediffuse import ReDiffuse
from lsaprobe_jax.attacks.secmi import SecMI
from lsaprobe_jax.attacks.sima import SimA
from lsaprobe_jax.attacks.trajectory import Trajectory
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models import schedules


def move(naive, x, now, after):
  """Deterministic DDIM, by way of the clean signal."""
  e = naive.predict(x, now)
  x_0 = (x - naive.sigma[now] * e) / naive.signal[now]
  return naive.signal[after] * x_0 + naive.sigma[after] * e


def reconstruct(naive, x, t):
  grid = [int(np.floor(t * (STEPS - i) / STEPS + 0.5)) for i in range(STEPS + 1)]
  for now, after in itertools.pairwise(grid):
    x = move(naive, x, now, after)
  return np.asarray(x) / MODEL["scale"]


def fourth_norm(x):
  return np.sum(np.abs(np.asarray(x, np.float64)) ** 4) ** 0.25


@pytest.mark.parametrize("draws", [1, 2])
def test_trajectory_is_the_mean_distance_to_the_clip(model, audio, key, naive, draws):
  attack = Trajectory(distance=DISTANCE, times=3, draws=draws)
  found = run(attack, model, audio, key, t=12)
  degradations = [
    np.mean((reconstruct(naive, naive.noised(t, draw), t) - audio) ** 2)
    for t in (4, 8, 12)
    for draw in range(draws)
  ]
  np.testing.assert_allclose(found.score, -np.mean(degradations), rtol=1e-4)


# T is 20; t = 6 is the centre of the bell, 0.25 T its standard deviation.
@pytest.mark.parametrize("draws", [1, 3])
def test_path_error_is_a_bell_over_log_errors(model, audio, key, naive, draws):
  attack = PathError(times=5, draws=draws, width=0.25)
  found = run(attack, model, audio, key, t=6)
  times = (4, 8, 12, 16, 20)
  logs = naive.path_errors(times, draws)
  np.testing.assert_allclose(found.details["errors"], logs, rtol=1e-4)
  weights = [np.exp(-((t - 6) ** 2) / (2 * 5**2)) for t in times]
  np.testing.assert_allclose(found.score, -np.average(logs, weights=weights), rtol=1e-4)


def test_path_error_is_the_loss_where_the_bell_is_narrow(model, audio, key, naive):
  # Between 12 and 16, and nearer to 16: a bell of no width worth speaking of is there.
  narrow = run(PathError(times=5, width=1e-3), model, audio, key, t=15)
  loss = np.sum((naive.eps(3) - naive.predict(naive.noised(16, 3), 16)) ** 2)
  np.testing.assert_allclose(narrow.score, -np.log(loss), rtol=1e-4)
  wide = run(PathError(times=5, width=1e3), model, audio, key, t=15)
  np.testing.assert_allclose(wide.score, -np.mean(wide.details["errors"]), rtol=1e-4)
  np.testing.assert_array_equal(wide.details["errors"], narrow.details["errors"])


def test_path_error_is_finite_where_the_prediction_is_right(audio, key):
  class Perfect:
    # Its states are noise alone, which it gives back.
    schedule = diffusion.Schedule(signal=jnp.zeros(21), noise=jnp.ones(21))

    def encode(self, audio):
      return audio

    def predict_noise(self, x, t):
      return x

  found = PathError()(Perfect(), key, audio, T)
  # The logarithm of what is the least above 0.
  np.testing.assert_allclose(found.score, -np.log(np.finfo(np.float32).tiny), rtol=1e-6)


@pytest.mark.parametrize("width", [0.0, -0.1, np.nan])
def test_path_error_refuses_a_bell_without_width(model, audio, key, width):
  with pytest.raises(ArgumentError, match=r"width=.* of the bell is not above 0"):
    PathError(width=width)(model, key, audio, T)


def secmi(naive, t, steps):
  x, by = naive.x_0, t // steps
  for now in range(0, t, by):
    x = move(naive, x, now, now + by)
  back = move(naive, move(naive, x, t, t + by), t + by, t)
  return np.sum((back - x) ** 2)


def test_secmi_is_one_step_up_and_back(model, audio, key, naive):
  found = run(SecMI(steps=5), model, audio, key, t=10)
  np.testing.assert_allclose(found.score, -secmi(naive, 10, 5), rtol=1e-3)


def test_secmi_repeats_over_times(model, audio, key, naive):
  found = run(SecMI(steps=5, times=3), model, audio, key, t=15)
  errors = [secmi(naive, t, 5) for t in (5, 10, 15)]
  np.testing.assert_allclose(found.score, -np.mean(errors), rtol=1e-3)


def test_secmi_has_the_originals_steps(audio, key):
  # T = 1000, and t = 100 by tens, up to 110 and back: 12 NFE.
  asked = []
  long = MODEL["schedule"] | {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
  }
  wide = schedules.build(long)

  class Recorder:
    schedule = wide

    def encode(self, audio):
      return audio

    def predict_noise(self, x, t):
      jax.debug.callback(lambda t: asked.append(int(t)), t, ordered=True)
      return 0 * x

  found = SecMI()(Recorder(), key, audio, 100)
  jax.effects_barrier()
  assert asked == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110]
  assert found.nfe_forward == len(asked)


@pytest.mark.parametrize("times", [(4,), (3, 4, 5)])
@pytest.mark.parametrize("mean_absolute", [None, STANDARD_NORMAL])
def test_pia_compares_the_noise_of_the_clean_clip(
  model, audio, key, naive, mean_absolute, times
):
  attack = PIA(mean_absolute=mean_absolute, times=len(times))
  found = run(attack, model, audio, key, t=4)
  noise = np.asarray(naive.predict(naive.x_0, 0))
  if mean_absolute:
    noise = noise * np.sqrt(2 / np.pi) / np.mean(np.abs(noise))
  errors = []
  for t in times:
    x_t = naive.signal[t] * naive.x_0 + naive.sigma[t] * noise
    errors.append(fourth_norm(noise - naive.predict(np.float32(x_t), t)))
  np.testing.assert_allclose(found.score, -np.mean(errors), rtol=1e-4)


@pytest.mark.parametrize("times", [(8,), (6, 7, 8, 9)])
def test_sima_is_the_size_of_the_noise_seen_in_the_clean_clip(
  model, audio, key, naive, times
):
  found = run(SimA(times=len(times)), model, audio, key, t=8)
  norms = [fourth_norm(naive.predict(naive.x_0, t)) for t in times]
  np.testing.assert_allclose(found.score, -np.mean(norms), rtol=1e-5)


def test_p_norms_do_not_overflow():
  x = np.float32([1e12, -2e12, 0])
  np.testing.assert_allclose(p_norm(x, 4.0), fourth_norm(x), rtol=1e-6)
  assert p_norm(np.zeros(3, np.float32), 4.0) == 0


def test_pfami_is_the_relative_rise_of_the_loss(model, audio, key, naive):
  attack = PFAMI(draws=4, gain=0.2, shift=6)
  found = run(attack, model, audio, key, t=8)
  rises = []
  for i, t in enumerate((2, 4, 6, 8)):
    by, gain = (2, 3, 5, 6)[i], 1 - 0.2 * (i + 1) / 4
    changed = np.concatenate([np.zeros(by), gain * audio[: SAMPLES - by]])
    losses = []
    for clip in (audio, changed):
      x = naive.signal[t] * MODEL["scale"] * clip + naive.sigma[t] * naive.eps(i)
      losses.append(np.sum((naive.eps(i) - naive.predict(np.float32(x), t)) ** 2))
    rises.append((losses[1] - losses[0]) / losses[0])
  np.testing.assert_allclose(found.score, np.mean(rises), rtol=1e-3)


def test_rediffuse_is_the_distance_to_the_mean_reconstruction(model, audio, key, naive):
  found = run(ReDiffuse(draws=3), model, audio, key, t=6)
  mean = np.mean([reconstruct(naive, naive.noised(6, i), 6) for i in range(3)], axis=0)
  np.testing.assert_allclose(found.score, -np.sum((audio - mean) ** 2), rtol=1e-3)


def test_gradient_norm_is_that_of_finite_differences(model, audio, key, naive):
  found = run(GradientNorm(times=2), model, audio, key, t=8)
  # One layer by central differences in float64: the last convolution.
  layer = sorted(model.params).index("output_projection")
  norms, noises = [], [np.asarray(naive.eps(i), np.float64) for i in range(2)]
  with jax.enable_x64(True):
    for t, eps in zip((4, 8), noises, strict=True):
      x = naive.signal[t] * naive.x_0 + naive.sigma[t] * eps
      wide = jax.tree.map(lambda p: np.asarray(p, np.float64), model.params)
      last = wide["output_projection"]

      def loss(name, step, wide=wide, last=last, x=x, t=t, eps=eps):
        moved = wide | {"output_projection": last | {name: last[name] + step}}
        e = model.network.apply({"params": moved}, x, t - 1)
        return np.mean((eps - np.asarray(e)) ** 2)

      squares = 0.0
      for name in last:
        for place in np.ndindex(last[name].shape):
          step = np.zeros(last[name].shape)
          step[place] = 1e-5
          squares += ((loss(name, step) - loss(name, -step)) / 2e-5) ** 2
      norms.append(np.sqrt(squares))
  np.testing.assert_allclose(found.details["norms"][layer], np.mean(norms), rtol=1e-3)
  assert len(found.details["norms"]) == len(model.params)
  assert -found.score >= np.max(found.details["norms"])


def test_noise_optimisation_brings_the_prediction_near(model, audio, key, naive):
  attack = NoiseOptimisation(steps=20, line_search=10)
  found = run(attack, model, audio, key, t=T)
  x_t, eps = np.asarray(naive.noised(T, 0)), np.asarray(naive.eps(0))

  @jax.jit
  @jax.value_and_grad
  def loss(delta):
    return ((eps - naive.predict(x_t + delta, T)) ** 2).sum()

  def both(delta):
    value, gradient = loss(np.float32(delta))
    return float(value), np.asarray(gradient, np.float64)

  best = scipy.optimize.minimize(
    both, np.zeros(SAMPLES), jac=True, method="L-BFGS-B", options={"maxiter": 20}
  )
  # Two implementations of L-BFGS step alike, not the same.
  np.testing.assert_allclose(-found.score, np.linalg.norm(best.x), rtol=0.1)


def test_noise_optimisation_moves_nothing_where_the_prediction_is_right(
  model, audio, key
):
  perfect = model.replace(params=jax.tree.map(np.zeros_like, model.params))
  found = NoiseOptimisation()(perfect, key, audio, T)
  assert found.score == 0
