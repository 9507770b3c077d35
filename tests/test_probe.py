"""The probe against closed forms: a linear denoiser and the waveform distance."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear import SAMPLES, LinearGenerator, MeanSquare, T, random_symmetric

from lsaprobe_jax import probe
from lsaprobe_jax.search import norms
from lsaprobe_jax.search.bisection import Bisection

THOROUGH = Bisection(
  eta_max=1.0, halvings=14, ascent_steps=80, step_size=2.0, restarts=2, min_gain=-1.0
)


@pytest.fixture(scope="module")
def generator():
  return random_symmetric()


@pytest.fixture(scope="module")
def audio():
  return jnp.asarray(np.random.default_rng(1).normal(size=SAMPLES), jnp.float32)


def run(generator, search, audio, tau, seed=0):
  key = jax.random.key(seed)
  args = (generator, MeanSquare(), search, key, audio, T)
  return jax.jit(lambda tau: probe.probe(*args, tau))(tau)


@pytest.mark.parametrize("norm", ["rms", "l2"])
def test_cost_is_the_closed_form(generator, audio, norm):
  # D = ||sigma J delta||^2 / d, so the smallest budget is sqrt(tau d) / (sigma |J|),
  # in rms units sqrt(tau) / (sigma |J|), with |J| the spectral norm.
  tau = 0.02
  gain = np.linalg.norm(generator.jacobian(), 2) * float(generator.schedule.noise[T])
  exact = np.sqrt(tau) / gain * (1 if norm == "rms" else np.sqrt(SAMPLES))
  search = dataclasses.replace(THOROUGH, norm=norm, eta_max=2.3 * exact)
  found = run(generator, search, audio, tau)
  assert bool(found.reached)
  # Never below: what a search finds is an upper bound.
  assert exact * (1 - 1e-4) <= found.cost <= exact * 1.01


def test_cost_in_linf_is_the_closed_form(generator, audio):
  # For a diagonal response every sample is pushed to the bound alike.
  diagonal = LinearGenerator(jnp.diag(jnp.linspace(0.05, 0.95, SAMPLES)))
  tau = 0.02
  response = np.diag(diagonal.jacobian()) * float(diagonal.schedule.noise[T])
  exact = np.sqrt(tau / np.mean(response**2))
  search = dataclasses.replace(THOROUGH, norm="linf", eta_max=2.3 * exact)
  found = run(diagonal, search, audio, tau)
  assert exact * (1 - 1e-4) <= found.cost <= exact * 1.01


def test_the_papers_settings_beat_random_directions(generator, audio):
  # Twelve steps from random starts leave the closed form far off even on a quadratic:
  # a bound, not the cost. Without a search, a random direction needs more.
  tau = 0.02
  jacobian, sigma = generator.jacobian(), float(generator.schedule.noise[T])
  exact = np.sqrt(tau) / (sigma * np.linalg.norm(jacobian, 2))
  at_random = np.sqrt(tau * SAMPLES) / (sigma * np.linalg.norm(jacobian))
  found = run(generator, Bisection(eta_max=2.3 * exact), audio, tau)
  assert exact * (1 - 1e-4) <= found.cost < at_random


def test_the_witness_is_real(generator, audio):
  # A budget reported as reached has a perturbation of that size which reaches tau.
  found = run(generator, THOROUGH, audio, 0.02)
  hits = np.asarray(found.budgets)[np.asarray(found.degradations) >= 0.02]
  assert np.isclose(hits.min(), found.cost)
  assert (
    np.asarray(found.budgets)[np.asarray(found.degradations) < 0.02].max() < found.cost
  )


def test_cost_never_falls_as_tau_rises(generator, audio):
  taus = np.geomspace(1e-4, 0.3, 12)
  search = dataclasses.replace(THOROUGH, ascent_steps=20)
  found = [run(generator, search, audio, float(tau)) for tau in taus]
  ranks = np.array([float(f.rank) for f in found])
  costs = np.array([float(f.cost) for f in found if bool(f.reached)])
  assert np.all(np.diff(costs) >= 0)
  assert len(costs) > 4
  assert np.all(np.diff(ranks) > 0)


def test_an_unreached_target_is_censored_and_ranked_by_its_margin(generator, audio):
  search = dataclasses.replace(THOROUGH, eta_max=0.05, ascent_steps=20)
  near, far = (run(generator, search, audio, tau) for tau in (0.02, 0.04))
  for found in (near, far):
    assert not bool(found.reached)
    assert np.isnan(found.cost)
    assert found.margin > 0
    assert found.rank > search.eta_max
    # Nothing is left to halve after the trial at eta_max.
    assert np.isfinite(found.budgets).tolist() == [True] + [False] * search.halvings
  assert far.rank > near.rank


def test_a_batch_equals_single_examples_in_any_order(generator):
  clips = jnp.asarray(np.random.default_rng(2).normal(size=(6, SAMPLES)), jnp.float32)
  search = Bisection(eta_max=0.6, halvings=8, ascent_steps=8, restarts=2)

  def one(clip, number):
    key = jax.random.fold_in(jax.random.key(0), number)
    return probe.probe(generator, MeanSquare(), search, key, clip, T, 0.02)

  numbers = jnp.arange(6)
  single = [jax.jit(one)(clip, n) for clip, n in zip(clips, numbers, strict=True)]
  batch = jax.jit(jax.vmap(one))(clips, numbers)
  order = np.array([3, 0, 5, 5, 5, 1])  # another order, and padding
  other = jax.jit(jax.vmap(one))(clips[order], numbers[order])
  np.testing.assert_allclose(batch.cost, [s.cost for s in single], rtol=1e-5)
  np.testing.assert_allclose(batch.rank, [s.rank for s in single], rtol=1e-4)
  np.testing.assert_allclose(other.cost, batch.cost[order], rtol=1e-5)
  # Stopping early saves the same passes, whether or not the lane runs on.
  np.testing.assert_array_equal(batch.gradients, [int(s.gradients) for s in single])


def test_max_degradation_is_the_closed_form(generator, audio):
  eta = 0.3
  gain = np.linalg.norm(generator.jacobian(), 2) * float(generator.schedule.noise[T])
  found = probe.max_degradation(
    generator, MeanSquare(), THOROUGH, jax.random.key(0), audio, T, eta
  )
  assert found.degradation <= (gain * eta) ** 2 * (1 + 1e-4)
  assert found.degradation >= (gain * eta) ** 2 * 0.98


def test_random_degradation_is_the_mean_response(generator, audio):
  # E ||J u||^2 over random directions of unit rms is the squared Frobenius norm.
  eta = 0.3
  sigma = float(generator.schedule.noise[T])
  expected = (eta * sigma) ** 2 * np.sum(generator.jacobian() ** 2) / SAMPLES
  found = probe.random_degradation(
    generator, MeanSquare(), jax.random.key(0), audio, T, eta, draws=400
  )
  np.testing.assert_allclose(found, expected, rtol=0.05)


def test_noise_belongs_to_the_clips_key(generator):
  key = jax.random.key(3)
  first = probe.clip_noise(key, (8,))
  np.testing.assert_array_equal(first, probe.clip_noise(key, (8,)))
  assert not np.allclose(first, probe.clip_noise(key, (8,), draw=1))
  assert not np.allclose(first, probe.clip_noise(jax.random.key(4), (8,)))


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
  slopes = [float(jnp.vdot(x, o / norm.size(o))) for o in others]
  assert float(jnp.vdot(x, norm.steepest(x))) >= max(slopes)
  assert np.all(np.isfinite(norm.steepest(jnp.zeros((3, 3)))))
  sizes = [float(norm.size(norm.sample(jax.random.key(i), (2,)))) for i in range(400)]
  assert max(sizes) <= 1 + 1e-6
  # Uniform in the ball of a plane: half of it lies within 1/sqrt(2) of the centre.
  assert np.mean(np.array(sizes) < 0.5**0.5) == pytest.approx(0.5, abs=0.08)


def test_unknown_norm():
  with pytest.raises(ValueError, match="rms, l2, linf"):
    norms.get("l3")


@pytest.mark.parametrize("field", ["eta_max", "halvings", "ascent_steps", "restarts"])
def test_bad_settings_are_named(field):
  with pytest.raises(ValueError, match=f"search.{field}"):
    Bisection(**{field: 0})
