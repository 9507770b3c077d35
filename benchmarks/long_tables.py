"""Writes the long tables of an evaluation anew from its stored rows.

python -m benchmarks.long_tables --folder=results/paper-extra

The folder has scores.jsonl.gz and the run.json of launch.eval, which says the seed and
the resamples. tables.txt comes out the same to the byte for the same rows and versions.
"""

import gzip
import pathlib

from absl import flags, logging

from launch import command
from lsaprobe_jax import strict_json
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import difficulty, summary
from lsaprobe_jax.rows import has_score, parse_rows
from lsaprobe_jax.scoring.evaluate import TABLES, long_tables
from lsaprobe_jax.text import printable_leaves

_FOLDER = flags.DEFINE_string("folder", None, "Of the rows; the tables go there too.")


def main(argv):
  """Reads the rows, writes the tables."""
  command.refuse_arguments(argv)
  folder = pathlib.Path(_FOLDER.value)
  with command.ending_in_one_line("the rows, which are as they were"):
    path = folder / "scores.jsonl.gz"
    found = parse_rows(path, gzip.decompress(path.read_bytes())).values()
    rows = [row for row in found if has_score(row)]
    config = strict_json.loads((folder / "run.json").read_bytes())["config"]
    records = summary.summarise(
      rows + difficulty.calibrated(rows),
      resamples=config["bootstrap_resamples"],
      seed=config["seed"],
    )
    rows, records = printable_leaves((rows, records))
    write_whole(folder / TABLES, long_tables(rows, records) + "\n")
  logging.info("wrote %s", folder / TABLES)


if __name__ == "__main__":
  flags.mark_flags_as_required(["folder"])
  command.run(main)
