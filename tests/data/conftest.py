"""Corpora that several modules open."""

import pytest
from noise_files import noise, opened, write


@pytest.fixture(scope="module")
def piano():
  return opened("piano")


@pytest.fixture
def folder(tmp_path):
  """One file in each of two groups."""
  write(tmp_path / "a" / "one.wav", noise(1))
  write(tmp_path / "b" / "two.wav", noise(2))
  return tmp_path
