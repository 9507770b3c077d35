"""What storing weights in half precision does to scores, on real music.

A weight is rounded by 2^-11 of itself at most. Roundings are independent, so that an
output of the network moves by about as much, and the loss, which is a sum over all of
them, by less.
"""

import jax
import numpy as np
import pytest

from lsaprobe_jax import attacks
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.scoring.scorer import clip_number

_ROUNDING = 2.0**-11


def halved(params):
  half = lambda x: np.asarray(np.asarray(x, np.float16), np.float32)
  return jax.tree.map(half, params)


def losses(model, clips, t):
  attack = attacks.get("loss", None, draws=4)
  run = jax.jit(lambda model, key, audio: attack(model, key, audio, t).score)
  return [
    float(run(model, jax.random.fold_in(jax.random.key(0), clip_number(c.id)), audio))
    for c, audio in zip(clips.clips, clips.audio, strict=True)
  ]


@pytest.fixture(scope="module")
def clips():
  corpus = corpora.open_corpus(
    "multigenre",
    sample_rate=8000,
    clip_seconds=0.512,
    clips_per_track=1,
    groups=["a", "b"],
  )
  return corpus.take(range(0, 60, 15))


def test_the_loss_of_a_trained_model_moves_by_less_than_a_weight(clips):
  name = "diffwave-multigenre-a"
  whole = load_model(name).for_length(clips.audio.shape[1]).model
  rounded = whole.replace(params=halved(whole.params))
  before, after = losses(whole, clips, 20), losses(rounded, clips, 20)
  np.testing.assert_allclose(after, before, rtol=_ROUNDING)
  # They did move.
  assert before != after


def test_the_noise_that_a_latent_model_predicts_moves_by_about_a_rounding():
  _, record = checkpoints.load_model(checkpoints.find_model("musicldm-dose-base"))
  params = registry.random_params(record["model"], jax.random.key(8))
  make = lambda params: registry.build_model(record["model"], params, 1).for_length(
    16_384
  )
  whole, rounded = make(params), make(halved(params))
  audio = np.random.default_rng(0).normal(size=16_384).astype(np.float32) / 10
  x = np.asarray(jax.jit(whole.encode)(audio))
  before, after = (
    np.asarray(jax.jit(lambda model: model.predict_noise(x, 200))(model))
    for model in (whole, rounded)
  )
  moved = np.linalg.norm(after - before) / np.linalg.norm(before)
  assert 0 < moved < 4 * _ROUNDING
