r"""The embedded benchmark as in RESULTS.md: more rivals at equal compute, more of t.

  python -m launch.sweep --config=configs/study_mini.py --workdir=runs/sweep \
    --ablations=t_ratio,equal_compute,matched

For half an hour on two cores configs/mini.py has two rivals with as many evaluations as
the probe and three values of t. A folder of it goes on under this one; not the other
way, as tables would then be of both.
"""

from ml_collections import ConfigDict

from configs import mini


def get_config(corpus: str = "multigenre") -> ConfigDict:
  config = mini.get_config(corpus)
  config.sweep.nfe_matched = mini.COMPARED[1:]
  config.sweep.t_ratio = (0.1, 0.2, 0.4, 0.6, 0.8)
  return config
