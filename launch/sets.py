"""Was a set of tracks (an album, an artist) in the training set? One p-value for all.

python -m launch.sets --workdir=runs/mini [--method=lsa_probe] [--model=A]
  [--difficulty_calibration=reference] [--suspects=ufoai=ufoai-*,mars=marsshooter-*]

Scores nothing: reads WORKDIR/scores.jsonl of a finished evaluation. Every set of
suspects is compared with the tracks that the model was surely not trained on, less
those that are suspects. What is tested, and what it assumes, says
lsaprobe_jax/metrics/sets.py. Prints a table and writes WORKDIR/sets.json.
"""

import json
import pathlib

from absl import app, flags, logging

from launch import command
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import gates, set_comparison, summary
from lsaprobe_jax.scoring.row_store import read_rows
from lsaprobe_jax.strict_json import to_json
from lsaprobe_jax.text import printable_leaves

_WORKDIR = flags.DEFINE_string("workdir", None, "Of a finished evaluation.")
_METHOD = flags.DEFINE_string("method", "lsa_probe", "Whose scores to read.")
_DISTANCE = flags.DEFINE_string("distance", None, "Of the method, if it has several.")
_T_RATIO = flags.DEFINE_float("t_ratio", None, "Of the method, if it has several.")
_MODEL = flags.DEFINE_string("model", None, "Under audit (default: A, or the only).")
_CALIBRATION = flags.DEFINE_enum(
  "difficulty_calibration",
  "none",
  ["none", "reference"],
  "reference: read scores less those under the model `reference`.",
)
_SUSPECTS = flags.DEFINE_list(
  "suspects",
  [],
  "NAME=GLOB on the tracks' names, any number; by default the one set `members`: all"
  " tracks that the model was trained on.",
)
_PERMUTATIONS = flags.DEFINE_integer(
  "permutations", 9_999, "At most so many divisions for a p-value.", 99, 1_000_000
)
_DRAWS = flags.DEFINE_integer(
  "draws", 200, "Divisions of non-members to see whether p keeps its level.", 1, 100_000
)
_ALPHA = flags.DEFINE_float("alpha", 0.05, "That level.", 1e-6, 0.5)
_SEED = flags.DEFINE_integer("seed", 0, "Of all divisions.", 0, 2**32 - 1)


def globs(texts: list[str]) -> dict[str, str]:
  """NAME=GLOB as a dictionary; UsageError on what is not that, or a name twice."""
  found: dict[str, str] = {}
  for text in texts:
    name, _, glob = text.partition("=")
    if not name or not glob:
      raise app.UsageError(f"--suspects={text}: write NAME=GLOB")
    if name in found:
      raise app.UsageError(f"--suspects: the name {name} is there twice")
    found[name] = glob
  return found


def main(argv):
  """Tests the sets."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  workdir = pathlib.Path(_WORKDIR.value)
  try:
    # Names as they are shown, and as globs are therefore written.
    rows = printable_leaves(read_rows(workdir / "scores.jsonl"))
    found = set_comparison.compare_tracks(
      rows,
      method=_METHOD.value,
      model=_MODEL.value,
      distance=_DISTANCE.value,
      t_ratio=_T_RATIO.value,
      difficulty_calibration=_CALIBRATION.value,
      suspects=globs(_SUSPECTS.value),
      permutations=_PERMUTATIONS.value,
      draws=_DRAWS.value,
      alpha=_ALPHA.value,
      seed=_SEED.value,
    )
    found_gates = gates.format_gates(summary.summarise(rows, resamples=1))
    text = json.dumps(to_json(found.to_dict()), indent=1)
    write_whole(workdir / "sets.json", text + "\n")
  except (OSError, ValueError) as error:
    if isinstance(error, ArgumentError):
      raise
    raise app.UsageError(f"--workdir={workdir}: {error}") from error
  print(f"\n{found_gates}\n\n{found}\n")
  logging.info("wrote %s", workdir / "sets.json")


if __name__ == "__main__":
  flags.mark_flags_as_required(["workdir"])
  command.run(main)
