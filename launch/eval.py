"""Scores clips under target models and says how well members are told apart.

python -m launch.eval --config=configs/mini.py --workdir=runs/mini [--limit=20]
  [--config.search.eta_max=0.5] [--record=3] [--dry_run]

Rows go to WORKDIR/scores.jsonl as they come; the same command continues a run that
was interrupted. Ends with a table and WORKDIR/summary.json. Several processes share
the clips with --distributed or --shard=K/N: see docs/hosts.md. With --record=N the
last of them keeps what launch.report shows of N clips a side, in WORKDIR/records.
"""

import pathlib

from absl import app, flags, logging
from ml_collections import config_flags

from launch import command, common, hosts
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.scoring import (
  cost_estimate,
  experiment,
  experiment_inputs,
  kept_records,
  rules,
)
from lsaprobe_jax.scoring.row_store import MissingRows
from lsaprobe_jax.scoring.shared_rows import ALONE
from lsaprobe_jax.strict_json import rows_to_json

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Rows and the summary go here.")
_LIMIT = flags.DEFINE_integer(
  "limit", None, "Score at most this many clips of each half.", lower_bound=2
)
_RECORD = flags.DEFINE_integer(
  "record",
  0,
  "Keep sounds, spectrograms and the search of so many clips a side (docs/report.md).",
  lower_bound=0,
)
_DRY_RUN = flags.DEFINE_bool(
  "dry_run", False, "Check the inputs and estimate time and memory; write nothing."
)


def main(argv):
  """Runs the evaluation."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_devices()
  shard = hosts.join()
  config, workdir = _CONFIG.value, pathlib.Path(_WORKDIR.value)
  rules.check(config)
  kept_records.check(config, workdir, _RECORD.value)
  if _DRY_RUN.value:
    opened = experiment_inputs.open_checked(config, _LIMIT.value)
    print(cost_estimate.text(*cost_estimate.of_evaluation(config, opened)))
    return
  run = experiment.load(config, workdir, _LIMIT.value, shard)
  with common.ending_in_one_line(f"the rows in {workdir}"):
    try:
      rows = _score(run, shard)
    except MissingRows as error:
      logging.info(
        "this share is done; %s. The last to finish merges; if one died, give this"
        " command --shard=K/N",
        error,
      )
      return
    summary = experiment.print_report(run, rows)
    write_whole(workdir / "summary.json", rows_to_json(summary))
    common.note_environment(workdir)
    logging.info("wrote %s", workdir / "summary.json")
    if _RECORD.value:
      kept_records.record(run, workdir, _RECORD.value)


def _score(run: experiment.Evaluation, shard) -> list[dict]:
  """Rows of all methods, of all processes; MissingRows if others' are."""
  experiment.run_blind(run)
  for name in run.config.methods:
    if shard == ALONE:
      experiment.print_report(run, run.scores.asked)
    experiment.run_methods(run, [name])
  return experiment.finish(run)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
