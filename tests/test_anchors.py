"""The probe anchored at the clip: closed forms, every search, and what lies at rest."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear import SAMPLES, Linear, MeanSquare, T, linear_model

from lsaprobe_jax import probe
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import read_costs, read_degradations

KEY = jax.random.key(0)
# The denoiser c I answers to every direction alike.
GAIN = 0.6


@pytest.fixture(scope="module")
def model():
  return linear_model(GAIN * np.eye(SAMPLES))


@pytest.fixture(scope="module")
def audio():
  return jnp.asarray(np.random.default_rng(1).normal(size=SAMPLES), jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def probed(search, model, audio, tau):
  return probe.probe(model, MeanSquare(), search, KEY, audio, T, tau, "clip")


@pytest.fixture(scope="module")
def exact(model, audio):
  """The rms of the error at rest, and what a unit of delta~ adds to it at worst.

  D = mean (r - a delta)^2 with a scalar response a, so that the worst delta of rms eta
  points against r, and D = (rms r + a eta)^2.
  """
  noise = probe.clip_noise(KEY, audio.shape)
  signal, sigma = model.schedule.signal[T], model.schedule.noise[T]
  back = lambda x: np.asarray(model.reconstruct(x, T), np.float64)
  error = np.asarray(audio, np.float64) - back(signal * audio + sigma * noise)
  unit = float(sigma) * back(jnp.ones(SAMPLES))[0]
  return np.sqrt(np.mean(error**2)), unit


SEARCHES = {
  "continuation": dict(eta_max=2.0, rungs=40),
  "bisection": dict(eta_max=2.0, halvings=14, ascent_steps=40, step_size=2.0),
  "auto_pgd": dict(eta_max=2.0, halvings=10, ascent_steps=40),
  "minimum_norm": dict(eta_max=2.0, steps=80, step_size=2.0, shrink=0.1, start=0.25),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_finds_the_closed_form(model, audio, exact, name):
  rest, unit = exact
  search = searches.get(name, **SEARCHES[name])
  tau = np.float32((rest + 0.5 * unit) ** 2)
  found = probed(search, model, audio, tau)
  assert bool(found.reached)
  # An upper bound, and near: by a rung of the ladder in the case of continuation.
  assert 0.5 * (1 - 1e-3) <= float(found.cost) <= 0.5 * 1.1


@pytest.mark.parametrize("name", SEARCHES)
def test_beyond_tau_at_rest_the_cost_is_zero_and_ranks_by_the_margin(
  model, audio, exact, name
):
  rest, _ = exact
  search = searches.get(name, **SEARCHES[name])
  ranks = []
  for share in (0.25, 0.5, 0.999):
    tau = np.float32(share * rest**2)
    found = probed(search, model, audio, tau)
    assert bool(found.reached)
    assert float(found.cost) == 0
    ranks.append(float(found.rank))
    assert ranks[-1] == pytest.approx(1 - 1 / share, rel=1e-3, abs=1e-3)
  assert ranks[0] < ranks[1] < ranks[2] < 0


def test_the_curve_starts_at_the_error_of_the_reconstruction(model, audio, exact):
  rest, unit = exact
  search = searches.get("continuation", eta_max=2.0, rungs=8)
  curve = jax.jit(
    lambda: probe.degradation_curve(
      model, MeanSquare(), search, KEY, audio, T, anchor="clip"
    )
  )()
  assert float(curve.rest) == pytest.approx(rest**2, rel=1e-5)
  budgets = np.asarray(curve.budgets, np.float64)
  np.testing.assert_allclose(curve.worst, (rest + unit * budgets) ** 2, rtol=1e-3)
  # Between rest and the first rung lies a straight line.
  first = budgets[0]
  half = (rest**2 + (rest + unit * first) ** 2) / 2
  rows = np.asarray(curve.budgets)[None], np.asarray(curve.degradations)[None]
  at_rest = np.asarray(curve.rest)[None]
  (read,) = read_degradations(*rows, first / 2, at_rest)
  assert read == pytest.approx(half, rel=1e-3)
  for tau in (0.5 * rest**2, (rest + 0.5 * unit) ** 2, 1e3):
    (found,) = read_costs(*rows, tau, rest=at_rest)
    direct = curve.search_result(np.float32(tau))
    assert found["score"] == pytest.approx(float(direct.rank), rel=1e-5)
    assert found["reached"] == bool(direct.reached)


class Lossy(Linear):
  """An autoencoder that drops the second half of the clip, around a denoiser."""

  def encode(self, audio):
    return audio[: SAMPLES // 2]

  def decode(self, x_0):
    return jnp.concatenate([x_0, jnp.zeros(SAMPLES // 2)])

  def reconstruct(self, x_t, t):
    return self.decode(super().reconstruct(x_t, t))


def test_what_the_autoencoder_loses_is_no_part_of_d(audio):
  matrix = jnp.asarray(GAIN * np.eye(SAMPLES // 2), jnp.float32)
  within = Linear(matrix=matrix, schedule=linear_model(matrix).schedule)
  around = Lossy(matrix=matrix, schedule=within.schedule)
  search = searches.get("continuation", eta_max=2.0, rungs=8)
  curve = jax.jit(
    lambda model, audio: probe.degradation_curve(
      model, MeanSquare(), search, KEY, audio, T, anchor="clip"
    )
  )
  inner = curve(within, audio[: SAMPLES // 2])
  outer = curve(around, audio)
  # The dropped half is as silent on both sides, and halves the mean square.
  assert float(outer.rest) == pytest.approx(float(inner.rest) / 2, rel=1e-5)
  np.testing.assert_allclose(outer.worst, inner.worst / 2, rtol=1e-3)


def test_at_the_reconstruction_nothing_lies_at_rest(model, audio):
  search = searches.get("continuation", eta_max=2.0, rungs=8)
  curve = jax.jit(
    lambda: probe.degradation_curve(model, MeanSquare(), search, KEY, audio, T)
  )()
  assert float(curve.rest) == 0
  with_rest = curve.replace(rest=jnp.float32(0.0)).search_result(np.float32(0.01))
  assert float(with_rest.rank) == float(curve.search_result(np.float32(0.01)).rank)


def test_the_worst_within_a_budget_is_no_less_than_at_rest(model, audio, exact):
  rest, unit = exact
  search = searches.get("bisection", ascent_steps=80, step_size=2.0, min_gain=-1.0)
  found = jax.jit(
    lambda eta: probe.max_degradation(
      model, MeanSquare(), search, KEY, audio, T, eta, "clip"
    )
  )
  assert float(found(1e-6).degradation) == pytest.approx(rest**2, rel=1e-4)
  assert float(found(0.5).degradation) == pytest.approx(
    (rest + 0.5 * unit) ** 2, rel=0.01
  )


@pytest.mark.parametrize("rest", [[np.nan], [0.1, 0.2]])
def test_a_rest_that_is_none_is_refused(rest):
  with pytest.raises(ValueError, match="rest: D at no perturbation"):
    read_costs([[0.1, 0.2]], [[1.0, 2.0]], 1.0, rest=rest)
