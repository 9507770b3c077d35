"""The searches beside the paper's, against the closed form of a linear denoiser."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear import (
  SAMPLES,
  MeanSquare,
  T,
  diagonal,
  gain,
  quadratic,
  random_symmetric,
  response,
)

from lsaprobe_jax import probe, search
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.search import auto_pgd
from lsaprobe_jax.search.bisection import Bisection
from lsaprobe_jax.search.continuation import Continuation, Curve

TAU = np.float32(0.02)
NAMES = ("continuation", "minimum_norm", "auto_pgd")
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def matrix():
  return jnp.asarray(response(random_symmetric()), jnp.float32)


@pytest.fixture(scope="module")
def exact():
  """C_adv in rms units."""
  return np.sqrt(TAU) / gain(random_symmetric())


# Compiled once for all tests of a search that has the same settings.
@functools.partial(jax.jit, static_argnums=0)
def searched(found_by, matrix, tau, key):
  return found_by(functools.partial(quadratic, matrix), key, (SAMPLES,), tau)


def scored(found_by, matrix, tau=TAU):
  return searched(found_by, matrix, tau, KEY)


@functools.partial(jax.jit, static_argnums=0)
def worst(found_by, matrix, eta):
  degradation = functools.partial(quadratic, matrix)
  return found_by.worst(degradation, KEY, (SAMPLES,), eta, jnp.inf)


@functools.partial(jax.jit, static_argnums=0)
def curve(found_by, matrix):
  return found_by.curve(functools.partial(quadratic, matrix), KEY, (SAMPLES,))


@functools.cache
def ladder(name):
  """A search up to 2.3 times the exact cost."""
  return search.get(name, eta_max=2.3 * np.sqrt(TAU) / gain(random_symmetric()))


@pytest.mark.parametrize(
  # Continuation can be no finer than its ladder.
  ("name", "within"),
  [("continuation", 16 ** (1 / 15) * 1.01), ("minimum_norm", 1.01), ("auto_pgd", 1.03)],
)
def test_cost_is_an_upper_bound_near_the_closed_form(matrix, exact, name, within):
  found = scored(ladder(name), matrix)
  assert bool(found.reached)
  assert exact * (1 - 1e-4) <= found.cost <= exact * within
  assert exact * 0.98 <= found.rank <= exact * 1.03


def test_the_probe_of_a_model_is_the_search_of_its_response(matrix):
  audio = jnp.asarray(np.random.default_rng(2).normal(size=SAMPLES), jnp.float32)
  of_model = jax.jit(
    lambda model: probe.probe(
      model, MeanSquare(), ladder("continuation"), KEY, audio, T, TAU
    )
  )(random_symmetric())
  # The probe's search has a key of its own, so that starts differ.
  of_matrix = scored(ladder("continuation"), matrix)
  np.testing.assert_allclose(of_model.cost, of_matrix.cost, rtol=1e-5)
  np.testing.assert_allclose(of_model.rank, of_matrix.rank, rtol=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_worst_is_the_closed_form(matrix, exact, name):
  found = worst(ladder(name), matrix, exact)
  assert TAU * 0.98 <= found.degradation <= TAU * (1 + 1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_linf(name):
  matrix = response(diagonal())
  exact = np.sqrt(TAU / np.mean(np.diag(matrix) ** 2))
  found_by = search.get(name, eta_max=2.3 * exact, norm="linf")
  found = scored(found_by, jnp.asarray(matrix, jnp.float32))
  assert exact * (1 - 1e-4) <= found.cost <= exact * 1.21


@pytest.mark.parametrize("name", NAMES)
def test_an_unreached_target_is_censored(matrix, exact, name):
  # D grows with the square of the budget: half the exact cost is all that is allowed.
  tau = np.float32(TAU * (2.3 / 0.5) ** 2)
  near, far = (scored(ladder(name), matrix, t) for t in (tau, np.float32(2) * tau))
  for found in (near, far):
    assert not bool(found.reached)
    assert np.isnan(found.cost)
    assert found.margin > 0
    assert found.rank > 2.3 * exact * (1 - 1e-5)
  assert far.rank > near.rank


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_equals_single_examples(matrix, name):
  # Each has another loudness, so that some are found earlier.
  matrices = matrix * jnp.array([1.0, 0.8, 0.3])[:, None, None]
  keys = jax.random.split(KEY, 3)
  one = functools.partial(searched, ladder(name))
  batch = jax.jit(jax.vmap(one, (0, None, 0)))(matrices, TAU, keys)
  single = [one(m, TAU, key) for m, key in zip(matrices, keys, strict=True)]
  assert len({bool(s.reached) for s in single}) == 2
  np.testing.assert_allclose(batch.rank, [s.rank for s in single], rtol=1e-4)
  np.testing.assert_allclose(batch.cost, [s.cost for s in single], rtol=1e-4)
  np.testing.assert_array_equal(batch.gradients, [int(s.gradients) for s in single])


@pytest.mark.parametrize("name", NAMES)
def test_a_flat_degradation_is_survived(name):
  found = scored(ladder(name), jnp.zeros((SAMPLES, SAMPLES)))
  assert not bool(found.reached)
  assert np.isfinite(found.rank)
  assert np.isfinite(found.margin)


def test_below_the_ladder_budgets_still_tell_examples_apart(matrix):
  climbed = curve(ladder("continuation"), matrix)
  first = float(climbed.budgets[0])
  read = jax.jit(climbed.search_result)
  found = [read(TAU * f, first / 2) for f in (1.0, 2.0)]
  assert not any(bool(one.reached) for one in found)
  assert first / 2 < found[0].rank < found[1].rank
  edge = read(TAU, first)
  assert abs(found[0].margin - (TAU - climbed.degradation_at(first / 2))) < 1e-7
  assert edge.rank > first


def test_continuation_beats_the_papers_search_at_a_twentieth_of_its_gradients(
  matrix, exact
):
  fast = scored(ladder("continuation"), matrix)
  papers = scored(Bisection(eta_max=2.3 * exact, min_gain=-1.0), matrix)
  assert fast.rank < papers.cost
  assert fast.gradients + fast.values <= 35 <= papers.gradients


def test_one_curve_gives_every_tau_and_eta_max(matrix, exact):
  taus = TAU * np.geomspace(1e-3, 4, 9)
  limits = exact * np.array([0.5, 1.5, 2.3])
  climbed = curve(ladder("continuation"), matrix)
  read = jax.jit(lambda tau, limit: climbed.search_result(tau, limit))
  table = read(taus[:, None], limits)
  assert table.cost.shape == table.rank.shape == (9, 3)
  budgets, most = np.asarray(climbed.budgets), np.asarray(climbed.worst)
  for i, tau in enumerate(taus):
    for j, limit in enumerate(limits):
      one = read(tau, limit)
      np.testing.assert_array_equal(table.cost[i, j], one.cost)
      np.testing.assert_allclose(table.rank[i, j], one.rank, rtol=1e-6)
      # Reached where the curve says so within the limit, at the first such budget.
      inside = budgets <= limit * (1 + 1e-6)
      hits = budgets[inside & (most >= tau)]
      assert bool(one.reached) == (len(hits) > 0)
      if len(hits):
        assert one.cost == hits[0]
  # Never less stable as tau rises.
  assert np.all(np.diff(np.asarray(table.rank), axis=0) > 0)


def test_the_rungs_are_what_was_seen_there():
  seen = Curve(
    budgets=jnp.array([0.1, 0.2, 0.4]),
    degradations=jnp.array([1.0, 0.5, 3.0]),
    values=jnp.int32(1),
    gradients=jnp.int32(6),
    history=jnp.array([[1.0], [0.5], [3.0]]),
  )
  found = seen.search_result(jnp.array([0.5, 1.0, 2.0, 6.0]))
  # 0.5 lies below the first rung, whose D falls to 0 at no perturbation.
  np.testing.assert_allclose(found.cost, [0.1, 0.1, 0.4, np.nan])
  np.testing.assert_allclose(found.rank, [0.05, 0.1, 0.3, 0.6], rtol=1e-6)
  np.testing.assert_allclose(found.margin, [-2.5, -2.0, -1.0, 3.0])
  np.testing.assert_array_equal(found.reached, [True, True, True, False])
  assert found.descents == 1


def test_continuation_has_no_branch_that_data_decide():
  run = lambda model, clip: probe.probe(
    model, MeanSquare(), Continuation(), KEY, clip, T, TAU
  )
  jaxpr = str(jax.make_jaxpr(run)(random_symmetric(), jnp.zeros(SAMPLES)))
  assert "cond[" not in jaxpr
  assert "while[" not in jaxpr


def test_restarts_never_find_less(matrix):
  short = Continuation(rungs=2, steps=1, warmup=0)
  once = curve(short, matrix)
  more = curve(dataclasses.replace(short, restarts=8), matrix)
  assert more.gradients == 8 * once.gradients
  assert more.degradations[0] > once.degradations[0]


def test_auto_pgd_reviews_where_the_paper_does():
  # Section 3: shares 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99.
  expected = [22, 41, 57, 70, 80, 87, 93, 99]
  assert auto_pgd.checkpoints(100).tolist() == expected


@pytest.mark.parametrize(
  ("name", "settings", "match"),
  [
    ("magic", {}, "name=magic: known: bisection, continuation, minimum_norm, auto_pgd"),
    ("continuation", {"halvings": 3}, "continuation: .*halvings"),
    (
      "continuation",
      {"rungs": 1},
      "search.continuation.rungs=1: it must be at least 2",
    ),
    ("continuation", {"span": 1.0}, "search.continuation.span=1.0: it must be above 1"),
    ("continuation", {"warmup": -1}, "continuation.warmup=-1: it must be at least 0"),
    ("continuation", {"norm": "l3"}, "rms, l2, linf"),
    ("continuation", {"eta_max": 0.0}, "search.eta_max=0.0: it must be positive"),
    ("continuation", {"span": float("nan")}, "span=nan: it must be above 1"),
    (
      "bisection",
      {"restarts": 0},
      "search.bisection.restarts=0: it must be at least 1",
    ),
    ("random_directions", {"draws": 0}, "directions.draws=0: it must be at least 1"),
    ("auto_pgd", {"halvings": 0}, "search.auto_pgd.halvings=0: it must be at least 1"),
    ("minimum_norm", {"steps": 0}, "search.minimum_norm.steps=0: it must be positive"),
  ],
)
def test_bad_settings_are_named(name, settings, match):
  with pytest.raises(SettingError, match=match):
    search.get(name, **settings)


def test_random_directions_reach_tau_at_the_closed_form_of_their_mean(matrix):
  # E |eta J u|^2 / d over unit u is eta^2 |J|_F^2 / d, rms being the norm.
  exact = np.sqrt(TAU * SAMPLES / np.sum(np.square(matrix)))
  random = search.get("random_directions", eta_max=2 * exact, rungs=30, draws=2000)
  found = scored(random, matrix)
  assert abs(found.rank / exact - 1) < 0.02
  assert (int(found.values), int(found.gradients)) == (60_000, 0)
  assert abs(worst(random, matrix, exact).degradation / TAU - 1) < 0.04


@pytest.mark.parametrize(
  "settings", [{"eta_max": 0}, {"span": 1}, {"rungs": 1}, {"draws": 0}, {"norm": "l3"}]
)
def test_random_directions_refuse_bad_settings(settings):
  with pytest.raises(SettingError, match=next(iter(settings))):
    search.get("random_directions", **settings)


@pytest.mark.parametrize("name", ["bisection", *NAMES])
def test_the_history_holds_every_step_and_its_largest_is_the_budgets(matrix, name):
  found = scored(ladder(name), matrix)
  tried = ~np.isnan(found.budgets)
  largest = np.nanmax(np.asarray(found.history)[tried], axis=1)
  np.testing.assert_allclose(largest, np.asarray(found.degradations)[tried], rtol=1e-6)
  looked_at = int(np.sum(~np.isnan(found.history)))
  assert looked_at == int(found.values + found.gradients)


@pytest.mark.parametrize("name", ["bisection", *NAMES])
def test_the_delta_of_an_ascent_does_the_degradation_it_says(matrix, exact, name):
  found = worst(ladder(name), matrix, exact)
  degradation = float(quadratic(matrix, found.delta))
  assert degradation == pytest.approx(float(found.degradation), rel=1e-4)
  assert np.sqrt(np.mean(np.square(found.delta))) <= exact * (1 + 1e-5)


def test_a_search_of_ones_own_passes_or_is_registered(monkeypatch):
  class Mine(Continuation):
    pass

  monkeypatch.setattr(search, "_ADDED", {})
  mine = Mine(rungs=3)
  assert search.get(mine) is mine
  search.register("mine", Mine)
  assert search.get("mine", rungs=3) == mine
  assert search.names()[-1] == "mine"
  assert search.gives_curves(mine)
  with pytest.raises(SettingError, match=r"search\.mine: .*'magic'"):
    search.get("mine", magic=1)


@pytest.mark.parametrize(
  ("given", "settings", "match"),
  [
    (object(), {}, "search=object: it has to be a name, or a search.Search"),
    (Continuation, {}, "search=type: "),
    (Continuation(), {"rungs": 3}, r"search=Continuation has .* got \['rungs'\]"),
  ],
)
def test_what_is_no_search_is_refused(given, settings, match):
  with pytest.raises(ArgumentError, match=match):
    search.get(given, **settings)


def test_the_librarys_own_names_stay():
  with pytest.raises(ArgumentError, match="name=bisection is one of the library's own"):
    search.register("bisection", Continuation)
