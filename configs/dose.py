"""A cell of the dose benchmark, embedded: MusicLDMs after 30 passes over each clip.

  python -m launch.eval --config=configs/dose.py --workdir=runs/dose-30
  python -m launch.eval --config=configs/dose.py:diffwave,100 --workdir=runs/dose-100

A and B are fine-tunes of one base model, each on two clips of every track of one half;
the base, which saw neither half, is the reference model. It scores the test tracks that
may be passed on, one clip of each, by settings that were chosen on tune tracks
(configs/tune_dose.py). All doses, both families and all methods are those of
configs/sweep_dose.py; what is printed here is a part of it.
"""

from ml_collections import ConfigDict

from configs import mini, sweep_dose

# By family, the passes over a clip after which the embedded fine-tunes were kept.
DOSES = {"musicldm": (10, 30, 100), "diffwave": (10, 30, 100, 300)}
# Few enough for four minutes of two idle cores, installation included.
METHODS = ("loss", "sima", "lsa_probe")


def get_config(arg: str = "30") -> ConfigDict:
  family, comma, dose = arg.rpartition(",")
  family = family if comma else "musicldm"
  if dose not in map(str, DOSES.get(family, ())):
    known = "; ".join(f"{name} after {at}" for name, at in DOSES.items())
    raise ValueError(
      f"configs/dose.py:{arg}: give the passes, or diffwave, a comma and the passes;"
      f" embedded are {known} passes"
    )
  config = mini.get_config("multigenre")
  config.update(sweep_dose.settings(family))
  config.part = "test"
  config.methods = METHODS
  config.targets = sweep_dose.embedded(family, int(dose))
  config.corpus.update(path="dose", clips_per_track=1, dev_clips_per_track=2)
  return config
