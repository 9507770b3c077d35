"""The worked examples of docs/extending.md, added as that page says."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import attacks, diffusion, distances
from lsaprobe_jax.attacks.lsa_probe import LSAProbe
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.search.continuation import Continuation
from lsaprobe_jax.training import losses

EXAMPLES = pathlib.Path(__file__).parents[1] / "docs" / "examples"
RATE = 8000
MODEL = {
  "family": "wiener",
  "network": {"bands": 9},
  "schedule": {
    "name": "linear",
    "num_train_timesteps": 20,
    "beta_start": 1e-3,
    "beta_end": 0.2,
  },
  "sample_rate": RATE,
  "scale": 4.0,
}


def example(module: str, name: str):
  """A class of an example's file."""
  spec = importlib.util.spec_from_file_location(module, EXAMPLES / f"{module}.py")
  loaded = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(loaded)
  return getattr(loaded, name)


@pytest.fixture
def added(monkeypatch):
  """The three tables with one more line each."""
  kind = example("pre_emphasis", "PreEmphasis")
  monkeypatch.setitem(distances._KNOWN, kind.name, kind)
  monkeypatch.setitem(attacks._KNOWN, "step_gap", example("step_gap", "StepGap"))
  monkeypatch.setattr(registry, "_ADDED", {})
  registry.register("wiener", example("wiener", "Wiener"))


@pytest.fixture
def audio(real_audio):
  return real_audio(1024, RATE)


def test_the_distance_is_that_of_the_filtered_signals(added, audio):
  distance = distances.get("pre_emphasis", sample_rate=RATE, coefficient=0.9)
  worse = audio + np.random.default_rng(0).normal(scale=0.01, size=audio.size)
  filtered = lambda x: x - 0.9 * np.r_[0, x[:-1]]
  expected = np.mean((filtered(audio) - filtered(worse)) ** 2)
  value, grad = jax.value_and_grad(distance, argnums=1)(audio, jnp.float32(worse))
  np.testing.assert_allclose(value, expected, rtol=1e-4)
  assert np.abs(grad).max() > 0
  assert not jax.grad(distance, argnums=1)(audio, audio).any()


def test_the_attack_takes_the_distance_and_can_be_matched(added, audio):
  assert attacks.takes_distance("step_gap")
  distance = distances.get("pre_emphasis", sample_rate=RATE)
  attack = attacks.get("step_gap", distance, draws=2)
  params = registry.random_params(MODEL, jax.random.key(1))
  key, t = jax.random.key(0), 12
  score = jax.jit(lambda attack, *clip: attack(*clip, t))
  scores = {}
  for steps in (1, 3):
    generator = registry.build_model(MODEL, params, num_inference_steps=steps)
    found = score(attack, generator, key, audio)
    assert found.nfe_forward == attack.nfe(steps) == 2 * (steps + 1)
    scores[steps] = float(found.score)
  assert scores[1] == pytest.approx(0, abs=1e-9)
  assert scores[3] < -1e-6
  assert (
    attacks.nfe_matched(attack, 104, num_inference_steps=3, num_times=20).draws == 26
  )
  with pytest.raises(ValueError, match=r"step_gap.*'eta'"):
    attacks.get("step_gap", distance, eta=1.0)


def test_the_model_trains_is_stored_and_is_probed(added, audio, tmp_path):
  params = registry.init_params(MODEL, jax.random.key(0))
  generator = registry.build_model(MODEL, params, num_inference_steps=2)
  objective = losses.Denoising(generator, 2, (0.5,))
  x_0 = generator.encode(audio)
  key = jax.random.key(1)
  eval_loss = jax.jit(lambda params: objective.eval_loss(params, x_0, key)[0])
  before = float(eval_loss(params))
  descend = jax.jit(
    lambda params, key: jax.tree.map(
      lambda p, g: p - 20 * g, params, jax.grad(objective.loss)(params, x_0, key)
    )
  )
  for key in jax.random.split(jax.random.key(2), 200):
    params = descend(params, key)
  assert float(eval_loss(params)) < 0.8 * before

  checkpoints.save_model(tmp_path, params, MODEL, training={"clips": []})
  params, record = checkpoints.load_model(tmp_path)
  generator = registry.build_model(record["model"], params, num_inference_steps=2)
  checkpoints.check_fit(params, registry.abstract_params(MODEL), "wiener")
  distance = distances.get("pre_emphasis", sample_rate=RATE)
  search = Continuation(rungs=6, steps=1, warmup=1)
  t = diffusion.timestep(generator.schedule, 0.6)

  @jax.jit
  def probe(generator, tau):
    attack = LSAProbe(distance=distance, tau=tau, search=search)
    return attack(generator, jax.random.key(3), audio, t)

  degradations = probe(generator, 1.0).details["degradations"]
  assert np.all(np.diff(degradations) > 0)
  found = probe(generator, degradations[3])
  assert found.reached
  np.testing.assert_allclose(found.cost, found.details["budgets"][3], rtol=1e-5)


def test_bfloat16_is_refused_where_a_network_cannot(added):
  params = registry.init_params(MODEL, jax.random.key(0))
  generator = registry.build_model(MODEL, params, 1, precision="bfloat16")
  with pytest.raises(ValueError, match="float32"):
    generator.predict_noise(np.zeros(64, np.float32), 3)
