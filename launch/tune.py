"""Tries settings of the probe on tune tracks and tabulates what they gave.

python -m launch.tune --config=configs/tune_mini.py --workdir=runs/tune

It reads no clip of a test track. Every setting tried is a line of WORKDIR/tried.jsonl,
the clip scores behind it lie in a folder of its own, and the table goes to
WORKDIR/tried.md. The same command continues a run that was interrupted.
"""

import pathlib

from absl import flags, logging

from launch import command, devices
from lsaprobe_jax.scoring.tuning import Tuning, tune

_CONFIG = command.define_config("A `base` and the `grid` to try.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Scores and the table go here.")


def main(argv):
  """Tries every setting."""
  command.refuse_arguments(argv)
  devices.use_all()
  tuning = Tuning.from_dict(_CONFIG.value.to_dict())
  workdir, count = pathlib.Path(_WORKDIR.value), len(tuning.grid)
  progress = lambda number, text: logging.info("%d of %d\n%s", number + 1, count, text)
  with command.ending_in_one_line(f"the rows in {workdir}"):
    print(tune(tuning, workdir, progress))


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
