r"""What was tried for the MusicLDM cells of configs/grid.py, on tune tracks.

  for grid in baselines waveform mr_stft; do
    python -m launch.tune --config=configs/tune_musicldm.py:$grid \
      --workdir=runs/tune-musicldm-$grid
  done

The grid `baselines` holds the cheap methods by time, the two others the probe by time
with the distance of that name; every eta_ref of a setting is read off the same curves.
What they gave is in benchmarks/tune_musicldm.md.
"""

import itertools

from ml_collections import ConfigDict

from configs import grid as cells

_TIMES = (0.1, 0.2, 0.4)
_DISTANCES = ("waveform", "mr_stft")
# Those that take no distance.
_ALONE = tuple(
  name for name in cells.METHODS if name not in ("random_stability", "trajectory")
)


def _baselines():
  """Each baseline by time; those that compare reconstructions by distance too."""
  for name, t in itertools.product(_ALONE, (*_TIMES, 0.6)):
    yield {"methods": (name,), f"baselines.{name}.t_ratio": t}
  for distance, t in itertools.product(_DISTANCES, _TIMES):
    for name in ("random_stability", "trajectory"):
      own = {"methods": (name,), f"baselines.{name}.t_ratio": t}
      yield own | {"distance": distance}


def _probe(distance):
  return [{"distance": distance, "t_ratio": t} for t in _TIMES]


def get_config(grid: str = "mr_stft") -> ConfigDict:
  grids = {"baselines": list(_baselines())} | {d: _probe(d) for d in _DISTANCES}
  if grid not in grids:
    raise ValueError(f"no grid {grid!r}; known: {', '.join(grids)}")
  base = cells.get_config("musicldm-multigenre")
  base.part = "tune"
  # Nothing is chosen by what difficulty calibration by a reference model would give.
  del base.targets["reference"]
  base.methods = ("lsa_probe",)
  eta_refs = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
  return ConfigDict(dict(base=base, eta_refs=eta_refs, grid=grids[grid]))
