"""Trains one network of a model on groups of a corpus.

python -m launch.train --config=configs/train_diffwave.py:multigenre,a --workdir=DIR

`config.trains` says which: `denoiser` (DiffWave, or the UNet of a latent model), `vae`
or `vocoder`. What a latent model has besides comes from `config.parts`, folders that
earlier trainings exported. `config.initial` is a whole model of the same configuration
to train on from (fine-tuning) instead of random weights; it brings its parts. Steps are
counted from 0 again: draw other noise by another `config.seed` than its own. --dry_run
times some steps and estimates the whole.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags
from tqdm import tqdm

from launch import command, common
from lsaprobe_jax import distances
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.models import checkpoints, conversion, registry
from lsaprobe_jax.scoring import rules
from lsaprobe_jax.training import checkpoints as training_checkpoints
from lsaprobe_jax.training import losses, train_state

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Checkpoints and losses go here.")
_EXPORT = flags.DEFINE_string(
  "export", None, "Where the trained model folder goes (default: WORKDIR/model)."
)

_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Time some steps and estimate the training; write nothing."
)

_MOST_IN_BATCH = 65_536

# Steps that are timed, after one that compiles.
_TIMED_STEPS = 3
# Times at which the loss on whole groups is followed.
_EVAL_T_RATIOS = (0.1, 0.2, 0.4, 0.6)


def _open_corpora(config: ConfigDict) -> tuple[Corpus, dict[str, Corpus]]:
  """The trained groups' clips, and those of the groups whose loss is followed."""
  opened, rate = config.corpus, config.model.sample_rate
  held = {
    group: common.open_corpus(opened, rate, config.eval_clips_per_track, [group])
    for group in config.eval_groups
  }
  trained = common.open_corpus(opened, rate, opened.clips_per_track, opened.groups)
  return trained, held


def _record(
  config: ConfigDict, corpus: Corpus, epochs: int, losses, initial: dict | None
) -> dict[str, Any]:
  """What the model folder says of its training.

  Args:
    config: all settings.
    corpus: what it was trained on.
    epochs: of this training.
    losses: by group, on clips it was and was not trained on.
    initial: the record of the model it was trained on from, whose clips it saw too.
  """
  groups = set(config.corpus.groups)
  clips = {clip.id: clip.sha256 for clip in corpus.clips}
  if initial:
    groups |= _seen(initial)[0]
    clips |= _seen(initial)[1]
  denoiser = config.trains == "denoiser"
  return {
    "config": common.jsonable(config),
    "corpus": config.corpus.path,
    # Whose clips are members; none where the diffusion itself was not trained.
    "group": min(groups) if denoiser and len(groups) == 1 else None,
    "epochs": epochs,
    "initial": initial and initial["weights_sha256"],
    "clips": [{"id": name, "sha256": sha256} for name, sha256 in clips.items()],
    "loss_t_ratios": _EVAL_T_RATIOS if denoiser else None,
    "losses": losses,
  }


def _seen(initial: dict[str, Any]) -> tuple[set[str], dict[str, str]]:
  """(groups, hashes of clips by id) that a model's record says it was trained on."""
  training = initial["training"] or {}
  clips = {clip["id"]: clip["sha256"] for clip in training.get("clips") or ()}
  # One whose clips are several groups' has none of its own.
  return ({training.get("group")} if clips else set()), clips


def _check_initial(config: ConfigDict, corpus: Corpus, initial: dict[str, Any]) -> None:
  """Refuses a model that saw other samples under the id of a clip."""
  _, seen = _seen(initial)
  for clip in corpus.clips:
    if seen.get(clip.id, clip.sha256) != clip.sha256:
      raise app.UsageError(
        f"--config.initial={config.initial}: it was trained on other samples of"
        f" {clip.id}; open the corpus as it was for it, or rename the track"
      )


def _train_epoch(step, state, examples, config: ConfigDict, epoch: int, log, bar):
  """One pass over the examples; logs every `log_every` steps."""
  per_epoch = train_state.steps_per_epoch(len(examples), config.batch_size)
  key = jax.random.key(config.seed)
  batches = train_state.batches(examples, config.batch_size, config.seed, epoch)
  for count, (batch, mask) in enumerate(batches, epoch * per_epoch):
    step_key = jax.random.fold_in(key, count + 1)
    state, figures = step(state, batch, mask, step_key, np.float32(count))
    if (count + 1) % config.log_every == 0:
      row = {name: float(figures[name]) for name in ("loss", "grad_norm")}
      _check_finite(row["loss"], count + 1)
      log.write(step=count + 1, epoch=epoch, **row)
    bar.update()
  # Before it is kept: what is resumed from must be worth it.
  _check_finite(float(figures["loss"]), count + 1)
  return state


