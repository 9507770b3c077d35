"""Trains a denoiser on one group of a corpus.

python -m launch.train --config=configs/train_diffwave.py:multigenre,a --workdir=DIR
"""

import pathlib

import jax
import numpy as np
from absl import app, flags, logging
from ml_collections import config_flags
from tqdm import tqdm

from launch import common
from lsaprobe_jax import checkpoints, training
from lsaprobe_jax.models import generator as generators

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment.", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Checkpoints and losses go here.")
_EXPORT = flags.DEFINE_string(
  "export", None, "Where the trained model folder goes (default: WORKDIR/model)."
)
flags.mark_flags_as_required(["config", "workdir"])

# Times at which the loss on whole groups is followed.
_HELD_T = (0.1, 0.2, 0.4, 0.6)


def _record(config, corpus, epoch, losses):
  return {
    "config": common.jsonable(config),
    "corpus": config.corpus.path,
    "group": config.corpus.group,
    "epochs": epoch,
    "clips": [{"id": clip.id, "sha256": clip.sha256} for clip in corpus.clips],
    "loss_t_ratios": _HELD_T,
    "losses": losses,
  }


def main(argv):
  del argv
  config = _CONFIG.value
  workdir = pathlib.Path(_WORKDIR.value)
  group = config.corpus.group
  corpora = {
    name: common.open_corpus(
      config.corpus, config.model.sample_rate, config.corpus.clips_per_track, [name]
    )
    for name in dict.fromkeys((group, *config.held_groups))
  }
  corpus = corpora[group]
  held = {name: corpora[name].audio for name in config.held_groups}
  common.claim_workdir(workdir, {"config": common.jsonable(config), "data": corpus.fingerprint()})

  model_config = common.jsonable(config.model)
  key = jax.random.key(config.seed)
  params = generators.init_params(model_config, jax.random.fold_in(key, 0))
  model = generators.build_generator(model_config, params, num_steps=1)
  per_epoch = training.steps_per_epoch(len(corpus.clips), config.batch_size)
  optimizer = training.make_optimizer(config, config.epochs * per_epoch)
  state = training.TrainState(
    params=params, ema=params, opt_state=optimizer.init(params)
  )
  step = training.make_step(model, optimizer, config.ema_decay, config.loss_power)
  held_loss = training.make_held_loss(config.loss_power, _HELD_T)

  saved = checkpoints.TrainingCheckpoints(workdir / "checkpoints")
  first_epoch = 0
  if (latest := saved.restore_latest(state)) is not None:
    first_epoch, state = latest
    logging.info("resumed after epoch %d", first_epoch)
  log = training.LossLog(workdir / "losses.jsonl", first_epoch * per_epoch)

  losses = {}
  for epoch in tqdm(
    range(first_epoch, config.epochs), initial=first_epoch, total=config.epochs,
    unit="epoch", desc=f"{config.corpus.path} {config.corpus.group}",
  ):
    for i, (audio, mask) in enumerate(
      training.batches(corpus.audio, config.batch_size, config.seed, epoch)
    ):
      count = epoch * per_epoch + i
      state, figures = step(
        state, audio, mask, jax.random.fold_in(key, count + 1), np.float32(count)
      )
      if (count + 1) % config.log_every == 0:
        loss = float(figures["loss"])
        if not np.isfinite(loss):
          raise FloatingPointError(f"loss is {loss} at step {count + 1}")
        log.write(step=count + 1, epoch=epoch, loss=loss, grad_norm=float(figures["grad_norm"]))
    done = epoch + 1
    last = done == config.epochs
    if last or done % config.eval_epochs == 0 or done in config.snapshot_epochs:
      losses = {
        group: np.mean(held_loss(model.replace(params=state.ema), audio), 0).tolist()
        for group, audio in held.items()
      }
      log.write(step=done * per_epoch, epoch=done, held=losses)
    if done in config.snapshot_epochs:
      folder = workdir / "snapshots" / f"{done:05d}"
      checkpoints.save_model(folder, state.ema, model_config, _record(config, corpus, done, losses))
    if last or done % config.save_epochs == 0:
      saved.save(done, state)
  saved.close()
  if not losses:
    losses = {group: np.mean(held_loss(model.replace(params=state.ema), audio), 0).tolist() for group, audio in held.items()}
  export = pathlib.Path(_EXPORT.value or workdir / "model")
  checkpoints.save_model(export, state.ema, model_config, _record(config, corpus, config.epochs, losses))
  logging.info("wrote %s", export)


if __name__ == "__main__":
  app.run(main)
