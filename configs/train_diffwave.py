r"""A small DiffWave on one group of one corpus.

  python -m launch.train --config=configs/train_diffwave.py:multigenre,a \
    --workdir=runs/train/multigenre-a \
    --export=lsaprobe_jax/weights/diffwave-multigenre-a

About 75 minutes on one idle CPU core for 3000 epochs. `core`, `core-full`, `chorales`
and `extra` are not embedded. How they are built and what their models are for stands in
configs/sweep_larger.py, and for `extra` in docs/datasets.md.
"""

from ml_collections import ConfigDict

# Clips of a track (None takes all) and epochs. With fewer tracks, more clips of each.
_SIZES = {
  ("multigenre", "a"): (1, 3000),
  ("multigenre", "b"): (1, 3000),
  ("multigenre", "reference"): (5, 500),
  ("piano", "a"): (5, 500),
  ("piano", "b"): (5, 500),
  ("piano", "reference"): (12, 500),
  ("core", "a"): (1, 480),
  ("core", "b"): (1, 480),
  # They go on from those of 480 epochs: the learning rate rises and decays once more,
  # and the seed, hence the draws of t and eps, is that of the first 480.
  ("core-long", "a"): (1, 480),
  ("core-long", "b"): (1, 480),
  ("core-full", "a"): (None, 3),
  ("core-full", "b"): (None, 3),
  ("chorales", "a"): (1, 176),
  ("chorales", "b"): (1, 176),
  ("chorales", "reference"): (4, 176),
  ("extra", "a"): (1, 750),
  ("extra", "b"): (1, 750),
  # 35 clips of 7 tracks: a third of the steps that `a` takes.
  ("extra", "reference"): (5, 278),
}
# Corpora that are not part of the package, and what is trained on from.
_BUILT = ("core", "core-full", "chorales", "extra")
_PATHS = {name: f"runs/corpora/{name}" for name in _BUILT}
_PATHS["core-long"] = _PATHS["core"]
_INITIAL = {"core-long": "runs/train/core-{group}/snapshots/00480"}
# All other models come from seed 0: initial weights, order of clips, draws of t, eps.
# `extra` asks whether what was found with those holds for music and models that no
# setting was tried on, and so its models share no draw with them either.
_SEEDS = {"extra": 1}


def get_config(arg: str = "multigenre,a") -> ConfigDict:
  corpus, _, group = arg.partition(",")
  if (corpus, group) not in _SIZES:
    known = " ".join(",".join(pair) for pair in _SIZES)
    raise ValueError(f"configs/train_diffwave.py:{arg}: known: {known}")
  clips_per_track, epochs = _SIZES[corpus, group]

  config = ConfigDict()
  config.seed = _SEEDS.get(corpus, 0)
  config.corpus = dict(
    path=_PATHS.get(corpus, corpus),
    groups=(group,),
    clip_seconds=0.512,
    clips_per_track=clips_per_track,
  )
  # Groups whose loss is followed, on so many clips of a track.
  config.eval_groups = ("a", "b")
  config.eval_clips_per_track = clips_per_track or 1

  config.trains = "denoiser"
  config.model = dict(
    family="diffwave",
    network=dict(channels=24, layers=10, dilation_cycle=10, embedding_width=128),
    schedule=dict(
      name="linear", num_train_timesteps=200, beta_start=1e-4, beta_end=0.02
    ),
    sample_rate=8000,
    # Music at the corpus's loudness gets about unit variance.
    scale=4.0,
  )
  # A model folder to train on from; empty for random weights.
  config.initial = _INITIAL.get(corpus, "").format(group=group)
  config.stored_dtype = "float32"

  config.loss_power = 2
  config.batch_size = 4
  config.epochs = epochs
  config.learning_rate = 1.5e-3
  config.final_learning_rate = 2e-5
  config.warmup_steps = 200
  config.max_grad_norm = 1.0
  config.ema_decay = 0.995

  config.log_every = 50
  # Epochs between losses on whole groups, and between checkpoints.
  config.eval_epochs = config.save_epochs = 50 if clips_per_track else 1
  # Epochs whose averaged weights are kept, for AUC against epochs.
  config.snapshot_epochs = tuple(range(1, epochs + 1))
  if epochs >= 8:
    config.snapshot_epochs = (epochs // 8, epochs // 4, epochs // 2, epochs)
  return config
