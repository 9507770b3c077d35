"""Rebuilds the tables and figures of all studies from their stored rows.

python -m launch.reproduce [--add=mini=runs/sweep]

Scores nothing, and takes about a minute a study. results/NAME/tables.md,
docs/figures/NAME/ and the tables of RESULTS.md come out the same to the byte for the
same rows and versions. --add makes a study of what launch.sweep wrote, replacing one of
that name. See lsaprobe_jax/report/reproduction.py.
"""

import pathlib

from absl import app, flags, logging

from launch import command
from lsaprobe_jax.report import reproduction

_ADD = flags.DEFINE_list("add", [], "NAME=FOLDER: store the rows of these studies.")
_ROOT = flags.DEFINE_string(
  "root", str(pathlib.Path(__file__).parents[1]), "Folder of RESULTS.md and results/."
)


def main(argv):
  """Stores what --add names, then rebuilds."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  root = pathlib.Path(_ROOT.value)
  for pair in _ADD.value:
    name, _, source = pair.partition("=")
    parts = reproduction.add(name, pathlib.Path(source), root)
    logging.info("results/%s: %s", name, ", ".join(parts))
  names = reproduction.rebuild(root)
  logging.info("wrote RESULTS.md, tables and figures of %s", ", ".join(names))


if __name__ == "__main__":
  command.run(main)
