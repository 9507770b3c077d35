"""The training loop: epochs of steps, checkpoints, snapshots, a model folder."""

import pathlib
from typing import Any

import jax
import numpy as np
from absl import logging
from tqdm import tqdm

from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.scoring import workdir as workdirs
from lsaprobe_jax.strict_json import to_json
from lsaprobe_jax.text import printable
from lsaprobe_jax.training.checkpoints import TrainingCheckpoints
from lsaprobe_jax.training.loss_log import LossLog
from lsaprobe_jax.training.preparation import Preparation, prepare
from lsaprobe_jax.training.settings import TrainSettings
from lsaprobe_jax.training.train_state import TrainState, batches, make_eval_loss
from lsaprobe_jax.training.training_record import training_record


def train(
  settings: TrainSettings,
  workdir: str | pathlib.Path,
  export: str | pathlib.Path | None = None,
) -> pathlib.Path:
  """Trains one network of a model, or goes on where an interrupted run left off.

  Args:
    settings: what is trained, and how.
    workdir: takes `losses.jsonl`, `checkpoints/` and `snapshots/`. It belongs to these
      settings: others are refused in it.
    export: the model folder that is written at the end; `workdir/model` if None.

  Returns:
    The model folder, for `load_model`.

  Raises:
    SettingError: a setting cannot be used, or the loss is no longer a finite number.
    ArgumentError: the workdir belongs to another run, or is in use, or `export` holds
      another model.
    LsaProbeError: the log of losses is damaged.
  """
  workdir = pathlib.Path(workdir)
  if export is not None:
    _check_export(pathlib.Path(export), settings)
  export = pathlib.Path(export or workdir / "model")
  run = prepare(settings)
  identity = {"config": settings.to_dict(), "data": run.corpus.fingerprint()}
  workdirs.claim(workdir, identity | {"parts": run.start.sources})
  workdirs.lock(workdir)
  keeper = _Keeper(run)
  state = _train_epochs(run, keeper, workdir)
  keeper.save(export, state, settings.epochs)
  logging.info("wrote %s", export)
  return export


def _check_export(export: pathlib.Path, settings: TrainSettings) -> None:
  """Refuses to replace, in the end, a model that other settings trained.

  Settings that one of the two versions of this package did not have do not count.

  Raises:
    ArgumentError: it begins with `export`.
  """
  try:
    there = checkpoints.read_record(export).get("training")
  except checkpoints.CheckpointError:
    return  # There is none, or a damaged one.
  there = there if isinstance(there, dict) else {}
  if not _alike(there.get("config"), to_json(settings.to_dict())):
    raise ArgumentError(
      f"export={printable(export)}: it holds another model; name another folder, or"
      " delete that"
    )


def _alike(one: Any, other: Any) -> bool:
  """Whether two nested dicts have the same values where both have one."""
  if isinstance(one, dict) and isinstance(other, dict):
    return all(_alike(one[key], other[key]) for key in one.keys() & other.keys())
  return one == other


class _Keeper:
  """Follows the loss on whole groups, and writes model folders."""

  def __init__(self, run: Preparation):
    objective = run.trainable.objective
    self._run = run
    self.examples = objective.examples(run.corpus.audio)
    self._eval_loss = make_eval_loss(objective)
    self._eval_examples = {
      group: objective.examples(audio) for group, audio in run.eval_audio.items()
    }

  def eval_loss(self, params: Any) -> dict[str, list[float]]:
    """The mean loss by group, at fixed draws."""
    return {
      group: np.mean(self._eval_loss(params, own), axis=0).tolist()
      for group, own in self._eval_examples.items()
    }

  def save(self, folder: pathlib.Path, state: TrainState, epochs: int) -> None:
    """Writes a model folder with the averaged weights."""
    run = self._run
    dtype = run.settings.stored_dtype
    # What the record says holds of the weights as they are stored.
    stored = jax.tree.map(lambda x: x.astype(dtype).astype(np.float32), state.ema)
    record = training_record(
      run.settings,
      run.corpus,
      run.start,
      run.trainable,
      epochs=epochs,
      eval_loss=self.eval_loss(stored),
    )
    params, model = run.trainable.export(stored, self.examples)
    params = jax.tree.map(lambda x: np.asarray(x, dtype), params)
    checkpoints.save_model(folder, params, model, record)


def _train_epochs(
  run: Preparation, keeper: _Keeper, workdir: pathlib.Path
) -> TrainState:
  """The epochs that are left, with what is kept after them; returns the last state."""
  settings, per_epoch = run.settings, run.steps_per_epoch
  state, step = run.first_step()
  saved = TrainingCheckpoints(workdir / "checkpoints")
  first = 0
  if (latest := saved.restore_latest(state)) is not None:
    first, state = latest
    logging.info("resumed after epoch %d", first)
  log = LossLog(workdir / "losses.jsonl", first * per_epoch)
  bar = tqdm(initial=first * per_epoch, total=run.steps, unit="step", desc="training")
  for epoch in range(first, settings.epochs):
    state = _train_epoch(step, state, keeper.examples, settings, epoch, log, bar)
    done = epoch + 1
    snapshot = done in settings.snapshot_epochs
    if snapshot:
      keeper.save(workdir / "snapshots" / f"{done:05d}", state, done)
    if settings.eval_groups and (snapshot or done % settings.eval_epochs == 0):
      found = keeper.eval_loss(state.ema)
      log.write(step=done * per_epoch, epoch=done, eval_loss=found)
    if done % settings.save_epochs == 0 or done == settings.epochs:
      saved.save(done, state)
  bar.close()
  saved.close()
  return state


def _train_epoch(
  step,
  state: TrainState,
  examples: np.ndarray,
  settings: TrainSettings,
  epoch: int,
  log: LossLog,
  bar: tqdm,
) -> TrainState:
  """One pass over the examples; logs every `log_every` steps."""
  key = jax.random.key(settings.seed)
  size = settings.batch_size
  per_epoch = -(-len(examples) // size)
  epoch_batches = batches(examples, size, settings.seed, epoch)
  for count, (batch, mask) in enumerate(epoch_batches, epoch * per_epoch):
    step_key = jax.random.fold_in(key, count + 1)
    state, figures = step(state, batch, mask, step_key, np.float32(count))
    if (count + 1) % settings.log_every == 0:
      row = {name: float(figures[name]) for name in ("loss", "grad_norm")}
      _check_finite(row, count + 1, settings)
      log.write(step=count + 1, epoch=epoch, **row)
    bar.update()
  # Before it is kept: what is resumed from must be worth it. The weights are finite
  # where the gradient was.
  last = {name: float(figures[name]) for name in ("loss", "grad_norm")}
  _check_finite(last, count + 1, settings)
  return state


def _check_finite(found: dict[str, float], step: int, settings: TrainSettings) -> None:
  for name, value in found.items():
    if not np.isfinite(value):
      raise SettingError(
        f"learning_rate={settings.learning_rate:g}: the {name} is {value} at step"
        f" {step}; lower it or max_grad_norm, in a new workdir"
      )
