"""A small network, a clip and its key."""

import jax
import numpy as np
import pytest
from naive import MODEL, SAMPLES, STEPS, Naive

from lsaprobe_jax.models import registry


@pytest.fixture(scope="session")
def model():
  params = registry.random_params(MODEL, jax.random.key(5))
  return registry.build_model(MODEL, params, STEPS)


@pytest.fixture(scope="session")
def audio():
  return np.random.default_rng(0).normal(scale=0.2, size=SAMPLES).astype(np.float32)


@pytest.fixture(scope="session")
def key():
  return jax.random.fold_in(jax.random.key(0), 123)


@pytest.fixture(scope="session")
def naive(model, audio, key):
  """The formulae of docs/method.md once more, with a loop for the reverse process."""
  return Naive(model, audio, key)
