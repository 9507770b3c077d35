"""Scores clips under target models and says how well members are told apart.

python -m launch.eval --config=configs/mini.py --workdir=runs/mini [--limit=20]
  [--config.search.eta_max=0.5] [--record=3] [--dry_run]

Rows go to WORKDIR/scores.jsonl as they come; the same command continues a run that
was interrupted. It ends with a table and WORKDIR/summary.json. Several processes share
the clips with --distributed or --shard=K/N (docs/hosts.md). With --record=N the last of
them keeps what launch.report shows of N clips a side, in WORKDIR/records.
"""

import pathlib

from absl import flags, logging

from launch import command, devices, hosts
from lsaprobe_jax.scoring.evaluate import estimate_cost, evaluate
from lsaprobe_jax.scoring.row_store import MissingRows
from lsaprobe_jax.scoring.settings import Experiment

_CONFIG = command.define_config("The experiment.")
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
  command.refuse_arguments(argv)
  devices.use_all()
  shard = hosts.join()
  settings = Experiment.from_dict(_CONFIG.value.to_dict())
  workdir = pathlib.Path(_WORKDIR.value)
  if _DRY_RUN.value:
    print(estimate_cost(settings, _LIMIT.value))
    return
  with command.ending_in_one_line(f"the rows in {workdir}"):
    try:
      result = evaluate(
        settings, workdir, limit=_LIMIT.value, shard=shard, record=_RECORD.value
      )
    except MissingRows as error:
      logging.info(
        "this share is done; %s. The last to finish merges; if one died, give this"
        " command --shard=K/N",
        error,
      )
      return
  print(result)
  logging.info("wrote %s", workdir / "summary.json")


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  command.run(main)
