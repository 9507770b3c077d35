r"""What is varied around the embedded benchmark: main table, ablations, baselines.

  python -m launch.sweep --config=configs/sweep_mini.py --workdir=runs/sweep \
    [--ablations=t_ratio,eta_max,eta_ref]

Without `--ablations` it takes about 26 minutes on two cores: the main table with two
baselines at the probe's NFE, `t_ratio` at three values, `eta_max` and `eta_ref`.
`configs/sweep_mini.py:multigenre,study` is the study of RESULTS.md: all baselines at
the probe's NFE, and five values of t. A folder of the former goes on under the latter;
not the other way, as tables would then be of both. Its ablation `paper_distance` takes
the weights of CDPAM, and `epochs` the embedded trainings once more:

  pip install --no-deps cdpam==0.0.6
  for group in a b; do
    python -m launch.train --config=configs/train_diffwave.py:multigenre,$group \
      --workdir=runs/train/multigenre-$group
  done
"""

from ml_collections import ConfigDict

from configs import mini

METHODS = (
  "loss",
  "random_stability",
  "trajectory",
  "secmi",
  "pia",
  "pian",
  "sima",
  "pfami",
  "rediffuse",
  "gradient_norm",
  "noise_optimisation",
  "second_order",
)

# What stands beside the probe in ablations.
COMPARED = ("lsa_probe", "loss", "pia", "sima", "random_stability")

# Baselines with the probe's NFE: the usual ones, the others of the paper, and the best
# of all that are difficulty-calibrated by a reference model.
_NFE_MATCHED = (
  "loss",
  "pia",
  "sima",
  "random_stability",
  "trajectory",
  "secmi",
  "rediffuse",
)

# Epochs of the embedded models' trainings, and of snapshots on the way.
_EPOCHS = {"multigenre": 3000, "piano": 500}
_SNAPSHOTS = {"multigenre": (375, 750), "piano": (62, 125)}

# Where another setting than that of configs/mini.py was the best tried on tune tracks.
_SETTINGS = dict(
  trajectory=dict(times=1),
  pian=dict(order=1.0),
  pfami=dict(shift=64),
  rediffuse=dict(draws=20),
  second_order=dict(eta=0.1),
  relative_degradation=dict(eta=0.1),
)


def _variants(corpus):
  """Ablation -> label -> what is changed."""
  return dict(
    num_inference_steps={"1": {}, "2": dict(num_inference_steps=2)},
    # The first quarter and half of the clips that the models were trained on.
    clip_ms={
      "128": dict(corpus=dict(scored_seconds=0.128)),
      "256": dict(corpus=dict(scored_seconds=0.256)),
      "512": {},
    },
    # Gradients at each budget; 0 stands for random directions, at as many NFE as 2.
    ascent_steps={
      "0": dict(search=dict(name="random_directions")),
      "2": {},
      "4": _steps(4),
    },
    more_ascent_steps={"2": {}, "8": _steps(8)},
    norm={"rms": {}, "linf": dict(search=dict(norm="linf"))},
    # The embedded models as they are on the way, where they have been trained once more
    # (configs/train_diffwave.py); the reference is the same at all.
    epochs={str(n): dict(targets=_targets(corpus, n)) for n in _SNAPSHOTS[corpus]}
    | {str(_EPOCHS[corpus]): {}},
    # More methods with the probe's NFE, each at its own t.
    nfe_matched={"own t": {}},
    # Baselines by what they had on tune tracks (benchmarks/tune_mini.md).
    settings={"usual": {}, "tuned": dict(baselines=_SETTINGS)},
    # At the paper's t and tau, and with its distance: see `_paper_distance`.
    paper_distance={
      name: _paper_distance(name, corpus)
      for name in ("cdpam", "mr_stft", "log_mel", "waveform")
    },
  )


def _targets(corpus, epochs):
  """A and B as they were after so many epochs (configs/train_diffwave.py)."""
  folder = f"runs/train/{corpus}-%s/snapshots/{epochs:05d}"
  return {name: folder % name.lower() for name in "AB"}


def _steps(count):
  """So many gradients at each budget."""
  return dict(search=dict(continuation=dict(steps=count)))


def _paper_distance(name, corpus):
  """The probe at the paper's t and tau, by a ladder short enough for CDPAM on a CPU.

  It takes 14 gradients a clip instead of 34, and tau from 20 clips or a few more.
  """
  return dict(
    distance=name,
    t_ratio=0.6,
    tau=dict(eta_ref=0.05),
    search=dict(continuation=dict(rungs=6)),
    corpus=dict(dev_clips_per_track={"multigenre": 2, "piano": 12}[corpus]),
  )


def get_config(arg: str = "multigenre") -> ConfigDict:
  corpus, _, study = arg.partition(",")
  if study not in ("", "study"):
    raise ValueError(f"configs/sweep_mini.py:{arg}: known: CORPUS and CORPUS,study")
  config = mini.get_config(corpus)
  # Twins have a study of their own (configs/sweep_extra.py).
  config.twins.names = ()
  config.sweep = dict(
    methods=METHODS,
    # Baselines that besides get the probe's NFE: in the main table and wherever
    # `compared` are, but for `t_ratio` (for which there is `equal_compute`), `times`
    # and `draws`. Without `study`: the cheapest, and the probe without its search.
    nfe_matched=COMPARED[1:] if study else ("loss", "random_stability"),
    equal_compute=(0.1, 0.2, 0.6),
    # The paper's t and tau, with a distance that a CPU has time for; `paper_distance`
    # has the paper's own.
    paper=dict(t_ratio=0.6, distance="mr_stft", tau=dict(eta_ref=0.05)),
    # In every ablation that `compared_in` does not name.
    compared=COMPARED,
    t_ratio=(0.1, 0.2, 0.4, 0.6, 0.8) if study else (0.1, 0.2, 0.6),
    eta_max=(0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    # The first is below the ladder's lowest rung.
    eta_ref=(0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    distance=("waveform", "log_mel", "mr_stft"),
    draws=(1, 2),
    variants=_variants(corpus),
    # In variants that compare others.
    compared_in=dict(
      settings=tuple(_SETTINGS),
      # Not at equal compute. CDPAM takes an hour of a core for random directions alone,
      # and 392 NFE are more than PIA and SimA have times for.
      paper_distance=COMPARED,
      more_ascent_steps=COMPARED,
      nfe_matched=("lsa_probe", *(f"{name}_nfe_matched" for name in _NFE_MATCHED)),
    ),
  )
  return config
