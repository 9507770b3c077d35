"""Fine-tunes by matrices of low rank, on a Stable Audio of some thousand parameters."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_stable_audio
from flax import traverse_util

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.training import losses, low_rank, train_state, trainables
from lsaprobe_jax.training.optimiser import make_optimiser
from lsaprobe_jax.training.settings import TrainCorpus, TrainSettings
from lsaprobe_jax.training.starting_weights import starting_weights

MONO = tiny_stable_audio.config(vae={"audio_channels": 1})
SETTINGS = TrainSettings(
  corpus=TrainCorpus(path="x", groups=("a",), clip_seconds=0.016),
  model=MONO,
  epochs=30,
  trains="lora",
  lora_rank=2,
  learning_rate=2e-2,
  final_learning_rate=2e-2,
  warmup_steps=2,
)
STEPS = 30


@pytest.fixture(scope="module")
def start(tmp_path_factory):
  folder = tmp_path_factory.mktemp("base")
  params = registry.init_params(SETTINGS.model, jax.random.key(0))
  checkpoints.save_model(folder, params, MONO, None)
  return starting_weights(SETTINGS.changed({"initial": str(folder)}))


@pytest.fixture(scope="module")
def trainable(start):
  return trainables.make_trainable(SETTINGS, start)


@pytest.fixture(scope="module")
def adapters(trainable):
  """Adapters that do something."""
  fill = lambda x: x + np.linspace(-0.3, 0.4, x.size, dtype=np.float32).reshape(x.shape)
  return jax.tree.map(fill, trainable.objective.params)


def test_adapters_stand_beside_the_layers_that_are_named(start, trainable):
  flat = traverse_util.flatten_dict(start.params["transformer"], sep="/")
  found = trainable.objective.params
  named = ("to_q", "to_k", "to_v", "to_out_0")
  wanted = {n for n in flat if n.split("/")[-2] in named and n.endswith("/kernel")}
  assert set(found) == wanted
  assert wanted
  for name, own in found.items():
    blocks, inputs, outputs = flat[name].shape
    chex.assert_shape(own["a"], (blocks, inputs, 2))
    chex.assert_shape(own["b"], (blocks, 2, outputs))
    assert not np.any(own["b"])


def test_a_kernel_gets_the_product_of_its_adapters(start, adapters):
  before = traverse_util.flatten_dict(start.params["transformer"], sep="/")
  merged = low_rank.merge(start.params["transformer"], adapters)
  after = traverse_util.flatten_dict(merged, sep="/")
  assert before.keys() == after.keys()
  for name, kernel in after.items():
    wanted = np.asarray(before[name])
    if name in adapters:
      a, b = (np.asarray(adapters[name][kind]) for kind in "ab")
      wanted = wanted + np.einsum("lir,lro->lio", a, b)
    np.testing.assert_allclose(kernel, wanted, atol=1e-6)


def test_the_loss_is_that_of_the_merged_denoiser(trainable, adapters):
  objective, key = trainable.objective, jax.random.key(2)
  example = jax.random.normal(jax.random.key(1), (32, 4))
  whole = objective.denoising
  loss = jax.jit(lambda o, p, x, k: o.loss(p, x, k))
  at_first = loss(objective, objective.params, example, key)
  np.testing.assert_allclose(at_first, loss(whole, whole.params, example, key))
  moved = loss(objective, adapters, example, key)
  merged = low_rank.merge(whole.params, adapters)
  np.testing.assert_allclose(moved, loss(whole, merged, example, key), rtol=1e-6)
  assert abs(float(moved - at_first)) > 1e-4


def test_training_moves_adapters_alone_and_lowers_the_loss(start, trainable):
  objective = trainable.objective
  audio = np.random.default_rng(0).normal(size=(3, 256)).astype(np.float32) * 0.1
  examples = objective.examples(audio)
  optimiser = make_optimiser(SETTINGS, STEPS)
  state = train_state.TrainState.create(objective.params, optimiser)
  step = train_state.make_step(objective, optimiser, 0.5)
  eval_loss = train_state.make_eval_loss(objective)
  before = eval_loss(objective.params, examples)
  for count in range(STEPS):
    key = jax.random.fold_in(jax.random.key(0), count)
    mask = np.ones(len(examples), np.float32)
    state, figures = step(state, examples, mask, key, np.float32(count))
    chex.assert_tree_all_finite(figures)
  assert np.mean(eval_loss(state.ema, examples)) < np.mean(before)
  exported, model = trainable.export(state.ema, examples)
  assert model == start.model
  for name, part in exported.items():
    if name != "transformer":
      assert part is start.params[name]
  own = objective.denoising.replace(
    model=objective.denoising.model.replace(params=exported["transformer"])
  )
  run = train_state.make_eval_loss(own)
  np.testing.assert_allclose(
    run(own.params, examples), eval_loss(state.ema, examples), rtol=1e-4
  )


def test_a_lora_of_nothing_is_refused(start):
  changed = SETTINGS.changed({"lora_layers": "convolution"})
  with pytest.raises(SettingError, match=r"^lora_layers=convolution: in none of"):
    trainables.make_trainable(changed, start)
  with pytest.raises(SettingError, match="no regular expression"):
    trainables.make_trainable(SETTINGS.changed({"lora_layers": "("}), start)
  with pytest.raises(SettingError, match=r"^trains=lora: .* name it in `initial`"):
    trainables.make_trainable(SETTINGS, starting_weights(SETTINGS))


def test_merged_weights_are_stored_whole(start):
  halved = SETTINGS.changed({"stored_dtype": "float16"})
  with pytest.raises(SettingError, match=r"^stored_dtype=float16: .* in float32"):
    trainables.make_trainable(halved, start)


def test_a_convolution_has_matrices_of_each_place():
  random = np.random.default_rng(0)
  kernel = random.normal(size=(3, 4, 5)).astype(np.float32)
  params = {"conv": {"kernel": jnp.asarray(kernel), "bias": jnp.zeros(5)}}
  adapters = low_rank.draw(params, jax.random.key(0), 2, "conv")
  own = {"a": adapters["conv/kernel"]["a"], "b": jnp.ones((3, 2, 5))}
  merged = low_rank.merge(params, {"conv/kernel": own})["conv"]
  added = np.asarray(own["a"]).sum(axis=2, keepdims=True)
  np.testing.assert_allclose(merged["kernel"], kernel + added, rtol=1e-5)
  np.testing.assert_array_equal(merged["bias"], 0)


def test_a_lora_is_a_denoisers_training(trainable):
  assert trainable.is_diffusion
  assert isinstance(trainable.objective.denoising, losses.Denoising)
