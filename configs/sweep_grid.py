r"""All cells of the 2 x 2 grid of configs/grid.py, and their comparisons.

  python -m launch.sweep --config=configs/sweep_grid.py --workdir=runs/grid \
    --ablations=cell
"""

from ml_collections import ConfigDict

from configs import grid

# What makes a cell another than the first; the rest is the same in all of them.
_CHANGED = ("corpus", "targets", "t_ratio", "distance", "tau", "baselines")


def _cell(name):
  config = grid.get_config(name).to_dict()
  return {key: config[key] for key in _CHANGED}


def get_config(cell: str = grid.CELLS[0]) -> ConfigDict:
  config = grid.get_config(cell)
  config.sweep = dict(
    methods=grid.METHODS,
    # At the probe's NFE too, what tells whether the search earns it.
    nfe_matched=("random_stability",),
    compared=("lsa_probe", *grid.METHODS),
    # The main run's own cell is not scored again.
    variants=dict(cell={name: _cell(name) for name in grid.CELLS} | {cell: {}}),
  )
  return config
