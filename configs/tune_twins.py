"""What was tried for twins and anchors, on tune tracks of the multigenre corpus.

  python -m launch.tune --config=configs/tune_twins.py:twins --workdir=runs/tune-twins
  python -m launch.tune --config=configs/tune_twins.py:anchors \
    --workdir=runs/tune-anchors

The grid `twins` holds sets of twins by method and t, `panel` the methods that an audit
puts together, and `anchors` the probe anchored at the clip: every eta_ref of a setting
is read off the same curves. What they gave is in benchmarks/tune_twins.md, and what was
chosen by it stood in configs/mini.py before any track of configs/sweep_extra.py was
scored.
"""

from ml_collections import ConfigDict

from configs import mini

_SETS = (
  ("polarity",),
  ("reversal",),
  ("phase_90", "phase_270"),
  ("polarity", "reversal"),
  ("polarity", "phase_90", "phase_270"),
  ("polarity", "reversal", "reversal_polarity"),
)
# What the sets are tried with: a method that is cheap at two times, and one that
# reconstructs.
_TRIED = {"loss": (0.2, 0.4), "rediffuse": (0.2,)}


def _twins():
  """Sets of twins by method and time."""
  for name, times in _TRIED.items():
    for t in times:
      for names in _SETS:
        own = {"methods": (name,), f"baselines.{name}.t_ratio": t}
        yield own | {"twins.names": names}


def _panel():
  """Methods that an audit may put together, with the twins that were chosen."""
  for name, t in (("gradient_norm", 0.6), ("trajectory", 0.4), ("pia", 0.2)):
    yield {"methods": (name,), f"baselines.{name}.t_ratio": t}
  for t in (0.2, 0.4):
    for width in (0.1, 0.2):
      yield {
        "methods": ("path_error",),
        "baselines.path_error.t_ratio": t,
        "baselines.path_error.width": width,
      }


def _anchors():
  """The probe anchored at the clip, by time and by the quantile that sets tau."""
  for t in (0.1, 0.2):
    for quantile in (0.5, 0.95):
      yield {
        "methods": ("lsa_probe_anchored",),
        "anchored.t_ratio": t,
        "anchored.tau.quantile": quantile,
      }
  yield {"methods": ("lsa_probe",)}


_GRIDS = {"twins": _twins, "panel": _panel, "anchors": _anchors}


def get_config(grid: str = "twins") -> ConfigDict:
  if grid not in _GRIDS:
    raise ValueError(f"no grid {grid!r}; known: {', '.join(_GRIDS)}")
  base = mini.get_config("multigenre")
  base.part = "tune"
  base.corpus.dev_clips_per_track = 2
  # 0.4 is the paper form's own.
  eta_refs = (0.05, 0.11, 0.24, 0.4)
  return ConfigDict(dict(base=base, eta_refs=eta_refs, grid=list(_GRIDS[grid]())))
