"""What one training step changes, the step itself, and the batches it reads.

Every random draw is a function of (seed, step), so a run that is killed and resumed
from its last checkpoint repeats the same losses as one that was left alone.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from lsaprobe_jax import parallel

# Examples whose loss is followed in one call.
_EVAL_BATCH = 16


class TrainState(struct.PyTreeNode):
  """What a step changes.

  Attributes:
    params: the weights.
    ema: their moving average, which is what is kept.
    opt_state: the optimiser's state.
  """

  params: Any
  ema: Any
  opt_state: Any

  @classmethod
  def create(cls, params: Any, optimiser: optax.GradientTransformation) -> "TrainState":
    """The state before the first step."""
    return cls(params=params, ema=params, opt_state=optimiser.init(params))


def make_step(
  objective: Any, optimiser: optax.GradientTransformation, ema_decay: float
) -> Callable[..., tuple[TrainState, dict[str, jax.Array]]]:
  """Compiles one training step of an objective (`training.losses`).

  Returns:
    `step(state, examples [batch, ...], mask [batch], key, count)` -> (state,
    figures), where figures holds `loss`, `grad_norm` and per example `losses`.
    `count` is the number of steps taken: the average starts short.
  """

  @jax.jit
  def run(objective, state, examples, mask, key, count):
    keys = jax.random.split(key, examples.shape[0])
    mean, losses, grads = parallel.mean_value_and_grad(
      objective.loss,
      state.params,
      mask,
      examples,
      keys,
      together=objective.together,
    )
    updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # A short memory at first, else the average remembers the initial weights.
    decay = jnp.minimum(ema_decay, (1 + count) / (10 + count))
    ema = optax.incremental_update(params, state.ema, 1 - decay)
    figures = {"loss": mean, "grad_norm": optax.tree.norm(grads), "losses": losses}
    return TrainState(params=params, ema=ema, opt_state=opt_state), figures

  # An argument, not a constant: a latent objective carries weights of its own.
  return functools.partial(run, objective)


def make_eval_loss(objective: Any) -> Callable[[Any, np.ndarray], np.ndarray]:
  """Compiles the loss of weights on examples at fixed draws.

  Returns:
    `eval_loss(params, examples [n, ...])` -> float [n, k], an objective's own
    `eval_loss` of each. The draws of example i are the same in every call, so that
    epochs and groups can be compared.
  """

  def one(shared, example, index):
    objective, params = shared
    key = jax.random.fold_in(jax.random.key(0), index)
    return objective.eval_loss(params, example, key)

  run = parallel.over_examples(one, batch_size=_EVAL_BATCH)

  def eval_loss(params, examples):
    parts = run((objective, params), examples, np.arange(len(examples)))
    return np.concatenate([losses for _, losses in parts])

  return eval_loss


def batches(
  examples: np.ndarray, batch_size: int, seed: int, epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields one epoch in its own order: (examples [batch, ...], mask [batch]).

  The ragged last batch is padded and masked, never dropped.
  """
  order = np.random.default_rng([seed, epoch]).permutation(len(examples))
  for start in range(0, len(order), batch_size):
    index = order[start : start + batch_size]
    mask = np.zeros(batch_size, np.float32)
    mask[: len(index)] = 1
    yield examples[np.resize(index, batch_size)], mask


def steps_per_epoch(num_clips: int, batch_size: int) -> int:
  """The batches that an epoch takes, the ragged one counted."""
  return -(-num_clips // batch_size)
