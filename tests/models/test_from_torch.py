"""What `from_torch` says before PyTorch comes in: missing packages, versions, pins."""

import sys
import types

import pytest

import lsaprobe_jax as lsa
from lsaprobe_jax import diffusion, optional
from lsaprobe_jax.models import torch_network

PATH = diffusion.linear(20, 1e-3, 0.2)
PAIR = "torch 2.13.0 with torchax 0.0.14.dev20261026"


def call():
  return lsa.from_torch(lambda x, t: x, PATH, sample_rate=2000)


@pytest.fixture
def stand_ins(monkeypatch):
  """Empty modules in the place of PyTorch and torchax."""
  for name in ("torch", "torchax"):
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))


@pytest.mark.parametrize("missing", ["torch", "torchax"])
def test_what_is_missing_is_named_with_the_extra_and_the_pair(
  monkeypatch, stand_ins, missing
):
  monkeypatch.setitem(sys.modules, missing, None)
  with pytest.raises(optional.MissingPackageError) as caught:
    call()
  said = str(caught.value)
  assert said.startswith(f"{missing} ")
  assert "pip install 'lsaprobe_jax[torch]'" in said
  assert f"known to work: {PAIR}" in said
  assert "\n" not in said


def test_a_pair_that_does_not_fit_is_named_with_one_that_does(monkeypatch, tmp_path):
  # What torchax 0.0.13 does beside PyTorch 2.13.
  (tmp_path / "torchax.py").write_text(
    "raise AttributeError(\"'aten.prod' has no overload name 'dim_Dimname'\")\n"
  )
  monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))
  monkeypatch.delitem(sys.modules, "torchax", raising=False)
  monkeypatch.syspath_prepend(tmp_path)
  versions = {"torch": "2.13.0", "torchax": "0.0.13"}
  monkeypatch.setattr(torch_network.importlib.metadata, "version", versions.get)
  with pytest.raises(optional.MissingPackageError) as caught:
    call()
  said = str(caught.value)
  assert said.startswith("torchax 0.0.13 beside torch 2.13.0 cannot be imported (")
  assert "dim_Dimname" in said
  assert "pip install 'lsaprobe_jax[torch]'" in said
  assert f"known to work: {PAIR}" in said


def test_the_known_pair_is_what_the_extras_install(extras):
  pins = [f"{name}=={version}" for name, version in torch_network.KNOWN.items()]
  assert extras["torch"] == pins
  # Parity is looked at beside the same pair.
  assert set(pins) <= set(extras["parity"])


@pytest.fixture
def extras(monkeypatch):
  import pathlib
  import runpy

  import setuptools

  given = {}
  monkeypatch.setattr(setuptools, "setup", lambda **settings: given.update(settings))
  runpy.run_path(str(pathlib.Path(__file__).parents[2] / "setup.py"))
  return given["extras_require"]
