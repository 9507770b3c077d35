"""What was tried for configs/mini.py, on tune tracks of the multigenre corpus.

  python -m launch.tune --config=configs/tune_mini.py --workdir=runs/tune

About 15 minutes on two CPU cores. The table it gave is benchmarks/tune_mini.md.
"""

from ml_collections import ConfigDict

from configs import mini


def get_config(corpus: str = "multigenre") -> ConfigDict:
  base = mini.get_config(corpus)
  base.part = "tune"
  # Stated here, not taken from mini.py, which was changed by what was found.
  base.t_ratio = 0.6
  base.distance = "mr_stft"
  base.num_steps = 1
  base.search.step_size = 0.25
  base.search.ascent_steps = 5
  base.search.halvings = 5
  base.tau.eta_ref = 0.2
  base.random_stability.eta = 0.8
  base.loss.t_ratio = 0.2
  base.worst_damage.eta = 0.8
  base.corpus.dev_clips_per_track = 4
  base.methods = ("worst_damage",)
  worst = lambda **changes: {"methods": ("worst_damage",)} | changes
  keys = ("t_ratio", "worst_damage.eta", "search.step_size", "num_steps")
  grid = [
    worst(**dict(zip(keys, values, strict=True)))
    for values in (
      (0.4, 0.4, 0.25, 1),
      (0.4, 0.4, 0.5, 1),
      (0.4, 0.4, 1.0, 1),
      (0.3, 0.4, 0.5, 1),
      (0.5, 0.4, 0.5, 1),
      (0.4, 0.1, 0.5, 1),
    )
  ]
  for t_ratio, eta_ref in ((0.4, 0.2), (0.4, 0.05), (0.6, 0.2), (0.6, 0.05)):
    changes = {"t_ratio": t_ratio, "tau.eta_ref": eta_ref, "search.step_size": 0.5}
    grid.append({"methods": ("lsa_probe",)} | changes)
  for values in ((0.4, 0.4, 0.5, 2), (0.6, 0.4, 0.5, 1), (0.8, 0.4, 0.5, 1)):
    grid.append(worst(**dict(zip(keys, values, strict=True))))
  for distance in ("log_mel", "waveform"):
    grid.append(
      {"distance": distance, "t_ratio": 0.4, "worst_damage.eta": 0.4}
      | {"search.step_size": 0.5}
    )
  for t_ratio in (0.2, 0.4, 0.6):
    grid.append({"methods": ("loss",), "loss.t_ratio": t_ratio})
  for t_ratio in (0.4, 0.6, 0.8):
    for eta in (0.1, 0.4):
      changes = {"t_ratio": t_ratio, "random_stability.eta": eta}
      grid.append({"methods": ("random_stability",)} | changes)
  return ConfigDict(dict(base=base, grid=grid))
