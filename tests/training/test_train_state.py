"""The training step, its batches, its optimiser and its log, on a tiny DiffWave."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_diffwave import MODEL

from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.models import registry
from lsaprobe_jax.training import losses, train_state
from lsaprobe_jax.training.loss_log import LossLog
from lsaprobe_jax.training.optimiser import make_optimiser
from lsaprobe_jax.training.settings import TrainCorpus, TrainSettings

SETTINGS = TrainSettings(
  corpus=TrainCorpus(path="x", groups=("a",), clip_seconds=0.016),
  model=MODEL,
  epochs=1,
  learning_rate=3e-3,
  final_learning_rate=1e-4,
  warmup_steps=5,
)
STEPS, BATCH, POWER, DECAY = 120, 4, 2, 0.9


@pytest.fixture(scope="module")
def clips():
  time = np.arange(128) / 8000
  tones = [np.sin(2 * np.pi * f * time) for f in (200, 300, 450, 700, 1000)]
  return 0.25 * np.asarray(tones, np.float32)


@pytest.fixture(scope="module")
def model():
  params = registry.init_params(MODEL, jax.random.key(0))
  return registry.build_model(MODEL, params, num_inference_steps=1)


@pytest.fixture(scope="module")
def optimiser():
  return make_optimiser(SETTINGS, STEPS)


@pytest.fixture(scope="module")
def objective(model):
  return losses.Denoising(model, POWER, (0.25, 1.0))


@pytest.fixture(scope="module")
def step(objective, optimiser):
  return train_state.make_step(objective, optimiser, DECAY)


@pytest.fixture(scope="module")
def states(objective, clips):
  return objective.examples(clips)


@pytest.fixture(scope="module")
def start(model, optimiser):
  return train_state.TrainState.create(model.params, optimiser)


def train(step, state, examples, steps=STEPS):
  states, figures = [], []
  per_epoch = train_state.steps_per_epoch(len(examples), BATCH)
  for epoch in range(-(-steps // per_epoch)):
    for batch, mask in train_state.batches(examples, BATCH, 0, epoch):
      key = jax.random.fold_in(jax.random.key(1), len(states))
      state, found = step(state, batch, mask, key, np.float32(len(states)))
      states.append(state)
      figures.append(found)
  return states, figures


@pytest.fixture(scope="module")
def run(step, start, states):
  return train(step, start, states)


@pytest.mark.parametrize(("count", "batch_size"), [(5, 4), (8, 4), (1, 4), (7, 1)])
def test_an_epoch_holds_every_clip_once(count, batch_size):
  audio = np.repeat(np.arange(1.0, count + 1)[:, None], 3, axis=1)
  batches = list(train_state.batches(audio, batch_size, seed=0, epoch=2))
  assert len(batches) == train_state.steps_per_epoch(count, batch_size)
  for rows, mask in batches:
    assert rows.shape == (batch_size, 3)
    assert mask.dtype == np.float32
    assert set(rows[:, 0]) <= set(audio[:, 0])  # padding is clips, never zeros
  seen = np.concatenate([rows[mask == 1, 0] for rows, mask in batches])
  np.testing.assert_array_equal(np.sort(seen), audio[:, 0])
  assert sum(mask.sum() for _, mask in batches) == count


def test_the_order_is_that_of_seed_and_epoch():
  audio = np.arange(20.0)[:, None]
  order = lambda seed, epoch: np.concatenate(
    [rows[:, 0] for rows, _ in train_state.batches(audio, 5, seed, epoch)]
  ).tolist()
  assert order(0, 3) == order(0, 3)
  assert order(0, 3) != order(0, 4)
  assert order(0, 3) != order(1, 3)


def test_the_loss_is_the_mean_error_of_the_noise(model, clips):
  noise = np.random.default_rng(0).normal(size=128).astype(np.float32)
  alpha_bar = np.cumprod(1 - np.linspace(1e-3, 0.2, 20))[6]
  x_t = np.sqrt(alpha_bar) * 4 * clips[0] + np.sqrt(1 - alpha_bar) * noise
  params = registry.random_params(MODEL, jax.random.key(2))
  model = model.replace(params=params)
  predicted = model.network.apply({"params": params}, x_t, 6)
  for power in (1, 2):
    expected = np.mean(np.abs(noise - predicted) ** power)
    objective = losses.Denoising(model, power, (0.35,))
    loss = objective.at(params, model.encode(clips[0]), 7, noise)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_loss_falls(run, model, objective, states):
  _, figures = run
  losses = [float(found["loss"]) for found in figures]
  # Noise of unit variance and a network that starts at zero.
  assert np.mean(losses[:4]) == pytest.approx(1, abs=0.3)
  assert np.mean(losses[-40:]) < 0.9 * np.mean(losses[:10])
  eval_loss = train_state.make_eval_loss(objective)
  before = eval_loss(model.params, states)
  after = eval_loss(run[0][-1].ema, states)
  assert before.shape == (5, 2)
  assert np.all(after.mean(axis=0) < before.mean(axis=0))
  # Each clip keeps its noise, whatever other clips there are.
  np.testing.assert_allclose(eval_loss(model.params, states[:3]), before[:3], rtol=1e-6)


def test_steps_repeat_bit_by_bit(run, step, start, states):
  trained, figures = run
  again, found = train(step, start, states, steps=10)
  assert [float(f["loss"]) for f in found] == [float(f["loss"]) for f in figures[:10]]
  jax.tree.map(np.testing.assert_array_equal, again[-1], trained[9])


def test_padding_changes_nothing(step, start, states):
  key, mask = jax.random.key(0), np.float32([1, 1, 0, 0])
  one, found = step(start, states[[0, 1, 2, 3]], mask, key, np.float32(0))
  two, again = step(start, states[[0, 1, 4, 0]], mask, key, np.float32(0))
  jax.tree.map(np.testing.assert_array_equal, one, two)
  assert found["loss"] == again["loss"] == np.mean(found["losses"][:2])


def test_the_average_starts_short(run, start):
  states, _ = run
  average = start.params
  for count, state in enumerate(states[:100]):
    decay = min(DECAY, (1 + count) / (10 + count))
    mix = lambda old, new, d=decay: d * old + (1 - d) * new
    average = jax.tree.map(mix, average, state.params)
    if count in (0, 5, 99):
      jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5),
        state.ema,
        average,
      )
  # After the first step nine tenths of the average are the new weights.
  bias = lambda params: np.asarray(params["output_projection"]["bias"])
  moved = bias(states[1].params) - bias(start.params)
  assert np.all(moved != 0)


def test_large_gradients_are_clipped(optimiser):
  params = {"w": jnp.zeros(3)}
  chain = make_optimiser(SETTINGS, 100)
  updates = []
  for size in (1.0, 1e6):
    state, out = chain.init(params), None
    for _ in range(3):
      out, state = chain.update({"w": jnp.array([3.0, 0, 4.0]) * size}, state, params)
    updates.append(out["w"])
  np.testing.assert_allclose(updates[0], updates[1], rtol=1e-5)


def test_the_learning_rate_rises_and_decays():
  chain = make_optimiser(SETTINGS, 50)
  params = {"w": jnp.zeros(1)}
  state, sizes = chain.init(params), []
  for _ in range(50):
    # A constant gradient: Adam's step is the learning rate itself.
    updates, state = chain.update({"w": jnp.ones(1)}, state, params)
    params = optax.apply_updates(params, updates)
    sizes.append(abs(float(updates["w"][0])))
  assert sizes[0] == pytest.approx(0, abs=1e-9)
  assert max(sizes) == pytest.approx(3e-3, rel=1e-3)
  assert np.argmax(sizes) == SETTINGS.warmup_steps
  assert np.all(np.diff(sizes[5:]) < 0)
  assert sizes[-1] < 2e-4


def test_a_resumed_log_drops_what_lies_after_its_checkpoint(tmp_path):
  path = tmp_path / "losses.jsonl"
  log = LossLog(path, 0)
  for i in range(1, 7):
    log.write(step=i, loss=1 / i)
  with path.open("a") as file:
    file.write('{"step": 7, "lo')
  log = LossLog(path, 4)
  log.write(step=5, loss=0.5)
  rows = [json.loads(line) for line in path.read_text().splitlines()]
  assert rows == [{"step": i, "loss": 1 / i} for i in range(1, 5)] + [
    {"step": 5, "loss": 0.5}
  ]
  LossLog(path, 0)
  assert path.read_text() == ""


@pytest.mark.parametrize(
  "line", ["5", "{}", '{"step": "x"}', '{"step": 1, "loss": NaN}']
)
def test_a_damaged_log_is_named_with_its_line(tmp_path, line):
  path = tmp_path / "losses.jsonl"
  path.write_text(f'{{"step": 1, "loss": 1.0}}\n{line}\n')
  with pytest.raises(
    LsaProbeError, match=r"losses.jsonl: line 2 is not a row of losses"
  ):
    LossLog(path, 4)
