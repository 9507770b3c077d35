"""The 2 x 2 grid: DiffWave and a small MusicLDM, multigenre and piano.

  python -m launch.eval --config=configs/grid.py:musicldm-piano --workdir=runs/cell

Each cell is a cross-over of embedded models on test tracks, and the clips of a corpus
are the same for both families; configs/sweep_grid.py runs all of them. Settings of a
family come from tune tracks of the multigenre corpus (benchmarks/tune_mini.md,
benchmarks/tune_musicldm.md), also where the corpus is piano, of which there is too
little to choose by.
"""

from ml_collections import ConfigDict

from configs import mini

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
CELLS = (
  "diffwave-multigenre",
  "diffwave-piano",
  "musicldm-multigenre",
  "musicldm-piano",
)
_GROUPS = {"A": "a", "B": "b", "reference": "reference"}


def get_config(cell: str = "diffwave-multigenre") -> ConfigDict:
  if cell not in CELLS:
    raise ValueError(f"no cell {cell!r}; known: {', '.join(CELLS)}")
  family, corpus = cell.split("-")
  config = mini.get_config(corpus)
  config.twins.names = ()
  config.targets = {name: f"{cell}-{group}" for name, group in _GROUPS.items()}
  config.methods = (*METHODS, "lsa_probe")
  if family == "musicldm":
    config.t_ratio = 0.2
    config.distance = "mr_stft"
    config.tau.eta_ref = 0.05
    # Where tune tracks ask for another t than configs/mini.py has. Where several are
    # equal (Loss, PIA, SimA and the gradient's norm all have AUC 1) its own stays.
    config.baselines.secmi.t_ratio = 0.1
    config.baselines.rediffuse.t_ratio = 0.6
  return config
