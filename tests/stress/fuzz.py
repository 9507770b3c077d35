"""Feeds mutated files to every reader and says what became of each.

python -m tests.stress.fuzz --inputs=10000 [--seed=0] [--workdir=DIR]

Real files (wav, flac, ogg, mp3, aiff, a built corpus's manifest, a folder of records,
model folders, a diffusers pipeline, a PyTorch checkpoint, rows of results, a working
folder) are mutated: bits flipped, bytes overwritten with extremes, cut short, spliced,
emptied, replaced by noise or by a file of another kind; or well-formed ones are made
whose structure is hostile: deep, shared, overlapping, of huge counts or sizes. Sound is
decoded twice, after two other files, and must hold the same samples; the beginning of a
real file must sound as that file begins. Some settings of configs/mini.py are changed
to others of their types; what is tried of them ends before anything is scored.

A process with limits on memory and time reads each input. It must come back with a
valid result, or with one of this project's errors, in one line that names the file or
setting. Anything else (an exception, a crash, a hang, memory) is unexplained, is kept,
and makes this end with 1.

Needs `pip install 'lsaprobe_jax[datasets]'`. About eight minutes for 10,800 inputs on
one CPU core with much other work.
"""

import pathlib
import sys
import tempfile

from absl import flags, logging

from launch import command
from tests.stress import fuzzing

_INPUTS = flags.DEFINE_integer("inputs", 10_000, "How many.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Decides the mutations.")
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "Unexplained inputs are kept here (default: a temporary folder)."
)


def main(argv):
  """Fuzzes, prints the table."""
  command.refuse_arguments(argv)
  folder = pathlib.Path(_WORKDIR.value or tempfile.mkdtemp(prefix="fuzz-")).absolute()
  outcomes = fuzzing.fuzz(folder, _INPUTS.value, _SEED.value)
  print(f"{outcomes.total()} inputs, seed {_SEED.value}\n\n{fuzzing.table(outcomes)}")
  if lost := sum(n for (_, name), n in outcomes.items() if name == "unexplained"):
    logging.error("%d unexplained; they are kept in %s", lost, folder)
    sys.exit(1)


if __name__ == "__main__":
  command.run(main)
