"""The models of one experiment: loaded by name, and alike in what must be alike."""

import types

import jax
import numpy as np
import pytest

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.scoring.experiment_inputs import _check_params
from lsaprobe_jax.scoring.targets import load_targets

MODEL = {
  "family": "diffwave",
  "network": {"channels": 4, "layers": 1, "embedding_width": 8},
  "schedule": {"num_train_timesteps": 3, "betas": [0.1, 0.2, 0.3]},
  "sample_rate": 8000,
  "scale": 1.0,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """Two models at 8 kHz and one at 16 kHz, of constant weights."""
  root = tmp_path_factory.mktemp("models")
  shapes = registry.abstract_params(MODEL)
  for name, rate, value in (("one", 8000, 1), ("two", 8000, 2), ("fast", 16000, 3)):
    params = jax.tree.map(lambda x, v=value: np.full(x.shape, v, x.dtype), shapes)
    clips = [{"id": "x", "sha256": name}]
    training = {"group": "a", "clips": clips}
    checkpoints.save_model(root / name, params, MODEL | {"sample_rate": rate}, training)
  return {path.name: str(path) for path in root.iterdir()}


def test_targets_come_in_the_order_of_their_names(folders):
  given = {"B": folders["two"], "A": folders["one"]}
  targets = load_targets(given, num_inference_steps=4)
  assert [target.name for target in targets] == ["A", "B"]
  assert [target.members for target in targets] == [{"x": "one"}, {"x": "two"}]
  assert {target.model.num_inference_steps for target in targets} == {4}
  hashes = [target.weights_sha256 for target in targets]
  records = [checkpoints.load_model(given[name])[1] for name in "AB"]
  assert hashes == [record["weights_sha256"] for record in records]
  assert len(set(hashes)) == 2


def test_untrained_targets_have_random_weights_of_their_own(folders):
  given = {"A": folders["one"], "B": folders["one"]}
  kernels = {
    seed: [
      target.model.params["skip_projection"]["kernel"]
      for target in load_targets(given, untrained=True, seed=seed)
    ]
    for seed in (0, 1)
  }
  first = [float(kernel[0, 0]) for pair in kernels.values() for kernel in pair]
  assert len(set(first)) == 4
  key = jax.random.fold_in(jax.random.key(1), 1)
  expected = registry.random_params(MODEL, key)["skip_projection"]["kernel"]
  np.testing.assert_array_equal(kernels[1][1], expected)


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"targets": {}}, r"^targets=\{\}: name at least one model"),
    ({"targets": {"A": "none"}}, r"^targets\.A: no model folder none; embedded"),
    ({"precision": "float8"}, "^precision=float8: it must be float32 or bfloat16"),
    ({"stop_at": "mel"}, "^stop_at=mel: a model on waveforms"),
    ({"num_inference_steps": 0}, "^num_inference_steps=0: at least 1"),
  ],
)
def test_what_cannot_be_used_is_named(folders, changes, match):
  with pytest.raises(SettingError, match=match):
    load_targets(**{"targets": {"A": folders["one"]}} | changes)


def test_different_rates_are_refused(folders):
  given = {"A": folders["one"], "B": folders["fast"]}
  match = r"^targets have different sample rates: \{'A': 8000, 'B': 16000\}"
  with pytest.raises(SettingError, match=match):
    load_targets(given)


def test_gradients_by_weights_need_weights_that_are_shown():
  model = types.SimpleNamespace(name="mine", model=types.SimpleNamespace(params={}))
  _check_params(model, ("loss", "lsa_probe"))
  for name in ("gradient_norm", "gradient_norm_nfe_matched"):
    with pytest.raises(SettingError, match=r"^methods: gradient_norm .*\('loss',\)"):
      _check_params(model, ("loss", name))
