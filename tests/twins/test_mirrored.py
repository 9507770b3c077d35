"""A model in a mirror: what an attack finds there is what it finds of the twin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import attacks, diffusion, distances, twins
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.lsa_probe import DegradationCurve
from lsaprobe_jax.probe import clip_noise
from lsaprobe_jax.twins import Mirror, mirrored

T = 12
NAMES = ("polarity", "phase_90", "reversal", "reversal_polarity")
DISTANCE = distances.get("waveform", sample_rate=8000)
SEARCH = searches.get("continuation", rungs=4)

scored = jax.jit(lambda attack, *args: attack(*args))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_that_of_the_twin_with_the_noise_moved(model, key, audio, name):
  # s(T x; T eps), written out: nothing of the mirror is in it but T itself.
  twin = twins.get(name)
  noise = np.asarray(clip_noise(key, audio.shape))
  x_t = diffusion.add_noise(model.schedule, model.encode(twin(audio)), T, twin(noise))
  wanted = jnp.sum(jnp.square(twin(noise) - model.predict_noise(x_t, T)))
  found = scored(attacks.Loss(draws=1), mirrored(model, twin), key, audio, T)
  assert float(found.score) == pytest.approx(-float(wanted), rel=1e-5)
  plain = scored(attacks.Loss(draws=1), model, key, audio, T)
  assert abs(found.score - plain.score) > 1e-3 * abs(plain.score)


@pytest.mark.parametrize("name", ["phase_90", "reversal"])
def test_a_search_is_that_of_the_twin_with_the_start_moved(model, key, audio, name):
  # D of the twin as a function of its own perturbation, searched from the moved start.
  twin = twins.get(name)
  noise = clip_noise(key, audio.shape)
  x_t = diffusion.add_noise(model.schedule, model.encode(twin(audio)), T, twin(noise))
  clean = model.reconstruct(x_t, T)

  def degradation(delta):
    pushed = x_t + model.schedule.noise[T] * twin(delta)
    return jnp.mean(jnp.square(model.reconstruct(pushed, T) - clean))

  start = jax.random.fold_in(key, 2**31 - 1)
  wanted = jax.jit(lambda: SEARCH.curve(degradation, start, audio.shape))()
  curve = DegradationCurve(distance=DISTANCE, search=SEARCH)
  found = scored(curve, mirrored(model, twin), key, audio, T)
  np.testing.assert_allclose(
    found.details["degradations"], wanted.degradations, rtol=2e-3
  )


def test_nothing_changes_in_a_mirror_that_changes_nothing(model, key, audio):
  curve = DegradationCurve(distance=DISTANCE, search=SEARCH, anchor="clip")
  for attack in (attacks.Loss(), attacks.GradientNorm(times=2), curve):
    plain = scored(attack, model, key, audio, T)
    seen = scored(attack, mirrored(model, Mirror()), key, audio, T)
    np.testing.assert_allclose(seen.score, plain.score, rtol=1e-5)


def test_a_network_without_a_preference_scores_clip_and_twin_alike(model, key, audio):
  # A network that is odd in its input: polarity is one of its symmetries.
  class Odd(type(model)):
    def predict_noise(self, x, t):
      both = [super(Odd, self).predict_noise(sign * x, t) for sign in (1, -1)]
      return (both[0] - both[1]) / 2

  fields = ("params", "schedule", "network", "sample_rate", "scale")
  odd = Odd(**{name: getattr(model, name) for name in fields})
  scores = [
    float(scored(attacks.ReDiffuse(draws=2), seen, key, audio, T).score)
    for seen in (odd, mirrored(odd, twins.get("polarity")))
  ]
  assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_the_gradient_is_by_the_weights_of_the_model(model, key, audio):
  twin = twins.get("reversal")
  norm = attacks.GradientNorm(times=2)
  found = scored(norm, mirrored(model, twin), key, audio, T)
  plain = scored(norm, model, key, audio, T)
  assert found.details["norms"].shape == plain.details["norms"].shape
  assert float(found.score) < 0
  assert abs(found.score - plain.score) > 1e-3 * abs(plain.score)


def test_latents_run_backwards_with_their_noise(latent, key):
  audio = np.random.default_rng(3).normal(scale=0.1, size=1280).astype(np.float32)
  twin = twins.get("reversal")
  x_0 = latent.encode(audio[::-1])
  noise = clip_noise(key, x_0.shape)[::-1]
  t = 300
  x_t = diffusion.add_noise(latent.schedule, x_0, t, noise)
  wanted = jnp.sum(jnp.square(noise - latent.predict_noise(x_t, t)))
  found = scored(attacks.Loss(draws=1), mirrored(latent, twin), key, audio, t)
  assert float(found.score) == pytest.approx(-float(wanted), rel=1e-4)
  # Decoding ends in the frame of the clip.
  sound = mirrored(latent, twin).decode(x_0[::-1])
  np.testing.assert_allclose(sound, latent.decode(x_0)[::-1], atol=1e-6)


def test_a_mirrored_model_is_a_model(model):
  seen = mirrored(model, twins.get("polarity"))
  assert seen.num_inference_steps == model.num_inference_steps
  assert seen.sample_rate == model.sample_rate
  assert seen.for_length(100).model == model.for_length(100)
  other = jax.tree.map(lambda x: 2 * x, model.params)
  assert seen.replace(params=other).params is other
