r"""The larger benchmark: every core track, and AUC against how long the models trained.

  apt-get update
  python -m launch.corpus --corpus=multigenre --segments_per_track=8 \
    --output=runs/corpora/core --downloads=/tmp/packages
  for group in a b; do
    python -m launch.train --config=configs/train_diffwave.py:core,$group \
      --workdir=runs/train/core-$group
  done
  python -m launch.sweep --config=configs/larger.py --workdir=runs/larger \
    --ablations=epochs

130 tracks in the halves where the embedded benchmark has 71, one clip of 0.512 s of
each, and models of 480 epochs, followed from the 60th on. Building takes about 15
minutes and 650 MB, each training about 25 minutes on one CPU core, the sweep about as
long on two. The reference is the embedded one: it saw tracks of neither half.

Nothing is chosen here: settings are those of configs/mini.py, from tune tracks of the
embedded corpus, whose tracks lie in the same half and part of this one.
"""

from ml_collections import ConfigDict

from configs import mini

EPOCHS = (60, 120, 240, 480)


def get_config() -> ConfigDict:
  config = mini.get_config("multigenre")
  config.corpus.update(path="runs/corpora/core", dev_clips_per_track=2)
  config.targets = ConfigDict(_targets(EPOCHS[-1]))
  config.sweep.matched = ()
  config.sweep.compared = ("lsa_probe", "loss", "rediffuse", "random_stability")
  config.sweep.variants = ConfigDict(
    {"epochs": {str(n): {"targets": _targets(n)} for n in EPOCHS[:-1]}}
  )
  config.sweep.variants.epochs[str(EPOCHS[-1])] = ConfigDict()
  return config


def _targets(epochs: int) -> dict[str, str]:
  """A and B as they were after so many epochs; the reference is one."""
  snapshot = f"snapshots/{epochs:05d}"
  targets = {name.upper(): f"runs/train/core-{name}/{snapshot}" for name in "ab"}
  return targets | {"reference": "diffwave-multigenre-reference"}
