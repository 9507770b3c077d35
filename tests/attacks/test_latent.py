"""Attacks on a latent model: a state that is smaller than the audio, of any shape."""

import dataclasses

import jax
import numpy as np
import pytest
import tiny_musicldm
from naive import DISTANCE, MODEL, SAMPLES, SEARCH, STEPS, LatentDiffusion, run

from lsaprobe_jax import attacks
from lsaprobe_jax.attacks.lsa_probe import DegradationCurve, LSAProbe, MaxDegradation
from lsaprobe_jax.attacks.rediffuse import ReDiffuse
from lsaprobe_jax.models import registry, schedules
from lsaprobe_jax.probe import noisy_state
from lsaprobe_jax.search.continuation import Continuation

LATENT = 12
# Before any other test can register one of its own.
KNOWN = attacks.names()
SETTINGS = {
  "loss": {},
  "random_stability": {"eta": 0.3},
  "trajectory": {},
  "path_error": {},
  "secmi": {},
  "pia": {"times": 2},
  "pian": {"mean_absolute": 0.8},
  "sima": {"times": 2},
  "pfami": {},
  "rediffuse": {},
  "gradient_norm": {"times": 3},
  "noise_optimisation": {},
  "second_order": {},
  "relative_degradation": {"eta": 0.3, "search": SEARCH},
}
ATTACKS = {
  name: attacks.get(name, DISTANCE, **settings) for name, settings in SETTINGS.items()
} | {
  "lsa_probe": LSAProbe(distance=DISTANCE, tau=1e-3, search=SEARCH),
  "max_degradation": MaxDegradation(distance=DISTANCE, eta=0.3, search=SEARCH),
  "degradation_curve": DegradationCurve(
    distance=DISTANCE, search=Continuation(rungs=4)
  ),
}


def latent_model(shape):
  rng = np.random.default_rng(3)
  draw = lambda *shape: rng.normal(size=shape).astype(np.float32) / shape[-1] ** 0.5
  return LatentDiffusion(
    params={"first": draw(5, LATENT), "last": draw(LATENT, 5)},
    encoder=draw(LATENT, SAMPLES),
    schedule=schedules.build(MODEL["schedule"]),
    shape=shape,
  )


def test_all_attacks_are_tried_here():
  assert set(KNOWN) <= set(ATTACKS)


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_a_latent_model_whatever_its_shape(audio, key, name):
  # `run` holds the passes to those that the network made.
  found = run(ATTACKS[name], latent_model((3, 4)), audio, key)
  assert np.isfinite(found.score)
  # The same model with its state in a row: no shape enters the score.
  flat = run(ATTACKS[name], latent_model((LATENT,)), audio, key)
  np.testing.assert_allclose(found.score, flat.score, rtol=1e-3)


def test_a_budget_is_in_units_of_the_latent(audio, key):
  # rms over the 12 latent values, not over the 96 samples of the audio.
  attack = attacks.get("second_order", DISTANCE, eta=1e-3, steps=60)
  model = latent_model((3, 4))
  found = run(attack, model, audio, key, t=1)
  x_1 = model.schedule.signal[1] * model.encode(audio)
  x_1 += model.schedule.noise[1] * jax.random.normal(jax.random.fold_in(key, 0), (3, 4))
  jacobian = jax.jacobian(lambda x: model.reconstruct(x, 1))(x_1)
  matrix = np.asarray(jacobian, np.float64).reshape(SAMPLES, LATENT)
  exact = np.linalg.norm(matrix, 2) * np.sqrt(LATENT / SAMPLES)
  exact *= float(model.schedule.noise[1])
  np.testing.assert_allclose(found.details["gain"], exact, rtol=0.01)


@pytest.fixture(scope="module")
def musicldm():
  """A small one, whose methods JAX traces once for all attacks."""
  params, model_config = tiny_musicldm.params()
  model = registry.build_model(model_config, params, STEPS).for_length(2000)
  kind = type(model)
  traced = ("encode", "predict_noise", "decode", "reconstruct")
  once = type(kind.__name__, (kind,), {n: jax.jit(getattr(kind, n)) for n in traced})
  return once(**{f.name: getattr(model, f.name) for f in dataclasses.fields(model)})


@pytest.mark.parametrize("name", ATTACKS)
def test_takes_the_latents_of_musicldm(musicldm, key, name):
  # By shapes alone, which takes no compiling: [time, mel, channels].
  model = musicldm
  audio = jax.ShapeDtypeStruct((2000,), np.float32)
  assert jax.eval_shape(model.encode, audio).shape == (7, 4, 4)
  found = jax.eval_shape(lambda a, t: ATTACKS[name](model, key, a, t), audio, 600)
  assert found.score.shape == ()
  assert found.score.dtype == np.float32
  if name == "gradient_norm":
    # The UNet's alone: VAE and vocoder are not what the diffusion was trained on.
    params, _ = tiny_musicldm.params()
    assert found.details["norms"].shape == (len(params["unet"]),)


def test_rediffuse_may_compare_with_what_the_autoencoder_gives_back(audio, key):
  model, draws = latent_model((3, 4)), 3
  t = 6
  outputs = [
    model.reconstruct(noisy_state(model, key, model.encode(audio), t, draw)[0], t)
    for draw in range(draws)
  ]
  mean = np.mean(outputs, axis=0)
  for decoded, clip in ((False, audio), (True, model.decode(model.encode(audio)))):
    found = run(ReDiffuse(draws=draws, decoded=decoded), model, audio, key, t=t)
    expected = -np.sum(np.square(np.asarray(clip) - mean))
    np.testing.assert_allclose(found.score, expected, rtol=1e-4)
