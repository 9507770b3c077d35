"""Programs for the backend at hand, and for one that is not."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import for_tpu
import jax
import jax.numpy as jnp
import pytest

from lsaprobe_jax import backends, parallel
from lsaprobe_jax.models import convolution


@pytest.fixture(scope="module")
def on_tpu(tmp_path_factory):
  """What the compiler of chips that are not here says.

  It is installed, or lies in the folder that $LSAPROBE_TEST_LIBTPU names.
  """
  folder = os.environ.get("LSAPROBE_TEST_LIBTPU", "")
  if not folder and importlib.util.find_spec("libtpu") is None:
    pytest.skip("no libtpu, which has the TPUs' compiler")
  path_of_modules = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
  path = tmp_path_factory.mktemp("tpu") / "found.json"
  script = pathlib.Path(for_tpu.__file__)
  subprocess.run(
    [sys.executable, script, path],
    env=os.environ | {"PYTHONPATH": path_of_modules.strip(os.pathsep)},
    check=True,
    timeout=500,
  )
  return json.loads(path.read_text())


def test_another_backend_is_written_for_inside_alone():
  here = jax.default_backend()
  assert backends.backend() == here
  with backends.written_for("tpu"):
    assert backends.backend() == "tpu"
    assert not convolution.on_cpu()
    with backends.written_for(None):
      assert backends.backend() == "tpu"
  assert backends.backend() == here
  with pytest.raises(ValueError, match="inside"), backends.written_for("gpu"):
    raise ValueError("inside")
  assert backends.backend() == here


@pytest.mark.parametrize(("name", "one_by_one"), [("cpu", True), ("tpu", False)])
def test_examples_are_a_batch_on_accelerators(name, one_by_one):
  mapped = lambda batch: parallel.map_examples(jnp.sin, batch)
  with backends.written_for(name):
    written = str(jax.make_jaxpr(mapped)(jnp.ones((3, 2))))
  assert ("scan" in written) == one_by_one


def test_what_was_jitted_before_is_written_anew():
  written = []

  @jax.jit
  def double(x):
    written.append(backends.backend())
    return 2 * x

  double(1.0)
  with backends.written_for("tpu"):
    double(1.0)
  double(1.0)
  here = jax.default_backend()
  assert written == [here, "tpu", here]


def test_chips_that_are_not_here_are_described(on_tpu):
  assert on_tpu["platforms"] == 4 * ["tpu"]
  assert re.match(r"topology='v99:2x2': .*v5p:2x2x1", on_tpu["refused"])


def test_a_gradient_is_compiled_for_a_chip(on_tpu):
  (weights, same), (there, here) = on_tpu["weights"], on_tpu["working"]
  assert weights == same > 0
  assert 0 < there != here > 0


def test_a_search_is_sharded_over_chips_without_a_word_between_them(on_tpu):
  """The whole program that a scorer runs, of a DiffWave under log-mel."""
  assert on_tpu["convolutions"] > 0
  assert on_tpu["collectives"] == 0
  # They would have been found: a sum over chips has one.
  assert on_tpu["collectives of a sum"] > 0
