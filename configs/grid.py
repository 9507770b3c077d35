r"""The 2 x 2 grid: DiffWave and a small MusicLDM, multigenre and piano.

  python -m launch.sweep --config=configs/grid.py --workdir=runs/grid \
    --ablations=cell

Each cell is a cross-over of embedded models on test tracks, and the clips of a corpus
are the same for both families. Settings of a family come from tune tracks of the
multigenre corpus (benchmarks/tune_mini.md, benchmarks/tune_musicldm.md), also where
the corpus is piano, of which there is too little to choose by.
"""

from ml_collections import ConfigDict

from configs import mini

_GROUPS = {"A": "a", "B": "b", "reference": "reference"}

METHODS = (
  "loss",
  "trajectory",
  "secmi",
  "pia",
  "sima",
  "rediffuse",
  "gradient_norm",
  "random_stability",
)

# Of the MusicLDMs, where tune tracks ask for another t than configs/mini.py has. Of
# equals (Loss, PIA, SimA and the gradient's norm all have AUC 1) its own stays.
_LATENT_TIMES = dict(secmi=0.1, rediffuse=0.6)

FAMILIES, CORPORA = ("diffwave", "musicldm"), ("multigenre", "piano")


def get_config(cell: str = "diffwave-multigenre") -> ConfigDict:
  """Of one cell, which is also what launch.eval and launch.card score."""
  cells = {
    f"{family}-{corpus}": _cell(family, corpus)
    for family in FAMILIES
    for corpus in CORPORA
  }
  if cell not in cells:
    raise ValueError(f"no cell {cell!r}; known: {', '.join(cells)}")
  config = mini.get_config()
  config.update(cells[cell])
  config.methods = (*METHODS, "lsa_probe")
  config.sweep.methods = METHODS
  # At the probe's own compute too, what tells whether the search earns it.
  config.sweep.nfe_matched = ("random_stability",)
  config.sweep.compared = ("lsa_probe", *METHODS)
  # No row of the paper's own setting: configs/mini.py has it.
  config.sweep.paper = ConfigDict()
  config.sweep.compared_in = ConfigDict()
  # The main run's own cell is not scored again.
  config.sweep.variants = ConfigDict({"cell": cells | {cell: {}}})
  return config


def _cell(family, corpus):
  """What makes a cell of configs/mini.py."""
  whole = mini.get_config(corpus)
  changes = dict(
    corpus=whole.corpus.to_dict(),
    targets={m: f"{family}-{corpus}-{group}" for m, group in _GROUPS.items()},
    t_ratio=whole.t_ratio,
    distance=whole.distance,
    tau=whole.tau.to_dict(),
    baselines={name: whole.baselines[name].to_dict() for name in METHODS},
  )
  if family == "musicldm":
    changes.update(t_ratio=0.2, distance="mr_stft")
    changes["tau"].update(eta_ref=0.05)
    for name, t in _LATENT_TIMES.items():
      changes["baselines"][name].update(t_ratio=t)
  return changes
