"""Rematerialisation by memory: what is kept, what is decided; nothing moves."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_latent
from flax import struct
from tiny_diffwave import MODEL

from lsaprobe_jax import diffusion, parallel
from lsaprobe_jax.attacks.outcome import passes_of
from lsaprobe_jax.models import memory, registry
from lsaprobe_jax.models.trained import from_denoiser

SAMPLES = 4096
CONFIGS = {"diffwave": lambda: MODEL, "latent": tiny_latent.config}


@functools.cache
def model(kind, num_inference_steps=1):
  config = CONFIGS[kind]()
  params = registry.random_params(config, jax.random.key(8))
  built = registry.build_model(config, params, num_inference_steps)
  return built.for_length(SAMPLES)


def gradient(model, x_t, t):
  return jax.value_and_grad(lambda x: jnp.sum(model.reconstruct(x, t) ** 2))(x_t)


@functools.cache
def compiled(kind, num_inference_steps, rematerialise):
  own = model(kind, num_inference_steps).replace(rematerialise=rematerialise)
  x_t = jax.eval_shape(own.encode, jax.ShapeDtypeStruct((SAMPLES,), jnp.float32))
  return jax.jit(gradient).lower(own, x_t, 5).compile()


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_is_kept_is_near_the_compilers_count(kind):
  kept = {n: memory.kept_bytes(model(kind, n), SAMPLES) for n in (1, 4)}
  needed = {
    n: compiled(kind, n, False).memory_analysis().temp_size_in_bytes for n in (1, 4)
  }
  # So small a network may need as much besides, for what it works with.
  assert 0.4 < kept[1] / needed[1] < 1.2
  assert (kept[4] - kept[1]) / (needed[4] - needed[1]) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("kind", CONFIGS)
def test_four_steps_take_the_memory_of_one_where_they_are_rematerialised(kind):
  needed = lambda *how: compiled(kind, *how).memory_analysis().temp_size_in_bytes
  assert needed(4, True) < 1.3 * needed(1, False)
  # The latent's decoder is the same for both, and the larger part of it.
  assert needed(4, False) > {"diffwave": 2, "latent": 1.1}[kind] * needed(1, False)


@pytest.mark.parametrize("kind", CONFIGS)
def test_rematerialisation_moves_no_gradient(kind):
  own = model(kind, 4)
  x_t = own.encode(0.1 * jax.random.normal(jax.random.key(1), (SAMPLES,)))
  found = [
    compiled(kind, 4, how)(own.replace(rematerialise=how), x_t, 5)
    for how in (True, False)
  ]
  for kept, again in zip(*map(jax.tree.leaves, found), strict=True):
    assert np.linalg.norm(kept - again) < 1e-4 * np.linalg.norm(again)
  assert np.linalg.norm(found[0][1]) > 0


def test_memory_decides_unless_somebody_has(monkeypatch):
  own = model("diffwave", 4)
  kept = memory.kept_bytes(own, SAMPLES)
  room = lambda share: monkeypatch.setattr(
    parallel, "device_bytes", lambda: int(share * kept / parallel.MEMORY_SHARE)
  )
  room(1.01)
  assert memory.suited(own, SAMPLES).rematerialise is False
  room(0.99)
  assert memory.suited(own, SAMPLES).rematerialise is True
  for decided in (True, False):
    given = own.replace(rematerialise=decided)
    assert memory.suited(given, SAMPLES) is given
  # An accelerator takes several examples at once.
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  room(7)
  assert memory.suited(own, SAMPLES).rematerialise is True


class Wide(struct.PyTreeNode):
  """R_t is a sine, for clips of exactly so many channels."""

  gain: Any
  channels: int = struct.field(pytree_node=False)
  rematerialise: bool | None = struct.field(pytree_node=False, default=None)

  def encode(self, audio):
    assert audio.shape == ((SAMPLES,) if self.channels == 1 else (2, SAMPLES))
    return audio

  def reconstruct(self, x_t, t):
    return jnp.sin(self.gain * x_t)


def test_a_clip_of_two_channels_keeps_twice_as_much():
  one, two = (memory.kept_bytes(Wide(jnp.float32(2), n), SAMPLES) for n in (1, 2))
  assert one >= 4 * SAMPLES
  assert two == 2 * one


def test_a_model_without_the_field_is_left_alone():
  class Other:
    num_inference_steps = 3

  other = Other()
  assert memory.suited(other, SAMPLES) is other
  # `diffusion.reverse` rematerialises its steps, unless it is told not to.
  assert passes_of(other, 2, 5) == (3 * 2 + 6 * 5, 3 * 5)


def test_a_denoiser_without_a_gradient_is_left_alone():
  """Loss needs none, so that fitting such a model to a length must not ask for it."""
  double = lambda x: np.asarray(2 * x, np.float32)
  noise = lambda x, t: jax.pure_callback(double, jax.typeof(x), x)
  own = from_denoiser(noise, diffusion.linear(20, 1e-3, 0.2), sample_rate=8000)
  fitted = own.for_length(SAMPLES).model
  assert fitted.rematerialise is None
  np.testing.assert_array_equal(fitted.predict_noise(jnp.ones(4), 3), 2 * np.ones(4))


def test_evaluations_are_counted_as_they_are_run():
  count = lambda steps, how: passes_of(
    model("diffwave", steps).replace(rematerialise=how), 2, 34
  )
  # The default search: 34 gradients, the last value and the clean side.
  for how in (None, True, False):
    assert count(1, how) == (36, 34)
  assert count(4, False) == (4 * 36, 4 * 34)
  assert count(4, True) == count(4, None) == (4 * (36 + 34), 4 * 34)


def test_the_memory_of_a_cpu_is_shared_by_its_devices():
  whole = parallel.device_bytes() * len(jax.local_devices())
  assert 2**28 < whole < 2**45
