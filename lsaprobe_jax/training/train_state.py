"""Training a network on the clips of some groups of a corpus.

Every random draw is a function of (seed, step), so a run that is killed and resumed
from its last checkpoint repeats the same losses as one that was left alone.
"""

import functools
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from lsaprobe_jax import parallel, strict_json
from lsaprobe_jax.files import open_own, write_whole


class TrainState(struct.PyTreeNode):
  """What a step changes: `ema` are the averaged parameters that are kept."""

  params: Any
  ema: Any
  opt_state: Any


def make_optimizer(settings: Any, total_steps: int) -> optax.GradientTransformation:
  """Adam, gradients clipped by global norm, warm-up and cosine decay.

  Args:
    settings: `learning_rate`, `warmup_steps`, `final_learning_rate`, `max_grad_norm`.
    total_steps: steps of the whole run.
  """
  learning_rate = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=settings.learning_rate,
    warmup_steps=min(settings.warmup_steps, max(total_steps // 2, 1)),
    decay_steps=total_steps,
    end_value=settings.final_learning_rate,
  )
  return optax.chain(
    optax.clip_by_global_norm(settings.max_grad_norm), optax.adam(learning_rate)
  )


def make_step(
  objective: Any, optimizer: optax.GradientTransformation, ema_decay: float
):
  """Compiles one training step of an objective (`objectives`).

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
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # A short memory at first, else the average remembers the initial weights.
    decay = jnp.minimum(ema_decay, (1 + count) / (10 + count))
    ema = optax.incremental_update(params, state.ema, 1 - decay)
    figures = {"loss": mean, "grad_norm": optax.tree.norm(grads), "losses": losses}
    return TrainState(params=params, ema=ema, opt_state=opt_state), figures

  # An argument, not a constant: a latent objective carries weights of its own.
  return functools.partial(run, objective)


def batches(
  examples: np.ndarray, batch_size: int, seed: int, epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """One epoch in its own order: (examples [batch, ...], mask [batch]).

  The ragged last batch is padded and masked, never dropped.
  """
  order = np.random.default_rng([seed, epoch]).permutation(len(examples))
  for start in range(0, len(order), batch_size):
    index = order[start : start + batch_size]
    mask = np.zeros(batch_size, np.float32)
    mask[: len(index)] = 1
    yield examples[np.resize(index, batch_size)], mask


def steps_per_epoch(num_clips: int, batch_size: int) -> int:
  """Batches an epoch takes, the ragged one counted."""
  return -(-num_clips // batch_size)


def make_eval_loss(objective: Any):
  """Compiles the loss of weights on examples at fixed draws.

  Returns:
    `eval_loss(params, examples [n, ...])` -> float [n, k], an objective's `held`; the
    draws of example i are the same in every call, so that epochs and groups can be
    compared.
  """

  def one(shared, example, index):
    objective, params = shared
    return objective.held(params, example, jax.random.fold_in(jax.random.key(0), index))

  run = parallel.over_examples(one, batch_size=16)

  def eval_loss(params, examples):
    parts = run((objective, params), examples, np.arange(len(examples)))
    return np.concatenate([losses for _, losses in parts])

  return eval_loss


class LossLog:
  """Losses as JSON lines; a resumed run cuts what lies after its checkpoint."""

  def __init__(self, path: pathlib.Path, resume_step: int):
    """Opens the log.

    Args:
      path: of the file.
      resume_step: rows of later steps are cut.

    Raises:
      ValueError: a whole line is not a row of losses.
    """
    self._path = path
    rows = []
    if path.exists():
      # What stands behind the last line's end was cut short by a kill.
      *lines, _ = path.read_bytes().split(b"\n")
      for number, line in enumerate(lines, 1):
        try:
          step = strict_json.loads(line)["step"]
          if step <= resume_step:
            rows.append(line.decode())
        except (ValueError, TypeError, LookupError) as error:
          raise ValueError(
            f"{path}: line {number} is not a row of losses; mend or remove it"
          ) from error
    write_whole(path, "".join(f"{line}\n" for line in rows))

  def write(self, **row: Any) -> None:
    """Appends one row; it must hold `step`."""
    with open_own(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, "a") as file:
      file.write(json.dumps(row) + "\n")
