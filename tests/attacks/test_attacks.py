"""Attacks against loops in plain Python, and their passes against a count."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import distances, parallel, probe
from lsaprobe_jax.attacks.loss import Loss
from lsaprobe_jax.attacks.lsa_probe import LSAProbe, WorstDamage
from lsaprobe_jax.attacks.random_stability import RandomStability
from lsaprobe_jax.models import generator as generators
from lsaprobe_jax.search.bisection import Bisection

SAMPLES, T, STEPS = 96, 13, 2
MODEL = {
  "family": "diffwave",
  "network": {"channels": 4, "layers": 2, "dilation_cycle": 2, "embedding_width": 8},
  "schedule": {"name": "linear", "num_steps": 20, "beta_start": 1e-3, "beta_end": 0.2},
  "sample_rate": 8000,
  "scale": 3.0,
}
SEARCH = Bisection(halvings=4, ascent_steps=5, restarts=2, patience=2, step_size=2.0)
DISTANCE = distances.get("waveform", sample_rate=8000)
SEARCH_DRAW = 2**31 - 1  # the draw of a clip's key that searches start from
TALLY = {"forward": 0, "backward": 0}


def _count(kind, _):
  TALLY[kind] += 1


@jax.custom_vjp
def _count_backward(x):
  return x


def _tally_backward(_, cotangent):
  jax.debug.callback(functools.partial(_count, "backward"), cotangent[0])
  return (cotangent,)


_count_backward.defvjp(lambda x: (x, None), _tally_backward)


class CountingGenerator(generators.WaveformGenerator):
  """Counts its network's evaluations as they happen."""

  def predict_noise(self, x, t):
    noise = super().predict_noise(x, t)
    jax.debug.callback(functools.partial(_count, "forward"), noise[0])
    return _count_backward(noise)


@pytest.fixture(scope="module")
def generator():
  params = generators.random_params(MODEL, jax.random.key(5))
  return generators.build_generator(MODEL, params, STEPS)


@pytest.fixture(scope="module")
def audio():
  return np.random.default_rng(0).normal(scale=0.2, size=SAMPLES).astype(np.float32)


@pytest.fixture(scope="module")
def key():
  return jax.random.fold_in(jax.random.key(0), 123)


@pytest.fixture(scope="module")
def naive(generator, audio, key):
  """The formulae of METHOD.md once more, with a loop for the reverse process."""
  return Naive(generator, audio, key)


class Naive:
  def __init__(self, generator, audio, key):
    beta = np.linspace(1e-3, 0.2, 20)
    alpha_bar = np.concatenate([[1], np.cumprod(1 - beta)])
    self.signal, self.sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    self.key, self.x_0 = key, MODEL["scale"] * audio
    self.predict = jax.jit(generator.predict_noise)
    x_t = self.noised(T, 0)
    clean = self.reverse(x_t)
    self.damage = jax.jit(
      lambda delta: jnp.mean((clean - self.reverse(x_t + self.sigma[T] * delta)) ** 2)
    )
    self.damage_and_gradient = jax.jit(jax.value_and_grad(self.damage))

  def eps(self, draw):
    return jax.random.normal(jax.random.fold_in(self.key, draw), (SAMPLES,))

  def noised(self, t, draw):
    return self.signal[t] * self.x_0 + self.sigma[t] * self.eps(draw)

  def reverse(self, x):
    grid = [int(np.floor(T * (STEPS - i) / STEPS + 0.5)) for i in range(STEPS + 1)]
    for t, s in itertools.pairwise(grid):
      e = self.predict(x, t)
      x_0 = (x - self.sigma[t] * e) / self.signal[t]
      x = self.signal[s] * x_0 + self.sigma[s] * e
    return x / MODEL["scale"]

  def ascend(self, key, eta, target):
    """(largest D, plain evaluations, evaluations with gradient) of one ascent."""
    direction_key, radius_key = jax.random.split(key)
    direction = np.asarray(jax.random.normal(direction_key, (SAMPLES,)), np.float64)
    radius = float(jax.random.uniform(radius_key)) ** (1 / SAMPLES)
    bound = eta * np.sqrt(SAMPLES)
    delta = bound * radius * direction / np.linalg.norm(direction)
    momentum, before, best, stalled = np.zeros(SAMPLES), 0.0, -np.inf, 0
    for gradients in range(1, SEARCH.ascent_steps + 1):
      value, gradient = self.damage_and_gradient(np.float32(delta))
      value, gradient = float(value), np.asarray(gradient, np.float64)
      best = max(best, value)
      gain = (value - before) / max(before, 1e-12)
      stalled = stalled + 1 if gain < SEARCH.min_gain else 0
      size = np.linalg.norm(gradient)
      if value >= target or stalled >= SEARCH.patience or size < SEARCH.min_gradient:
        return best, 0, gradients
      momentum = SEARCH.momentum * momentum + np.sqrt(SAMPLES) * gradient / size
      delta = delta + SEARCH.step_size * eta / SEARCH.ascent_steps * momentum
      delta *= min(1, bound / np.linalg.norm(delta))
      before = value
    last = float(self.damage(np.float32(delta)))
    return max(best, last), 1, SEARCH.ascent_steps

  def worst(self, key, eta, target):
    best, values, gradients = -np.inf, 0, 0
    for restart_key in jax.random.split(key, SEARCH.restarts):
      if best < target:
        found = self.ascend(restart_key, eta, target)
        best = max(best, found[0])
        values, gradients = values + found[1], gradients + found[2]
    return best, values, gradients

  def bisect(self, tau):
    """(cost, rank, plain evaluations, evaluations with gradient)."""
    keys = jax.random.split(
      jax.random.fold_in(self.key, SEARCH_DRAW), SEARCH.halvings + 1
    )
    top, values, gradients = self.worst(keys[0], SEARCH.eta_max, tau)
    if top < tau:
      rank = SEARCH.eta_max * (1 + (tau - top) / tau)
      return np.nan, rank, values, gradients
    low, high = (0.0, 0.0), (SEARCH.eta_max, top)
    for key in keys[1:]:
      eta = (low[0] + high[0]) / 2
      found, *spent = self.worst(key, eta, tau)
      low, high = (low, (eta, found)) if found >= tau else ((eta, found), high)
      values, gradients = values + spent[0], gradients + spent[1]
    share = np.clip((tau - low[1]) / (high[1] - low[1]), 0, 1)
    return high[0], low[0] + (high[0] - low[0]) * share, values, gradients


