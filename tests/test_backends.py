"""Programs for the backend at hand, and for one that is not."""

import re

import jax
import on_devices
import pytest

from lsaprobe_jax import backends
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import convolution
from lsaprobe_jax.scoring import memory_estimate

TOPOLOGY = "v5p:2x2x1"


@pytest.fixture(scope="module")
def chips():
  pytest.importorskip("libtpu", reason="jax[tpu] has the TPUs' compiler")
  return backends.tpu_devices(TOPOLOGY)


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


def test_chips_that_are_not_here_are_described(chips):
  assert len(chips) == 4
  assert {chip.platform for chip in chips} == {"tpu"}
  with pytest.raises(SettingError, match=r"topology='v99:2x2': .*v5p:2x2x1"):
    backends.tpu_devices("v99:2x2")


def test_a_gradient_is_compiled_for_a_chip(chips):
  there, here = (
    memory_estimate.estimate_memory(
      on_devices.MODEL, seconds=0.064, distance="waveform", device=device
    )
    for device in (chips[0], None)
  )
  assert there.weights_bytes == here.weights_bytes
  assert 0 < there.working_bytes != here.working_bytes


def test_a_search_is_sharded_over_chips_without_a_word_between_them(chips):
  """The whole program that a scorer runs, of a DiffWave under log-mel."""
  mesh = jax.sharding.Mesh(chips, on_devices.AXIS)
  with backends.written_for("tpu"):
    text = on_devices.program_text(on_devices.diffwave(), mesh)
  assert "convolution" in text
  assert not re.findall(on_devices.COLLECTIVES, text)
  assert re.findall(on_devices.COLLECTIVES, on_devices.communicating_text(mesh))
