"""Was a set of tracks (an album, an artist) in the training set? One p-value for all.

python -m launch.sets --workdir=runs/mini --method=lsa_probe [--model=A] [--difficulty_calibration]
  [--suspects=ufoai=ufoai-*,mars=marsshooter-*]

Scores nothing: reads WORKDIR/scores.jsonl of a finished evaluation. Every set of
suspects is compared with the tracks that the model was surely not trained on, less
those that are suspects; what is tested, and what it assumes, says
lsaprobe_jax/evaluation/sets.py. Prints a table and writes WORKDIR/sets.json.
"""

import fnmatch
import json
import pathlib
from typing import Any

from absl import app, flags, logging

from launch import command
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import difficulty, pivot, record_tables, sets, summary
from lsaprobe_jax.scoring import row_store
from lsaprobe_jax.strict_json import to_json
from lsaprobe_jax.text import printable_leaves

_WORKDIR = flags.DEFINE_string("workdir", None, "Of a finished evaluation.")
_METHOD = flags.DEFINE_string("method", "lsa_probe", "Whose scores to read.")
_DISTANCE = flags.DEFINE_string("distance", None, "Of the method, if it has several.")
_T_RATIO = flags.DEFINE_float("t_ratio", None, "Of the method, if it has several.")
_MODEL = flags.DEFINE_string(
  "model", None, "The model under audit (default: A, or the only one)."
)
_CALIBRATED = flags.DEFINE_bool(
  "difficulty_calibration", False, "Read scores less those under the model `reference`."
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

Rows = list[dict[str, Any]]


def read_rows(workdir: pathlib.Path) -> Rows:
  """Rows of an evaluation; UsageError where there is none or it is under way."""
  try:
    # Names as they are shown, and as globs are therefore written.
    return printable_leaves(row_store.read_rows(workdir / "scores.jsonl"))
  except (OSError, ValueError) as error:
    raise app.UsageError(f"--workdir={workdir}: {error}") from error


def choose(rows: Rows) -> Rows:
  """Judged rows of the one method and model that the flags name."""
  if _CALIBRATED.value:
    rows = difficulty.by_reference(rows)
    if not rows:
      raise app.UsageError(
        "--difficulty_calibration: nothing was scored under a reference model"
      )
  targets = [row for row in rows if row["model"] != pivot.REFERENCE]
  methods = [row for row in targets if row["method"] == _METHOD.value]
  if not methods:
    raise app.UsageError(
      f"--method={_METHOD.value}: known: {_names(targets, 'method')}"
    )
  model = _model(methods)
  wanted = {"distance": _DISTANCE.value, "t_ratio": _T_RATIO.value}
  wanted = {name: value for name, value in wanted.items() if value is not None}
  own = [r for r in methods if r["model"] == model and wanted.items() <= r.items()]
  settings = {(r["corpus"], r["distance"], r["t_ratio"], r["seed"]) for r in own}
  if len(settings) != 1:
    there = settings or {(r["corpus"], r["distance"], r["t_ratio"]) for r in methods}
    raise app.UsageError(
      f"--method={_METHOD.value}: choose one by --distance and --t_ratio:"
      f" {'; '.join(sorted(map(str, there)))}"
    )
  return [row for row in own if row["split"] in pivot.JUDGED]


def _model(rows: Rows) -> str:
  known = {row["model"] for row in rows}
  model = _MODEL.value or (known.copy().pop() if len(known) == 1 else "A")
  if model not in known:
    raise app.UsageError(
      f"--model={model}: {_METHOD.value} has scored under {_names(rows, 'model')}"
    )
  return model


def _names(rows: Rows, key: str) -> str:
  return ", ".join(sorted({row[key] for row in rows})) or "none"


def suspect_tracks(rows: Rows) -> dict[str, set[str]]:
  """Tracks of each set that the flags name."""
  tracks = {row["track"] for row in rows}
  if not _SUSPECTS.value:
    return {"members": {row["track"] for row in rows if row["split"] == "member"}}
  found: dict[str, set[str]] = {}
  for text in _SUSPECTS.value:
    name, _, glob = text.partition("=")
    if not name or not glob:
      raise app.UsageError(f"--suspects={text}: write NAME=GLOB")
    if name in found:
      raise app.UsageError(f"--suspects: the name {name} is there twice")
    found[name] = {track for track in tracks if fnmatch.fnmatchcase(track, glob)}
    if not found[name]:
      raise app.UsageError(
        f"--suspects={text}: no such track, of {len(tracks)} such as {min(tracks)}"
      )
  return found


def compare(rows: Rows, suspects: dict[str, set[str]]):
  """(test of each set, rejection rates on the reference's tracks)."""
  scores = lambda own: ([r["score"] for r in own], [r["track"] for r in own])
  taken = set().union(*suspects.values())
  reference = [
    row for row in rows if row["split"] == "nonmember" and row["track"] not in taken
  ]
  by_name = {
    name: sets.track_means(*scores([row for row in rows if row["track"] in tracks]))
    for name, tracks in suspects.items()
  }
  try:
    tests = sets.compare_sets(
      by_name,
      sets.track_means(*scores(reference)),
      permutations=_PERMUTATIONS.value,
      seed=_SEED.value,
    )
    rejections = sets.null_rejections(
      *scores(reference), draws=_DRAWS.value, alpha=_ALPHA.value, seed=_SEED.value
    )
  except ValueError as error:
    raise app.UsageError(f"--suspects: {error}") from error
  return tests, rejections


def _gates(workdir: pathlib.Path) -> str:
  """The gates of the evaluation, on all of its clips."""
  try:
    return record_tables.format_gates(summary.summarise(read_rows(workdir), resamples=1))
  except ValueError as error:
    raise app.UsageError(f"--workdir={workdir}: {error}") from error


def main(argv):
  """Tests the sets."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  workdir = pathlib.Path(_WORKDIR.value)
  rows = choose(read_rows(workdir))
  suspects = suspect_tracks(rows)
  tests, rejections = compare(rows, suspects)
  names = (
    "corpus",
    "method",
    "distance",
    "t_ratio",
    "model",
    "difficulty_calibration",
    "seed",
  )
  found = {name: rows[0][name] for name in names} | {
    "sets": {
      name: test._asdict() | {"names": sorted(suspects[name])}
      for name, test in tests.items()
    },
    "null_rejections": rejections._asdict(),
  }
  try:
    write_whole(workdir / "sets.json", json.dumps(to_json(found), indent=1) + "\n")
  except OSError as error:
    raise app.UsageError(f"--workdir={workdir}: {error}") from error
  print(f"\n{_gates(workdir)}\n\n{sets.format_tests(tests, rejections)}\n")
  logging.info("wrote %s", workdir / "sets.json")


if __name__ == "__main__":
  flags.mark_flags_as_required(["workdir"])
  command.run(main)
