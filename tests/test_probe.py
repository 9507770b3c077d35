"""The probe against closed forms: a linear denoiser and the waveform distance."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear import SAMPLES, MeanSquare, T, diagonal, gain, random_symmetric, response

from lsaprobe_jax import probe
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.search import norms
from lsaprobe_jax.search.bisection import Bisection

TAU = np.float32(0.02)
KEY = jax.random.key(0)
THOROUGH = Bisection(
  eta_max=1.0, halvings=14, ascent_steps=80, step_size=2.0, restarts=2, min_gain=-1.0
)


@pytest.fixture(scope="module")
def model():
  return random_symmetric()


@pytest.fixture(scope="module")
def audio():
  return jnp.asarray(np.random.default_rng(1).normal(size=SAMPLES), jnp.float32)


# Compiled once for all tests that search with the same settings.
@functools.partial(jax.jit, static_argnums=0)
def probed(search, model, key, audio, tau):
  return probe.probe(model, MeanSquare(), search, key, audio, T, tau)


def exact_cost(model, tau=TAU):
  """In rms units: D = ||sigma J delta||^2 / d at its worst is (gain eta)^2."""
  return np.sqrt(tau) / gain(model)


@pytest.mark.parametrize("norm", ["rms", "l2"])
def test_cost_is_the_closed_form(model, audio, norm):
  exact = exact_cost(model) * (1 if norm == "rms" else np.sqrt(SAMPLES))
  search = dataclasses.replace(THOROUGH, norm=norm, eta_max=2.3 * exact)
  found = probed(search, model, KEY, audio, TAU)
  assert bool(found.reached)
  # Never below: what a search finds is an upper bound.
  assert exact * (1 - 1e-4) <= found.cost <= exact * 1.01


def test_cost_in_linf_is_the_closed_form(audio):
  # For a diagonal response every sample is pushed to the bound alike.
  exact = np.sqrt(TAU / np.mean(np.diag(response(diagonal())) ** 2))
  search = dataclasses.replace(THOROUGH, norm="linf", eta_max=2.3 * exact)
  found = probed(search, diagonal(), KEY, audio, TAU)
  assert exact * (1 - 1e-4) <= found.cost <= exact * 1.01


def test_the_papers_settings_beat_random_directions(model, audio):
  # Twelve steps from random starts leave the closed form far off even on a quadratic:
  # a bound, not the cost. Without a search, a random direction needs more.
  exact = exact_cost(model)
  at_random = np.sqrt(TAU * SAMPLES) / np.linalg.norm(response(model))
  found = probed(Bisection(eta_max=2.3 * exact), model, KEY, audio, TAU)
  assert exact * (1 - 1e-4) <= found.cost < at_random


def test_the_witness_is_real(model, audio):
  # A budget reported as reached has a perturbation of that size which reaches tau.
  found = probed(THOROUGH, model, KEY, audio, TAU)
  budgets, degradations = np.asarray(found.budgets), np.asarray(found.degradations)
  assert np.isclose(budgets[degradations >= TAU].min(), found.cost)
  assert budgets[degradations < TAU].max() < found.cost


def test_cost_never_falls_as_tau_rises(model, audio):
  taus = np.geomspace(1e-4, 0.3, 12, dtype=np.float32)
  found = [probed(THOROUGH, model, KEY, audio, tau) for tau in taus]
  ranks = np.array([float(f.rank) for f in found])
  costs = np.array([float(f.cost) for f in found if bool(f.reached)])
  assert np.all(np.diff(costs) >= 0)
  assert len(costs) > 4
  assert np.all(np.diff(ranks) > 0)


def test_an_unreached_target_is_censored_and_ranked_by_its_margin(model, audio):
  # Twice and four times what D can come to at eta_max, which is (gain eta_max)^2.
  top = np.float32(gain(model) ** 2)
  near, far = (probed(THOROUGH, model, KEY, audio, tau) for tau in (2 * top, 4 * top))
  for found in (near, far):
    assert not bool(found.reached)
    assert np.isnan(found.cost)
    assert found.margin > 0
    assert found.rank > THOROUGH.eta_max
    # Nothing is left to halve after the trial at eta_max.
    assert np.isfinite(found.budgets).tolist() == [True] + [False] * THOROUGH.halvings
  assert far.rank > near.rank


def test_a_batch_equals_single_examples_in_any_order(model):
  clips = jnp.asarray(np.random.default_rng(2).normal(size=(6, SAMPLES)), jnp.float32)
  search = Bisection(eta_max=0.6, halvings=8, ascent_steps=8, restarts=2)

  @jax.jit
  def one(clip, number):
    return probed(search, model, jax.random.fold_in(KEY, number), clip, TAU)

  batched = jax.jit(jax.vmap(one))
  numbers = jnp.arange(6)
  single = [one(clip, n) for clip, n in zip(clips, numbers, strict=True)]
  batch = batched(clips, numbers)
  order = np.array([3, 0, 5, 5, 5, 1])  # another order, and padding
  other = batched(clips[order], numbers[order])
  np.testing.assert_allclose(batch.cost, [s.cost for s in single], rtol=1e-5)
  np.testing.assert_allclose(batch.rank, [s.rank for s in single], rtol=1e-4)
  np.testing.assert_allclose(other.cost, batch.cost[order], rtol=1e-5)
  # Stopping early saves the same passes, whether or not the lane runs on.
  np.testing.assert_array_equal(batch.gradients, [int(s.gradients) for s in single])


def test_max_degradation_is_the_closed_form(model, audio):
  eta = 0.3
  found = jax.jit(
    lambda model: probe.max_degradation(
      model, MeanSquare(), THOROUGH, KEY, audio, T, eta
    )
  )(model)
  exact = (gain(model) * eta) ** 2
  assert exact * 0.98 <= found.degradation <= exact * (1 + 1e-4)


def test_random_degradation_is_the_mean_response(model, audio):
  # E ||J u||^2 over random directions of unit rms is the squared Frobenius norm.
  eta = 0.3
  expected = eta**2 * np.sum(response(model) ** 2) / SAMPLES
  found = jax.jit(
    lambda model: probe.random_degradation(
      model, MeanSquare(), KEY, audio, T, eta, draws=400
    )
  )(model)
  np.testing.assert_allclose(found, expected, rtol=0.05)


def test_noise_belongs_to_the_clips_key():
  key = jax.random.key(3)
  first = probe.clip_noise(key, (8,))
  np.testing.assert_array_equal(first, probe.clip_noise(key, (8,)))
  assert not np.allclose(first, probe.clip_noise(key, (8,), draw=1))
  assert not np.allclose(first, probe.clip_noise(jax.random.key(4), (8,)))


def test_a_noisy_state_is_the_forward_process_with_the_clips_noise(model, audio):
  x_t, noise = probe.noisy_state(model, KEY, audio, T, draw=2)
  np.testing.assert_array_equal(noise, probe.clip_noise(KEY, (SAMPLES,), 2))
  signal, sigma = model.schedule.signal[T], model.schedule.noise[T]
  np.testing.assert_allclose(x_t, signal * audio + sigma * noise, rtol=1e-6)


def test_a_degradation_is_the_distance_of_both_reconstructions(model, audio):
  degradation, shape = probe.make_degradation(model, MeanSquare(), KEY, audio, T)
  assert shape == audio.shape
  delta = jnp.asarray(np.random.default_rng(3).normal(size=shape), jnp.float32)
  x_t, _ = probe.noisy_state(model, KEY, audio, T)
  difference = probe.attacked(model, x_t, T, delta) - model.reconstruct(x_t, T)
  np.testing.assert_allclose(degradation(delta), np.mean(difference**2), rtol=1e-5)
  exact = np.mean((response(model) @ np.asarray(delta)) ** 2)
  np.testing.assert_allclose(degradation(delta), exact, rtol=1e-4)


def test_tau_is_the_quantile():
  degradations = np.arange(101.0)
  assert probe.calibrate_tau(degradations, 0.95) == pytest.approx(95.0)


@pytest.mark.parametrize("name", ["rms", "l2", "linf"])
def test_norms(name):
  norm = norms.get(name)
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(5, 7)), jnp.float32)
  order = np.inf if name == "linf" else 2
  expected = np.linalg.norm(np.ravel(x), order)
  expected /= np.sqrt(x.size) if name == "rms" else 1
  np.testing.assert_allclose(norm.size(x), expected, rtol=1e-6)
  np.testing.assert_allclose(norm.size(norm.steepest(x)), 1, rtol=1e-5)
  np.testing.assert_allclose(norm.size(norm.project(x, 0.1)), 0.1, rtol=1e-4)
  np.testing.assert_array_equal(norm.project(0.01 * x, 10.0), 0.01 * x)
  # No unit vector climbs faster than the steepest: compare with random ones.
  others = jnp.asarray(rng.normal(size=(200, 5, 7)), jnp.float32)
  slopes = jax.vmap(lambda o: jnp.vdot(x, o / norm.size(o)))(others)
  assert jnp.vdot(x, norm.steepest(x)) >= slopes.max()
  assert np.all(np.isfinite(norm.steepest(jnp.zeros((3, 3)))))
  keys = jax.vmap(jax.random.key)(jnp.arange(400))
  sizes = jax.vmap(lambda key: norm.size(norm.sample(key, (2,))))(keys)
  assert sizes.max() <= 1 + 1e-6
  # Uniform in the ball of a plane: half of it lies within 1/sqrt(2) of the centre.
  assert np.mean(np.asarray(sizes) < 0.5**0.5) == pytest.approx(0.5, abs=0.08)


def test_unknown_norm():
  with pytest.raises(SettingError, match=r"search\.norm=l3: known: rms, l2, linf"):
    norms.get("l3")


@pytest.mark.parametrize("field", ["halvings", "ascent_steps", "restarts"])
def test_bad_settings_are_named(field):
  with pytest.raises(SettingError, match=rf"search\.bisection\.{field}=0: "):
    Bisection(**{field: 0})
