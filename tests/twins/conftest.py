"""A small network with random weights, one on latents, and clips."""

import jax
import numpy as np
import pytest
import tiny_diffwave
import tiny_latent

from lsaprobe_jax.models import registry

SAMPLES = 256


@pytest.fixture(scope="session")
def model():
  params = registry.random_params(tiny_diffwave.MODEL, jax.random.key(5))
  return registry.build_model(tiny_diffwave.MODEL, params, 2)


@pytest.fixture(scope="session")
def latent():
  config = tiny_latent.config()
  params = registry.random_params(config, jax.random.key(6))
  return registry.build_model(config, params, 1).for_length(1280)


@pytest.fixture(scope="session")
def audio():
  return np.random.default_rng(0).normal(scale=0.2, size=SAMPLES).astype(np.float32)


@pytest.fixture(scope="session")
def key():
  return jax.random.fold_in(jax.random.key(0), 123)
