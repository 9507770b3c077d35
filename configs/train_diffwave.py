r"""A small DiffWave on one group of one corpus.

  python -m launch.train --config=configs/train_diffwave.py:multigenre,a \
    --workdir=runs/train/multigenre-a \
    --export=lsaprobe_jax/weights/diffwave-multigenre-a

About 75 minutes on one idle CPU core for 3000 epochs. `core`, `core-full` and
`chorales` are not embedded: configs/larger.py says how they are built and what their
models are for.
"""

from ml_collections import ConfigDict

# Clips a track (None: all of it), epochs. With fewer tracks, more clips of each.
_SIZES = {
  ("multigenre", "a"): (1, 3000),
  ("multigenre", "b"): (1, 3000),
  ("multigenre", "reference"): (5, 500),
  ("piano", "a"): (5, 500),
  ("piano", "b"): (5, 500),
  ("piano", "reference"): (12, 500),
  ("core", "a"): (1, 480),
  ("core", "b"): (1, 480),
  # On from those of 480 epochs: the learning rate rises and decays once more, and the
  # seed, hence the draws of t and eps, is that of the first 480.
  ("core-long", "a"): (1, 480),
  ("core-long", "b"): (1, 480),
  ("core-full", "a"): (None, 3),
  ("core-full", "b"): (None, 3),
  ("chorales", "a"): (1, 176),
  ("chorales", "b"): (1, 176),
  ("chorales", "reference"): (4, 176),
}
# Of corpora that are not part of the package.
_PATHS = {name: f"runs/corpora/{name}" for name in ("core", "core-full", "chorales")}
_PATHS["core-long"] = _PATHS["core"]
_INITIAL = {"core-long": "runs/train/core-{group}/snapshots/00480"}


def get_config(arg: str = "multigenre,a") -> ConfigDict:
  corpus, _, group = arg.partition(",")
  if (corpus, group) not in _SIZES:
    known = " ".join(",".join(pair) for pair in _SIZES)
    raise ValueError(f"configs/train_diffwave.py:{arg}: known: {known}")
  clips_per_track, epochs = _SIZES[corpus, group]
  # Epochs between losses on whole groups, and between checkpoints.
  every = 50 if clips_per_track else 1
  return ConfigDict(
    dict(
      seed=0,
      corpus=dict(
        path=_PATHS.get(corpus, corpus),
        groups=(group,),
        clip_seconds=0.512,
        clips_per_track=clips_per_track,
      ),
      # Groups whose loss is followed, on so many clips of a track.
      eval_groups=("a", "b"),
      eval_clips_per_track=clips_per_track or 1,
      model=dict(
        family="diffwave",
        network=dict(channels=24, layers=10, dilation_cycle=10, embedding_width=128),
        schedule=dict(
          name="linear", num_train_timesteps=200, beta_start=1e-4, beta_end=0.02
        ),
        sample_rate=8000,
        scale=4.0,
      ),
      trains="denoiser",
      # A model folder to train on from; empty: random weights.
      initial=_INITIAL.get(corpus, "").format(group=group),
      stored_dtype="float32",
      loss_power=2,
      batch_size=4,
      epochs=epochs,
      learning_rate=1.5e-3,
      final_learning_rate=2e-5,
      warmup_steps=200,
      max_grad_norm=1.0,
      ema_decay=0.995,
      log_every=50,
      eval_epochs=every,
      save_epochs=every,
      # Epochs whose averaged weights are kept, for AUC against epochs.
      snapshot_epochs=(
        (epochs // 8, epochs // 4, epochs // 2, epochs)
        if epochs >= 8
        else tuple(range(1, epochs + 1))
      ),
    )
  )
