"""The searches beside the paper's, against the closed form of a linear denoiser."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear import SAMPLES, LinearGenerator, MeanSquare, T, gain, random_symmetric

from lsaprobe_jax import probe, search
from lsaprobe_jax.search import auto_pgd
from lsaprobe_jax.search.bisection import Bisection
from lsaprobe_jax.search.continuation import Continuation, Curve

TAU = 0.02
NAMES = ("continuation", "minimum_norm", "auto_pgd")


@pytest.fixture(scope="module")
def generator():
  return random_symmetric()


@pytest.fixture(scope="module")
def exact(generator):
  """C_adv in rms units."""
  return np.sqrt(TAU) / gain(generator)


def clips(count):
  rng = np.random.default_rng(2)
  return jnp.asarray(rng.normal(size=(count, SAMPLES)), jnp.float32)


def scored(generator, found_by, tau=TAU, seed=0):
  args = (generator, MeanSquare(), found_by, jax.random.key(seed), clips(1)[0], T)
  return jax.jit(lambda tau: probe.probe(*args, tau))(tau)


@pytest.mark.parametrize(
  # Continuation can be no finer than its ladder.
  ("name", "within"),
  [("continuation", 16 ** (1 / 15) * 1.01), ("minimum_norm", 1.01), ("auto_pgd", 1.03)],
)
def test_cost_is_an_upper_bound_near_the_closed_form(generator, exact, name, within):
  found = scored(generator, search.get(name, eta_max=2.3 * exact))
  assert bool(found.reached)
  assert exact * (1 - 1e-4) <= found.cost <= exact * within
  assert exact * 0.98 <= found.rank <= exact * 1.03


@pytest.mark.parametrize("name", NAMES)
def test_max_degradation_is_the_closed_form(generator, exact, name):
  found = probe.max_degradation(
    generator, MeanSquare(), search.get(name), jax.random.key(0), clips(1)[0], T, exact
  )
  assert TAU * 0.98 <= found.degradation <= TAU * (1 + 1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_linf(name):
  diagonal = LinearGenerator(jnp.diag(jnp.linspace(0.05, 0.95, SAMPLES)))
  response = np.diag(diagonal.jacobian()) * float(diagonal.schedule.noise[T])
  exact = np.sqrt(TAU / np.mean(response**2))
  found = scored(diagonal, search.get(name, eta_max=2.3 * exact, norm="linf"))
  assert exact * (1 - 1e-4) <= found.cost <= exact * 1.21


@pytest.mark.parametrize("name", NAMES)
def test_an_unreached_target_is_censored(generator, exact, name):
  near, far = (
    scored(generator, search.get(name, eta_max=0.5 * exact), tau)
    for tau in (TAU, 2 * TAU)
  )
  for found in (near, far):
    assert not bool(found.reached)
    assert np.isnan(found.cost)
    assert found.margin > 0
    assert found.rank > 0.5 * exact * (1 - 1e-5)
  assert far.rank > near.rank


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_single_examples(generator, exact, name):
  found_by = search.get(name, eta_max=2.3 * exact)

  def one(clip, number):
    key = jax.random.fold_in(jax.random.key(0), number)
    return probe.probe(generator, MeanSquare(), found_by, key, clip, T, TAU)

  batch = jax.jit(jax.vmap(one))(clips(3), jnp.arange(3))
  single = [jax.jit(one)(clip, n) for n, clip in enumerate(clips(3))]
  np.testing.assert_allclose(batch.rank, [s.rank for s in single], rtol=1e-4)
  np.testing.assert_allclose(batch.cost, [s.cost for s in single], rtol=1e-4)
  np.testing.assert_array_equal(batch.gradients, [int(s.gradients) for s in single])


@pytest.mark.parametrize("name", NAMES)
def test_a_flat_degradation_is_survived(name):
  found = search.get(name)(
    lambda delta: 0.0 * jnp.sum(delta), jax.random.key(0), (SAMPLES,), TAU
  )
  assert not bool(found.reached)
  assert np.isfinite(found.rank)
  assert np.isfinite(found.margin)


def test_continuation_beats_the_papers_search_at_a_twentieth_of_its_gradients(
  generator, exact
):
  fast = scored(generator, Continuation(eta_max=2.3 * exact))
  papers = scored(generator, Bisection(eta_max=2.3 * exact, min_gain=-1.0))
  assert fast.rank < papers.cost
  assert fast.gradients + fast.values <= 35 <= papers.gradients


def test_one_curve_gives_every_tau_and_eta_max(generator, exact):
  taus = TAU * np.geomspace(1e-3, 4, 9)
  limits = exact * np.array([0.5, 1.5, 2.3])
  found_by = Continuation(eta_max=2.3 * exact)
  degradation, shape = probe.make_degradation(
    generator, MeanSquare(), jax.random.key(0), clips(1)[0], T
  )
  curve = jax.jit(lambda: found_by.curve(degradation, jax.random.key(1), shape))()
  read = jax.jit(lambda tau, limit: curve.search_result(tau, limit))
  table = read(taus[:, None], limits)
  assert table.cost.shape == table.rank.shape == (9, 3)
  for i, tau in enumerate(taus):
    for j, limit in enumerate(limits):
      one = read(tau, limit)
      np.testing.assert_array_equal(table.cost[i, j], one.cost)
      np.testing.assert_allclose(table.rank[i, j], one.rank, rtol=1e-6)
      # Reached where the curve says so within the limit, at the first such budget.
      inside = np.asarray(curve.budgets) <= limit * (1 + 1e-6)
      hits = curve.budgets[inside & (np.asarray(curve.worst) >= tau)]
      assert bool(one.reached) == (len(hits) > 0)
      if len(hits):
        assert one.cost == hits[0]
  # Never less stable as tau rises.
  assert np.all(np.diff(np.asarray(table.rank), axis=0) > 0)


def test_the_rungs_are_what_was_seen_there():
  curve = Curve(
    budgets=jnp.array([0.1, 0.2, 0.4]),
    degradations=jnp.array([1.0, 0.5, 3.0]),
    values=jnp.int32(1),
    gradients=jnp.int32(6),
    history=jnp.array([[1.0], [0.5], [3.0]]),
  )
  found = curve.search_result(jnp.array([0.5, 1.0, 2.0, 6.0]))
  # 0.5 lies below the first rung, whose D falls to 0 at no perturbation.
  np.testing.assert_allclose(found.cost, [0.1, 0.1, 0.4, np.nan])
  np.testing.assert_allclose(found.rank, [0.05, 0.1, 0.3, 0.6], rtol=1e-6)
  np.testing.assert_allclose(found.margin, [-2.5, -2.0, -1.0, 3.0])
  np.testing.assert_array_equal(found.reached, [True, True, True, False])
  assert found.descents == 1


def test_continuation_has_no_branch_that_data_decide(generator):
  run = lambda clip: probe.probe(
    generator, MeanSquare(), Continuation(), jax.random.key(0), clip, T, TAU
  )
  jaxpr = str(jax.make_jaxpr(run)(clips(1)[0]))
  assert "cond[" not in jaxpr
  assert "while[" not in jaxpr


def test_restarts_never_find_less(generator):
  args = (generator, MeanSquare())
  degradation, shape = probe.make_degradation(*args, jax.random.key(0), clips(1)[0], T)
  short = Continuation(rungs=2, steps=1, warmup=0)
  once = short.curve(degradation, jax.random.key(1), shape)
  more = dataclasses.replace(short, restarts=8)
  thrice = more.curve(degradation, jax.random.key(1), shape)
  assert thrice.gradients == 8 * once.gradients
  assert thrice.degradations[0] > once.degradations[0]


def test_auto_pgd_reviews_where_the_paper_does():
  # Section 3: shares 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99.
  expected = [22, 41, 57, 70, 80, 87, 93, 99]
  assert auto_pgd.checkpoints(100).tolist() == expected


@pytest.mark.parametrize(
  ("name", "settings", "match"),
  [
    ("magic", {}, "'magic'; known: bisection, continuation, minimum_norm, auto_pgd"),
    ("continuation", {"halvings": 3}, "continuation: .*halvings"),
    ("continuation", {"rungs": 1}, "search.rungs must be at least 2"),
    ("continuation", {"span": 1.0}, "search.span must be above 1"),
    ("continuation", {"warmup": -1}, "search.warmup must be at least 0"),
    ("continuation", {"norm": "l3"}, "rms, l2, linf"),
    ("continuation", {"eta_max": 0.0}, "search.eta_max must be positive"),
    ("continuation", {"span": float("nan")}, "search.span must be above 1, got nan"),
    ("bisection", {"restarts": 0}, "search.restarts must be at least 1"),
    ("random_directions", {"draws": 0}, "search.draws must be at least 1"),
    ("minimum_norm", {"steps": 0}, "search.steps must be positive"),
  ],
)
def test_bad_settings_are_named(name, settings, match):
  with pytest.raises(ValueError, match=match):
    search.get(name, **settings)


def test_random_directions_reach_tau_at_the_closed_form_of_their_mean(generator):
  # E |eta J u|^2 / d over unit u is eta^2 |J|_F^2 / d, rms being the norm.
  response = np.asarray(generator.jacobian()) * float(generator.schedule.noise[T])
  exact = np.sqrt(TAU * SAMPLES / np.sum(np.square(response)))
  random = search.get("random_directions", eta_max=2 * exact, rungs=30, draws=2000)
  found = scored(generator, random)
  assert abs(found.rank / exact - 1) < 0.02
  assert (int(found.values), int(found.gradients)) == (60_000, 0)
  args = (generator, MeanSquare(), random, jax.random.key(0), clips(1)[0], T)
  assert abs(probe.max_degradation(*args, exact).degradation / TAU - 1) < 0.04


@pytest.mark.parametrize(
  "settings", [{"eta_max": 0}, {"span": 1}, {"rungs": 1}, {"draws": 0}, {"norm": "l3"}]
)
def test_random_directions_refuse_bad_settings(settings):
  with pytest.raises(ValueError, match=next(iter(settings))):
    search.get("random_directions", **settings)


@pytest.mark.parametrize("name", ["bisection", *NAMES])
def test_the_history_holds_every_step_and_its_largest_is_the_budgets(generator, name):
  found = scored(generator, search.get(name, eta_max=0.8))
  tried = ~np.isnan(found.budgets)
  largest = np.nanmax(np.asarray(found.history)[tried], axis=1)
  np.testing.assert_allclose(largest, np.asarray(found.degradations)[tried], rtol=1e-6)
  looked_at = int(np.sum(~np.isnan(found.history)))
  assert looked_at == int(found.values + found.gradients)


@pytest.mark.parametrize("name", ["bisection", *NAMES])
def test_the_delta_of_an_ascent_does_the_degradation_it_says(generator, exact, name):
  args = (generator, MeanSquare(), jax.random.key(0), clips(1)[0], T)
  found = probe.max_degradation(*args[:2], search.get(name), *args[2:], exact)
  degradation, _ = probe.make_degradation(*args)
  assert degradation(found.delta) == pytest.approx(float(found.degradation), rel=1e-4)
  assert np.sqrt(np.mean(np.square(found.delta))) <= exact * (1 + 1e-5)
