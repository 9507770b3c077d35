r"""The confirmation of twins and anchors on fresh ground.

  apt-get update
  python -m launch.corpus --corpus=extra --segments_per_track=4 \
    --output=runs/corpora/extra --downloads=/tmp/packages
  for group in a b reference; do
    python -m launch.train --config=configs/train_diffwave.py:extra,$group \
      --workdir=runs/train/extra-$group
  done
  python -m launch.sweep --config=configs/sweep_extra.py --workdir=runs/extra \
    --ablations=epochs

`extra`: 97 tracks of Debian packages that no setting was ever tried on, one clip of
0.512 s of each, models of 750 epochs with a training seed of their own, and the same
models on the way. Building takes two minutes and 1.6 GB of downloads, each training 9
to 16 minutes of one CPU core, the sweep an hour and a quarter of one.

Nothing is chosen here: settings are those of configs/mini.py, from tune tracks of the
embedded corpus (benchmarks/tune_mini.md, benchmarks/tune_twins.md).
"""

from ml_collections import ConfigDict

from configs import mini

# Snapshots of the targets; the last is the main row.
EPOCHS = (93, 187, 375, 750)
METHODS = (
  "loss",
  "rediffuse",
  "path_error",
  "lsa_probe_anchored",
  "trajectory",
  "pia",
  "pian",
  "sima",
  "secmi",
  "pfami",
  "gradient_norm",
  "random_stability",
  "noise_optimisation",
  "second_order",
)

# Every baseline is also scored with the probe's NFE.
NFE_MATCHED = tuple(method for method in METHODS if method != "lsa_probe_anchored")


def get_config() -> ConfigDict:
  config = mini.get_config("multigenre")
  config.corpus.update(path="runs/corpora/extra", dev_clips_per_track=2)
  config.part = "all"
  reference = {"reference": "runs/train/extra-reference/model"}
  config.targets = ConfigDict(_targets(EPOCHS[-1]) | reference)
  epochs = {str(n): {"targets": _targets(n) | reference} for n in EPOCHS[:-1]}
  config.sweep = dict(
    methods=METHODS,
    nfe_matched=NFE_MATCHED,
    variants=dict(epochs=epochs | {str(EPOCHS[-1]): {}}),
    compared_in=dict(epochs=("loss", "rediffuse", "path_error", "lsa_probe_anchored")),
  )
  return config


def _targets(epochs: int) -> dict[str, str]:
  """A and B as they were after so many epochs."""
  return {
    name.upper(): f"runs/train/extra-{name}/snapshots/{epochs:05d}" for name in "ab"
  }
