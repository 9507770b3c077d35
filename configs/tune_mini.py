"""What was tried for configs/mini.py, on tune tracks of the multigenre corpus.

  python -m launch.tune --config=configs/tune_mini.py:probe --workdir=runs/tune-probe

The grids `forward`, `ascent` and `probe` take about 6, 4 and 8 minutes on two CPU
cores. What they gave is in benchmarks/tune_mini.md.
"""

import itertools

from ml_collections import ConfigDict

from configs import mini


def _forward():
  """Loss and Random stability: no gradient."""
  for t_ratio in (0.1, 0.2, 0.4, 0.6):
    yield {"methods": ("loss",), "loss.t_ratio": t_ratio}
  reverses = (("mr_stft", 1), ("mr_stft", 2), ("log_mel", 1), ("waveform", 1))
  times, budgets = (0.2, 0.4, 0.6, 0.8), (0.2, 0.8)
  for (distance, steps), t, eta in itertools.product(reverses, times, budgets):
    yield {
      "methods": ("random_stability",),
      "distance": distance,
      "num_steps": steps,
      "t_ratio": t,
      "random_stability.eta": eta,
    }


def _ascent():
  """The worst D at one budget, by time and budget."""
  for t, eta in itertools.product((0.8, 0.6, 0.4), (0.1, 0.4, 0.8)):
    yield {"num_steps": 1, "t_ratio": t, "worst_damage.eta": eta}
  yield {"num_steps": 2, "t_ratio": 0.8, "worst_damage.eta": 0.1}


def _probe():
  """Step length around the best times, then the probe itself."""
  for t, eta, step_size in (
    (0.4, 0.4, 0.25),
    (0.4, 0.4, 0.5),
    (0.4, 0.4, 1.0),
    (0.3, 0.4, 0.5),
    (0.5, 0.4, 0.5),
    (0.4, 0.1, 0.5),
  ):
    yield {
      "methods": ("worst_damage",),
      "t_ratio": t,
      "worst_damage.eta": eta,
      "search.step_size": step_size,
      "num_steps": 1,
    }
  for eta_ref in (0.2, 0.05):
    yield {
      "methods": ("lsa_probe",),
      "t_ratio": 0.4,
      "tau.eta_ref": eta_ref,
      "search.step_size": 0.5,
    }


_GRIDS = {"forward": _forward, "ascent": _ascent, "probe": _probe}


def get_config(grid: str = "probe") -> ConfigDict:
  base = mini.get_config("multigenre")
  # Stated here, not taken from mini.py, which was changed by what was found.
  base.part = "tune"
  base.t_ratio = 0.6
  base.distance = "mr_stft"
  base.num_steps = 1
  base.search.step_size = 0.25
  base.tau.eta_ref = 0.2
  base.random_stability.eta = 0.8
  base.loss.t_ratio = 0.2
  base.worst_damage.eta = 0.8
  base.corpus.dev_clips_per_track = 4
  base.methods = ("worst_damage",)
  return ConfigDict(dict(base=base, grid=list(_GRIDS[grid]())))
