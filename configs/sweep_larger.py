r"""Larger benchmarks, and AUC against how long the models trained.

  apt-get update
  python -m launch.corpus --corpus=multigenre --segments_per_track=8 \
    --output=runs/corpora/core --downloads=/tmp/packages
  for group in core,a core,b core-long,a core-long,b; do
    python -m launch.train --config=configs/train_diffwave.py:$group \
      --workdir=runs/train/${group/,/-}
  done
  python -m launch.sweep --config=configs/sweep_larger.py --workdir=runs/larger \
    --ablations=epochs

`core`: 130 tracks of Debian packages in the halves where the embedded benchmark has
71, one clip of 0.512 s of each, and models of 480 epochs, followed from the 60th on and
trained for 480 more, the learning rate raised and decayed again and the same draws of t
and eps (`core-long`).
Building takes about 15 minutes and 650 MB, each training about 25 minutes on one CPU
core, the sweep about as long on two. The reference is the embedded one: it saw tracks
of neither half.

  python -m launch.corpus --corpus=multigenre --segments_per_track=0 \
    --output=runs/corpora/core-full --downloads=/tmp/packages
  for group in a b; do
    python -m launch.train --config=configs/train_diffwave.py:core-full,$group \
      --workdir=runs/train/core-full-$group
  done
  python -m launch.sweep --config=configs/sweep_larger.py:core-full \
    --workdir=runs/core-full --ablations=epochs

`core-full`: the same tracks whole, 13 h, and models that were trained on all clips of
each, three times: as little memorised as these cores can afford. An epoch has about as
many clips as all 480 of a `core` model. One clip of a track is scored, as in `core`.
Building takes about 10 minutes and 300 MB besides the packages, each training about an
hour of an idle CPU core (82 and 89 minutes beside other work), the sweep as long. Twins
after each of the three passes are an ablation of their own, which needs no main table:

  python -m launch.sweep --config=configs/sweep_larger.py:core-full \
    --workdir=runs/core-full-passes --nomain --ablations=passes

Weights after each pass are kept in results/core-full/weights, without the list of their
33,000 clips. They are of the training behind `passes`; that behind the main table and
`epochs`, of the same settings on an earlier building, is lost. Whoever has built the
corpus need not train:

  for group in a b; do for passes in 1 2 3; do
    python -m benchmarks.kept --restore=results/core-full/weights/$group-$passes \
      --to=runs/train/core-full-$group/snapshots/0000$passes
  done; done

  python -m launch.corpus --corpus=piano --chorales \
    --output=runs/corpora/chorales --downloads=/tmp/packages
  for group in a b reference; do
    python -m launch.train --config=configs/train_diffwave.py:chorales,$group \
      --workdir=runs/train/chorales-$group
  done
  python -m launch.sweep --config=configs/sweep_larger.py:chorales \
    --workdir=runs/chorales --ablations=epochs --limit=48

`chorales`: Bach's chorales of music21 and the pieces of `piano`, rendered on one piano;
settings of one tune stand in one group. It needs the extra [corpora], fluidsynth and
npm; nothing of it may be passed on, and no model of it is embedded. Building takes
about 10 minutes, each training 25 on one core.

Nothing is chosen here: settings are those of configs/mini.py, from tune tracks of the
embedded multigenre corpus, whose tracks lie in the same half and part of `core`.
"""

from ml_collections import ConfigDict

from configs import mini, sweep_mini

# Snapshots of the targets, by corpus; the last is the main row.
EPOCHS = {
  "core": (60, 120, 240, 480),
  "core-full": (1, 3),
  "chorales": (44, 88, 176),
}
# Models that were trained on from those, and for how many epochs.
_LONGER = {"core": ("core-long", 480)}
_REFERENCES = {
  "core": "diffwave-multigenre-reference",
  "core-full": "diffwave-multigenre-reference",
  "chorales": "runs/train/chorales-reference/snapshots/00176",
}
_DEV_CLIPS = {"core": 2, "core-full": 2, "chorales": 1}
# Epochs after which twins are scored too, and by which methods. Reversal is the twin
# that carries signal in both families (docs/dose.md).
_PASSES = {"core-full": (1, 2, 3)}
_TWINS = ("reversal",)
_TWINNED = (
  "lsa_probe",
  "lsa_probe_anchored",
  "loss",
  "path_error",
  "sima",
  "trajectory",
  "rediffuse",
  "gradient_norm",
  "random_stability",
)
# Baselines with the probe's NFE.
_NFE_MATCHED = {"core-full": ("loss", "random_stability")}


def get_config(corpus: str = "core") -> ConfigDict:
  if corpus not in EPOCHS:
    raise ValueError(f"configs/sweep_larger.py:{corpus}: known: {', '.join(EPOCHS)}")
  epochs = EPOCHS[corpus]
  config = mini.get_config("multigenre")
  config.twins.names = ()
  config.corpus.update(
    path=f"runs/corpora/{corpus}", dev_clips_per_track=_DEV_CLIPS[corpus]
  )
  at = lambda epochs: _targets(corpus, epochs) | {"reference": _REFERENCES[corpus]}
  config.targets = ConfigDict(at(epochs[-1]))
  if corpus == "chorales":
    # Nothing was chosen on any of it: every track is a test track.
    config.part = "all"
  variants = {str(n): {"targets": at(n)} for n in epochs[:-1]} | {str(epochs[-1]): {}}
  if corpus in _LONGER:
    folder, more = _LONGER[corpus]
    targets = _targets(folder, more) | {"reference": _REFERENCES[corpus]}
    variants[str(epochs[-1] + more)] = {"targets": targets}
  variants = {"epochs": variants}
  if corpus in _PASSES:
    twinned = lambda n: {"targets": at(n), "twins": {"names": _TWINS}}
    variants["passes"] = {str(n): twinned(n) for n in _PASSES[corpus]}
  config.sweep = dict(
    methods=sweep_mini.METHODS,
    nfe_matched=_NFE_MATCHED.get(corpus, ()),
    compared=("lsa_probe", "loss", "rediffuse", "random_stability"),
    # The paper's t and tau, with a distance that a CPU has time for.
    paper=dict(t_ratio=0.6, distance="mr_stft", tau=dict(eta_ref=0.05)),
    variants=variants,
    compared_in={"passes": _TWINNED} if corpus in _PASSES else {},
    with_development=("passes",) if corpus in _PASSES else (),
  )
  return config


def _targets(folder: str, epochs: int) -> dict[str, str]:
  """A and B as they were after so many epochs of a training."""
  snapshot = f"snapshots/{epochs:05d}"
  return {name.upper(): f"runs/train/{folder}-{name}/{snapshot}" for name in "ab"}
