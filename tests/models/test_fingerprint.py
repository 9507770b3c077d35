"""What counts to the fingerprint of a model or an attack, and what does not."""

import functools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import toy_model

from lsaprobe_jax import attacks, diffusion
from lsaprobe_jax.models.fingerprint import fingerprint
from lsaprobe_jax.models.trained import from_denoiser


def closing_over(weight: float, power: int = 1):
  """A model whose function holds its weights."""
  weights = np.full(3, weight, np.float32)

  def inner(x):
    return x**power * weights.sum()

  return from_denoiser(
    lambda x, t: inner(x), diffusion.linear(20, 1e-4, 0.2), sample_rate=8000
  ).model


def test_arrays_settings_and_what_functions_hold_count():
  models = [
    toy_model.model().model,
    toy_model.model(seed=1).model,
    toy_model.model().model.replace(num_inference_steps=2),
    closing_over(1.0),
    closing_over(2.0),
    closing_over(1.0, power=2),
    attacks.get("loss", draws=2),
    attacks.get("loss", draws=4),
    attacks.get("rediffuse", draws=2),
  ]
  assert len(set(map(fingerprint, models))) == len(models)


@pytest.mark.parametrize(
  "make", [lambda: toy_model.model().model, lambda: closing_over(1.0)]
)
def test_the_same_is_the_same_however_it_rematerialises(make):
  own = fingerprint(make())
  assert fingerprint(make()) == own
  assert fingerprint(make().replace(rematerialise=True)) == own
  assert len(own) == 64


def test_it_is_the_same_in_another_process():
  line = (
    "import test_fingerprint as t; print(t.fingerprint(t.closing_over(1.0)),"
    " t.fingerprint(t.attacks.get('loss', draws=2)))"
  )
  here = pathlib.Path(__file__).parent
  folders = [str(here), str(here.parent)]
  done = subprocess.run(
    [sys.executable, "-c", line],
    env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
    capture_output=True,
    text=True,
    check=True,
  )
  own = [fingerprint(closing_over(1.0)), fingerprint(attacks.get("loss", draws=2))]
  assert done.stdout.split() == own


def test_a_function_that_calls_itself_ends():
  def count(x, t):
    return x if t is None else count(x, None)

  model = functools.partial(
    from_denoiser, path=diffusion.linear(20, 1e-4, 0.2), sample_rate=8000
  )
  assert fingerprint(model(count).model) == fingerprint(model(count).model)
