"""Attacks against loops in plain Python, and their passes against a count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from naive import DISTANCE, SAMPLES, SEARCH, SEARCH_DRAW, STEPS, T, run

from lsaprobe_jax import parallel, probe
from lsaprobe_jax.attacks.loss import Loss
from lsaprobe_jax.attacks.lsa_probe import LSAProbe, MaxDegradation
from lsaprobe_jax.attacks.random_stability import RandomStability
from lsaprobe_jax.attacks.relative_degradation import RelativeDegradation


def test_loss_is_the_mean_squared_error_over_draws(model, audio, key, naive):
  found = run(Loss(draws=3), model, audio, key, t=4)
  errors = [
    np.sum((naive.eps(i) - naive.predict(naive.noised(4, i), 4)) ** 2) for i in range(3)
  ]
  np.testing.assert_allclose(found.score, -np.mean(errors), rtol=1e-5)
  assert found.reached is None
  assert np.isnan(found.cost)


def test_random_stability_is_the_mean_degradation_over_directions(
  model, audio, key, naive
):
  eta = 0.4
  attack = RandomStability(distance=DISTANCE, eta=eta, draws=3)
  found = run(attack, model, audio, key)
  degradations = naive.random_degradations(eta, 3)
  assert len(set(map(float, degradations))) == 3
  np.testing.assert_allclose(found.score, -np.mean(degradations), rtol=1e-4)


def test_max_degradation_is_the_loop(model, audio, key, naive):
  found = run(
    MaxDegradation(distance=DISTANCE, eta=0.3, search=SEARCH), model, audio, key
  )
  worst, values, gradients = naive.worst(
    jax.random.fold_in(key, SEARCH_DRAW), 0.3, np.inf
  )
  np.testing.assert_allclose(found.score, -worst, rtol=1e-4)
  assert found.nfe_forward == STEPS * (1 + values + 2 * gradients)
  assert found.nfe_backward == STEPS * gradients


def test_relative_degradation_is_worst_over_mean_random(model, audio, key, naive):
  eta, draws = 0.3, 3
  attack = RelativeDegradation(distance=DISTANCE, eta=eta, search=SEARCH, draws=draws)
  found = run(attack, model, audio, key)
  start = jax.random.fold_in(key, SEARCH_DRAW)
  worst, values, gradients = naive.worst(start, eta, np.inf)
  random = naive.random_degradations(eta, draws)
  np.testing.assert_allclose(found.score, np.log(np.mean(random) / worst), rtol=1e-3)
  np.testing.assert_allclose(found.details["worst"], worst, rtol=1e-4)
  np.testing.assert_allclose(found.details["random"], np.mean(random), rtol=1e-4)
  assert found.nfe_forward == STEPS * (2 + values + draws + 2 * gradients)
  assert found.nfe_backward == STEPS * gradients


def test_relative_degradation_is_0_where_nothing_can_be_felt(model, audio, key):
  class Deaf:
    def embed(self, audio):
      return 0 * audio

    compare = staticmethod(DISTANCE.compare)

  attack = RelativeDegradation(distance=Deaf(), eta=0.3, search=SEARCH)
  assert attack(model, key, audio, T).score == 0


@pytest.mark.parametrize("share", [0.05, 0.3, 3.0])
def test_lsa_probe_is_the_loop(model, audio, key, naive, share):
  at_most = naive.worst(jax.random.fold_in(key, SEARCH_DRAW), SEARCH.eta_max, np.inf)[0]
  tau = float(share * at_most)
  found = run(LSAProbe(distance=DISTANCE, tau=tau, search=SEARCH), model, audio, key)
  cost, rank, values, gradients = naive.bisect(tau)
  assert bool(found.reached) == (share < 1)
  np.testing.assert_allclose(found.cost, cost, rtol=1e-5)
  np.testing.assert_allclose(found.score, rank, rtol=1e-3)
  assert found.nfe_forward == STEPS * (1 + values + 2 * gradients)
  assert found.nfe_backward == STEPS * gradients
  np.testing.assert_allclose(found.details["tau"], tau)


def test_the_first_draw_is_the_clips_own_noise(model, audio, key):
  # A network that predicts nothing leaves eps alone in the loss.
  silent = model.replace(params=jax.tree.map(jnp.zeros_like, model.params))
  eps = probe.clip_noise(key, (SAMPLES,), draw=0)
  found = run(Loss(draws=1), silent, audio, key)
  np.testing.assert_allclose(found.score, -np.sum(np.square(eps)), rtol=1e-5)


def test_scores_are_the_clips_own_whatever_the_batch(model, key):
  clips = np.random.default_rng(1).normal(scale=0.2, size=(5, SAMPLES))
  clips, numbers = clips.astype(np.float32), np.arange(5, dtype=np.uint32)
  attack = RandomStability(distance=DISTANCE, eta=0.4, draws=2)

  def score(model, clip, number):
    return attack(model, jax.random.fold_in(key, number), clip, T).score

  batched = parallel.over_examples(score, 3)
  collect = lambda clips, numbers: np.concatenate(
    [scores for _, scores in batched(model, clips, numbers)]
  )
  whole, order = collect(clips, numbers), np.array([4, 1, 0])
  np.testing.assert_array_equal(collect(clips[order], numbers[order]), whole[order])
  assert len(set(whole)) == 5