_run = jax.jit(lambda attack, *args: attack(*args))


def run(attack, generator, audio, key, t=T):
  """The attack's outcome, whose passes must be those that the network made."""
  fields = {name: getattr(generator, name) for name in generator.__dataclass_fields__}
  jax.effects_barrier()
  TALLY.update(forward=0, backward=0)
  found = jax.block_until_ready(
    _run(attack, CountingGenerator(**fields), key, audio, t)
  )
  jax.effects_barrier()
  passes = {"forward": found.forward_passes, "backward": found.backward_passes}
  assert passes == TALLY
  return found


def test_loss_is_the_mean_squared_error_over_draws(generator, audio, key, naive):
  found = run(Loss(draws=3), generator, audio, key, t=4)
  errors = [
    np.sum((naive.eps(i) - naive.predict(naive.noised(4, i), 4)) ** 2) for i in range(3)
  ]
  np.testing.assert_allclose(found.score, -np.mean(errors), rtol=1e-5)
  assert found.reached is None
  assert np.isnan(found.cost)


def test_random_stability_is_the_mean_damage_over_directions(
  generator, audio, key, naive
):
  eta = 0.4
  attack = RandomStability(distance=DISTANCE, eta=eta, draws=3)
  found = run(attack, generator, audio, key)
  damages = []
  for direction_key in jax.random.split(jax.random.fold_in(key, SEARCH_DRAW), 3):
    u = np.asarray(jax.random.normal(direction_key, (SAMPLES,)))
    damages.append(naive.damage(np.float32(eta * u / np.sqrt(np.mean(u**2)))))
  assert len(set(map(float, damages))) == 3
  np.testing.assert_allclose(found.score, -np.mean(damages), rtol=1e-4)


def test_worst_damage_is_the_loop(generator, audio, key, naive):
  found = run(
    WorstDamage(distance=DISTANCE, eta=0.3, search=SEARCH), generator, audio, key
  )
  worst, values, gradients = naive.worst(
    jax.random.fold_in(key, SEARCH_DRAW), 0.3, np.inf
  )
  np.testing.assert_allclose(found.score, -worst, rtol=1e-4)
  assert found.forward_passes == STEPS * (1 + values + 2 * gradients)
  assert found.backward_passes == STEPS * gradients


@pytest.mark.parametrize("share", [0.05, 0.3, 3.0])
def test_lsa_probe_is_the_loop(generator, audio, key, naive, share):
  at_most = naive.worst(jax.random.fold_in(key, SEARCH_DRAW), SEARCH.eta_max, np.inf)[0]
  tau = float(share * at_most)
  found = run(
    LSAProbe(distance=DISTANCE, tau=tau, search=SEARCH), generator, audio, key
  )
  cost, rank, values, gradients = naive.bisect(tau)
  assert bool(found.reached) == (share < 1)
  np.testing.assert_allclose(found.cost, cost, rtol=1e-5)
  np.testing.assert_allclose(found.score, rank, rtol=1e-3)
  assert found.forward_passes == STEPS * (1 + values + 2 * gradients)
  assert found.backward_passes == STEPS * gradients
  np.testing.assert_allclose(found.details["tau"], tau)


def test_the_first_draw_is_the_clips_own_noise(generator, audio, key):
  # A network that predicts nothing leaves eps alone in the loss.
  silent = generator.replace(params=jax.tree.map(jnp.zeros_like, generator.params))
  eps = probe.clip_noise(key, (SAMPLES,), draw=0)
  found = run(Loss(draws=1), silent, audio, key)
  np.testing.assert_allclose(found.score, -np.sum(np.square(eps)), rtol=1e-5)


def test_scores_are_the_clips_own_whatever_the_batch(generator, key):
  clips = np.random.default_rng(1).normal(scale=0.2, size=(5, SAMPLES))
  clips, numbers = clips.astype(np.float32), np.arange(5, dtype=np.uint32)
  attack = RandomStability(distance=DISTANCE, eta=0.4, draws=2)

  def score(generator, clip, number):
    return attack(generator, jax.random.fold_in(key, number), clip, T).score

  batched = parallel.over_examples(score, 3)
  collect = lambda clips, numbers: np.concatenate(
    [scores for _, scores in batched(generator, clips, numbers)]
  )
  whole, order = collect(clips, numbers), np.array([4, 1, 0])
  np.testing.assert_array_equal(collect(clips[order], numbers[order]), whole[order])
  assert len(set(whole)) == 5
