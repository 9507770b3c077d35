"""What was tried for configs/mini.py, on tune tracks of the multigenre corpus.

python -m launch.tune --config=configs/tune_mini.py --workdir=runs/tune
"""

from ml_collections import ConfigDict

from configs import mini


def get_config(corpus: str = "multigenre") -> ConfigDict:
  base = mini.get_config(corpus)
  base.part = "tune"
  base.methods = ("random_stability", "lsa_probe")
  grid = [{"t_ratio": 0.6}]
  return ConfigDict(dict(base=base, grid=grid))
