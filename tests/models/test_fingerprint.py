"""What counts to the fingerprint of a model or an attack, and what does not."""

import functools
import math
import os
import pathlib
import subprocess
import sys
import types

import jax
import numpy as np
import pytest
import toy_model
from flax import struct

from lsaprobe_jax import attacks, diffusion, distances
from lsaprobe_jax.models.fingerprint import fingerprint
from lsaprobe_jax.models.trained import from_denoiser, load_model

PATH = diffusion.linear(20, 1e-4, 0.2)


def of_functions(predict, **settings):
  return from_denoiser(predict, PATH, sample_rate=8000, **settings).model


def closing_over(weight: float, power: int = 1):
  """A model whose function holds its weights, a module, a namespace and a set."""
  weights, names = np.full(3, weight, np.float32), {"x", "y", "z"}
  options = types.SimpleNamespace(power=power)

  def inner(x):
    return x**power * weights.sum() * math.pi * len(names) * options.power

  return of_functions(lambda x, t: inner(x))


class Scaled:
  """An object with a method."""

  def predict(self, x, t):
    return x


def scaled(weights, x, t):
  return weights.sum() * x


@jax.tree_util.register_pytree_node_class
class Pair:
  """A pytree that is no dataclass."""

  def __init__(self, array, number):
    self.array, self.number = array, number

  def tree_flatten(self):
    return (self.array,), self.number

  @classmethod
  def tree_unflatten(cls, number, arrays):
    return cls(*arrays, number)


@struct.dataclass
class Band:
  """A part of somebody's own attack, whose name says what it computes."""

  name: str = struct.field(pytree_node=False)


def middle(value: float):
  """An array whose repr does not show its middle."""
  array = np.zeros(5_000, np.float32)
  array[2_500] = value
  return array


def made():
  """By name, what all have fingerprints of their own."""
  toy = toy_model.model().model
  rate = {"sample_rate": 8000}
  jitted = lambda power: jax.jit(lambda x, t: x**power)
  return {
    "toy": toy,
    "weights": toy_model.model(seed=1).model,
    "steps": toy.replace(num_inference_steps=2),
    "closure": closing_over(1.0),
    "array of a closure": closing_over(2.0),
    "number of a closure": closing_over(1.0, power=2),
    "jitted": of_functions(jitted(1)),
    "jitted otherwise": of_functions(jitted(2)),
    "partial": of_functions(functools.partial(scaled, middle(0.0))),
    "partial of another": of_functions(functools.partial(scaled, middle(1.0))),
    "method": of_functions(Scaled().predict),
    "params": of_functions(scaled, params=middle(0.0)),
    "other params": of_functions(scaled, params=middle(1.0)),
    "pytree": Pair(middle(0.0), 1),
    "array of a pytree": Pair(middle(1.0), 1),
    "setting of a pytree": Pair(middle(0.0), 2),
    "loss": attacks.get("loss", draws=2),
    "draws": attacks.get("loss", draws=4),
    "rediffuse": attacks.get("rediffuse", draws=2),
    "log_mel": distances.get("log_mel", **rate),
    "mels": distances.get("log_mel", mels=20, **rate),
    "diffwave": load_model("diffwave-piano-a").model,
    "its half": load_model("diffwave-piano-b").model,
    "musicldm": load_model("musicldm-dose-base").model,
    "named": Band("low"),
    "named otherwise": Band("high"),
    "key": jax.random.key(0),
    "other key": jax.random.key(1),
  }


@pytest.fixture(scope="module")
def here():
  return {name: fingerprint(value) for name, value in made().items()}


def test_arrays_settings_and_what_functions_hold_count(here):
  assert {len(own) for own in here.values()} == {64}
  by_hash = {}
  for name, own in here.items():
    by_hash.setdefault(own, []).append(name)
  assert [names for names in by_hash.values() if len(names) > 1] == []


def test_another_process_finds_the_same(here):
  """Addresses and the order of sets are others there."""
  folder = pathlib.Path(__file__).parent
  line = (
    "import test_fingerprint as t\n"
    "for name, value in t.made().items(): print(t.fingerprint(value), name)"
  )
  path = os.pathsep.join([str(folder), str(folder.parent)])
  done = subprocess.run(
    [sys.executable, "-c", line],
    env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "7"},
    capture_output=True,
    text=True,
    check=True,
  )
  found = [line.partition(" ") for line in done.stdout.splitlines()]
  assert {name: own for own, _, name in found} == here


@pytest.mark.parametrize("name", ["toy", "closure", "diffwave", "musicldm"])
def test_rematerialising_does_not_count(here, name):
  assert fingerprint(made()[name].replace(rematerialise=True)) == here[name]


def test_a_function_that_calls_itself_ends():
  def count(x, t):
    return x if t is None else count(x, None)

  assert fingerprint(of_functions(count)) == fingerprint(of_functions(count))
