"""Compares the rows of one evaluation with those of a rerun, method by method.

python -m benchmarks.rerun --first=DIR --again=DIR

Both folders are of launch.eval with the same settings, on another machine or with
another number of threads (`taskset -c 0 python -m launch.eval ...`). Sums of floats
are taken in another order there, and the table says what is left of the difference: the
largest of any row's score, over the spread of the method's scores, and of any AUC.
"""

import pathlib

from absl import app, flags

from benchmarks import rerunning
from launch import command
from lsaprobe_jax import strict_json
from lsaprobe_jax.scoring.row_store import read_rows

_FIRST = flags.DEFINE_string("first", None, "Working folder of an evaluation.")
_AGAIN = flags.DEFINE_string("again", None, "That of its rerun.")


def main(argv):
  """Reads both and prints a table."""
  command.refuse_arguments(argv)
  read = []
  for name, folder in (("first", _FIRST.value), ("again", _AGAIN.value)):
    path = pathlib.Path(folder)
    try:
      rows = read_rows(path / "scores.jsonl")
      records = strict_json.loads((path / "summary.json").read_text())
    except (OSError, ValueError) as error:
      raise app.UsageError(f"--{name}={folder}: {error}") from error
    read.append((rows, records))
  try:
    print(rerunning.markdown(*zip(*read, strict=True)))
  except ValueError as error:
    raise app.UsageError(f"--again={_AGAIN.value}: {error}") from error


if __name__ == "__main__":
  flags.mark_flags_as_required(["first", "again"])
  command.run(main)
