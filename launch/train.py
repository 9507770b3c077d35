"""Trains a denoiser on one group of a corpus.

python -m launch.train --config=configs/train_diffwave.py:multigenre,a --workdir=DIR
"""

import pathlib
from typing import Any

import jax
import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags
from tqdm import tqdm

from launch import common
from lsaprobe_jax import checkpoints, training
from lsaprobe_jax.data.corpus import Corpus
from lsaprobe_jax.models import generator as generators

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Checkpoints and losses go here.")
_EXPORT = flags.DEFINE_string(
  "export", None, "Where the trained model folder goes (default: WORKDIR/model)."
)

# Times at which the loss on whole groups is followed.
_HELD_T = (0.1, 0.2, 0.4, 0.6)


def _open_corpora(config: ConfigDict) -> tuple[Corpus, dict[str, Corpus]]:
  """The trained group's clips, and those of the groups whose loss is followed."""
  corpora = {
    group: common.open_corpus(
      config.corpus, config.model.sample_rate, config.corpus.clips_per_track, [group]
    )
    for group in dict.fromkeys((config.corpus.group, *config.held_groups))
  }
  held = {group: corpora[group] for group in config.held_groups}
  return corpora[config.corpus.group], held


def _record(config: ConfigDict, corpus: Corpus, epochs: int, losses) -> dict[str, Any]:
  """What the model folder says of its training."""
  return {
    "config": common.jsonable(config),
    "corpus": config.corpus.path,
    "group": config.corpus.group,
    "epochs": epochs,
    "clips": [{"id": clip.id, "sha256": clip.sha256} for clip in corpus.clips],
    "loss_t_ratios": _HELD_T,
    "losses": losses,
  }


def _train_epoch(step, state, corpus: Corpus, config: ConfigDict, epoch: int, log):
  """One pass over the clips; logs every `log_every` steps."""
  per_epoch = training.steps_per_epoch(len(corpus), config.batch_size)
  key = jax.random.key(config.seed)
  batches = training.batches(corpus.audio, config.batch_size, config.seed, epoch)
  for count, (audio, mask) in enumerate(batches, epoch * per_epoch):
    step_key = jax.random.fold_in(key, count + 1)
    state, figures = step(state, audio, mask, step_key, np.float32(count))
    if (count + 1) % config.log_every == 0:
      row = {name: float(figures[name]) for name in ("loss", "grad_norm")}
      if not np.isfinite(row["loss"]):
        raise FloatingPointError(f"loss is {row['loss']} at step {count + 1}")
      log.write(step=count + 1, epoch=epoch, **row)
  return state


def _initial_state(config: ConfigDict, steps: int):
  """The untrained model, its optimizer and the state they start from."""
  model_config = common.jsonable(config.model)
  key = jax.random.fold_in(jax.random.key(config.seed), 0)
  params = generators.init_params(model_config, key)
  model = generators.build_generator(model_config, params, num_steps=1)
  optimizer = training.make_optimizer(config, steps)
  state = training.TrainState(
    params=params, ema=params, opt_state=optimizer.init(params)
  )
  return model, optimizer, state


def main(argv):
  """Trains, or goes on where an interrupted run left off."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_compilation_cache()
  config, workdir = _CONFIG.value, pathlib.Path(_WORKDIR.value)
  corpus, held = _open_corpora(config)
  common.claim_workdir(
    workdir, {"config": common.jsonable(config), "data": corpus.fingerprint()}
  )
  common.lock_workdir(workdir)
  per_epoch = training.steps_per_epoch(len(corpus), config.batch_size)
  model, optimizer, state = _initial_state(config, config.epochs * per_epoch)
  step = training.make_step(model, optimizer, config.ema_decay, config.loss_power)
  held_loss = training.make_held_loss(config.loss_power, _HELD_T)

  def losses_of(state):
    trained = model.replace(params=state.ema)
    return {
      group: np.mean(held_loss(trained, clips.audio), axis=0).tolist()
      for group, clips in held.items()
    }

  def save(folder, state, epochs):
    record = _record(config, corpus, epochs, losses_of(state))
    checkpoints.save_model(folder, state.ema, common.jsonable(config.model), record)

  saved = checkpoints.TrainingCheckpoints(workdir / "checkpoints")
  first = 0
  if (latest := saved.restore_latest(state)) is not None:
    first, state = latest
    logging.info("resumed after epoch %d", first)
  log = training.LossLog(workdir / "losses.jsonl", first * per_epoch)
  progress = {"initial": first, "total": config.epochs, "unit": "epoch"}
  for epoch in tqdm(range(first, config.epochs), **progress):
    state = _train_epoch(step, state, corpus, config, epoch, log)
    done = epoch + 1
    snapshot = done in config.snapshot_epochs
    if snapshot:
      save(workdir / "snapshots" / f"{done:05d}", state, done)
    if snapshot or done % config.eval_epochs == 0:
      log.write(step=done * per_epoch, epoch=done, held=losses_of(state))
    if done % config.save_epochs == 0 or done == config.epochs:
      saved.save(done, state)
  saved.close()
  export = pathlib.Path(_EXPORT.value or workdir / "model")
  save(export, state, config.epochs)
  logging.info("wrote %s", export)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  app.run(main)