def _check_finite(loss: float, step: int) -> None:
  if not np.isfinite(loss):
    raise FloatingPointError(
      f"the loss is {loss} at step {step}: lower --config.learning_rate or"
      " --config.max_grad_norm; the last checkpoint is from before it"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Trained:
  """What is trained, and what is exported around it.

  Attributes:
    objective: see `objectives`.
    export: trained parameters and examples -> (parameters, model configuration) of
      the model folder.
    parts: hashes of the weights that come from elsewhere.
    initial: the record of the model that is trained on from.
  """

  objective: Any
  export: Callable[[Any, Any], tuple[Any, dict[str, Any]]]
  parts: dict[str, str]
  initial: dict[str, Any] | None


def _build(config: ConfigDict) -> _Trained:
  """What `config.trains` asks for, with fresh parameters or those of `initial`."""
  model = common.jsonable(config.model)
  key = jax.random.fold_in(jax.random.key(config.seed), 0)
  parts, initial = config.get("parts", {}), None
  if config.get("initial"):
    params, initial = _load_initial(config.initial, model, parts)
    hashes = {"initial": initial["weights_sha256"]}
    model = initial["model"]
  else:
    params, hashes = registry.init_params(model, key), {}
    for name, folder in parts.items():
      params[name], model[name], hashes[name] = _load_part(name, folder)
  diffusion_model = registry.build_model(model, params, num_inference_steps=1)
  if config.trains == "denoiser":
    latent = model["family"] == "musicldm"
    objective = losses.Denoising(
      diffusion_model, config.loss_power, _EVAL_T_RATIOS, latent=latent
    )
    whole = lambda denoiser: params | {"unet": denoiser} if latent else denoiser
    export = lambda denoiser, _: (whole(denoiser), model)
  elif config.trains == "vae":
    objective = losses.Autoencoding(
      diffusion_model.vae_params,
      diffusion_model.front_end,
      diffusion_model.autoencoder,
      config.kl_weight,
    )

    def export(vae, examples):
      # Latents of unit variance, as latent diffusion wants them.
      own = model["vae"] | {"scaling_factor": 1 / objective.spread(vae, examples)}
      return {"vae": vae}, model | {"vae": own}
  elif config.trains == "vocoder":
    distance = distances.get("mr_stft", sample_rate=diffusion_model.sample_rate)
    objective = losses.Vocoding(
      diffusion_model.vocoder_params,
      diffusion_model.front_end,
      distance,
      diffusion_model.voice,
      config.mel_weight,
    )
    export = lambda vocoder, _: ({"vocoder": vocoder}, model)
  else:
    raise app.UsageError(f"--config.trains={config.trains}: denoiser, vae or vocoder")
  return _Trained(objective=objective, export=export, parts=hashes, initial=initial)


def _load_initial(
  folder: str, model: dict[str, Any], parts
) -> tuple[Any, dict[str, Any]]:
  """Weights and record of a model to train on from, of this configuration but parts."""
  params, record = _load("initial", folder)
  found = record["model"]
  for name in sorted({*found, *model} - {*parts}):
    if found.get(name) != model.get(name):
      raise app.UsageError(
        f"--config.initial={folder}: its {name} is not that of --config.model:"
        f" {found.get(name)!s:.100} and {model.get(name)!s:.100}"
      )
  try:
    count = len(jax.tree.leaves(params))
    checkpoints.check_fit(params, registry.abstract_params(found, count), folder)
  except checkpoints.CheckpointError as error:
    raise app.UsageError(f"--config.initial: {error}") from error
  return params, record


def _load_part(name: str, folder: str) -> tuple[Any, dict[str, Any], str]:
  """Weights, configuration and hash of a network that an earlier training exported."""
  params, record = _load(f"parts.{name}", folder)
  if name not in params:
    raise app.UsageError(
      f"--config.parts.{name}: {folder}: has no {name}, but {list(params)}"
    )
  return params[name], record["model"][name], record["weights_sha256"]


def _load(setting: str, model: str) -> tuple[Any, dict[str, Any]]:
  """Weights and record of a model that a setting names."""
  try:
    return checkpoints.load_model(conversion.find_model(model))
  except checkpoints.CheckpointError as error:
    raise app.UsageError(f"--config.{setting}: {error}") from error


def main(argv):
  """Trains, or goes on where an interrupted run left off."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_compilation_cache()
  config, workdir = _CONFIG.value, pathlib.Path(_WORKDIR.value)
  _check(config)
  with common.ending_in_one_line(f"the last checkpoint in {workdir}"):
    if _DRY_RUN.value:
      print(_estimate(config))
    else:
      _train(config, workdir)


def _start(config: ConfigDict, objective, per_epoch: int):
  """(state before the first step, the compiled step)."""
  optimizer = train_state.make_optimizer(config, config.epochs * per_epoch)
  state = train_state.TrainState(
    params=objective.params,
    ema=objective.params,
    opt_state=optimizer.init(objective.params),
  )
  return state, train_state.make_step(objective, optimizer, config.ema_decay)


def _estimate(config: ConfigDict) -> str:
  """What the training would take, from its first steps."""
  corpus, _ = _open_corpora(config)
  objective = _build(config).objective
  per_epoch = train_state.steps_per_epoch(len(corpus), config.batch_size)
  state, step = _start(config, objective, per_epoch)
  examples = objective.examples(corpus.take(range(min(len(corpus), 64))).audio)
  batch, mask = next(train_state.batches(examples, config.batch_size, config.seed, 0))
  key, took = jax.random.key(config.seed), []
  for number in range(1 + _TIMED_STEPS):
    start = time.perf_counter()
    state, _ = jax.block_until_ready(step(state, batch, mask, key, np.float32(number)))
    took.append(time.perf_counter() - start)
  each = float(np.median(took[1:]))
  steps = config.epochs * per_epoch
  return (
    f"{len(corpus)} clips, {config.epochs} epochs of {per_epoch} steps, {each:.3g} s a"
    f" step and {max(took[0] - each, 0):.0f} s to compile\nestimate:"
    f" {steps * each / 3600:.2f} h on {jax.local_devices()[0].device_kind}, without"
    f" reading the clips and following losses; timed on {_TIMED_STEPS} steps, nothing"
    " was kept"
  )


def _check(config: ConfigDict) -> None:
  rules.check(config)
  # A batch is padded to its size, however few clips there are.
  if not 1 <= config.batch_size <= _MOST_IN_BATCH:
    raise app.UsageError(
      f"--config.batch_size={config.batch_size}: at least 1, at most {_MOST_IN_BATCH}"
    )


def _train(config: ConfigDict, workdir: pathlib.Path) -> None:
  corpus, held = _open_corpora(config)
  trained = _build(config)
  if trained.initial:
    _check_initial(config, corpus, trained.initial)
  identity = {"config": common.jsonable(config), "data": corpus.fingerprint()}
  common.claim_workdir(workdir, identity | {"parts": trained.parts})
  common.lock_workdir(workdir)
  per_epoch = train_state.steps_per_epoch(len(corpus), config.batch_size)
  objective = trained.objective
  state, step = _start(config, objective, per_epoch)
  eval_loss = train_state.make_eval_loss(objective)
  examples = objective.examples(corpus.audio)
  held = {group: objective.examples(own.audio) for group, own in held.items()}

  def losses_of(params):
    return {
      group: np.mean(eval_loss(params, own), axis=0).tolist()
      for group, own in held.items()
    }

  def save(folder, state, epochs):
    # What the record says holds of the weights as they are stored.
    stored = jax.tree.map(lambda x: x.astype(config.stored_dtype), state.ema)
    rounded = jax.tree.map(lambda x: x.astype(np.float32), stored)
    record = _record(config, corpus, epochs, losses_of(rounded), trained.initial)
    params, model = trained.export(rounded, examples)
    params = jax.tree.map(lambda x: np.asarray(x, config.stored_dtype), params)
    checkpoints.save_model(folder, params, model, record)

  saved = training_checkpoints.TrainingCheckpoints(workdir / "checkpoints")
  first = 0
  if (latest := saved.restore_latest(state)) is not None:
    first, state = latest
    logging.info("resumed after epoch %d", first)
  try:
    log = train_state.LossLog(workdir / "losses.jsonl", first * per_epoch)
  except ValueError as error:
    raise app.UsageError(f"--workdir: {error}") from error
  total = config.epochs * per_epoch
  bar = tqdm(initial=first * per_epoch, total=total, unit="step", desc="training")
  for epoch in range(first, config.epochs):
    state = _train_epoch(step, state, examples, config, epoch, log, bar)
    done = epoch + 1
    snapshot = done in config.snapshot_epochs
    if snapshot:
      save(workdir / "snapshots" / f"{done:05d}", state, done)
    if snapshot or done % config.eval_epochs == 0:
      log.write(step=done * per_epoch, epoch=done, held=losses_of(state.ema))
    if done % config.save_epochs == 0 or done == config.epochs:
      saved.save(done, state)
  bar.close()
  saved.close()
  export = pathlib.Path(_EXPORT.value or workdir / "model")
  save(export, state, config.epochs)
  logging.info("wrote %s", export)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
