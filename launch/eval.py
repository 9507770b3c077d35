"""Scores clips under target models and says how well members are told apart.

python -m launch.eval --config=configs/mini.py --workdir=runs/mini [--limit=20]
  [--config.search.eta_max=0.5]

Rows go to WORKDIR/scores.jsonl as they come; the same command continues a run that
was interrupted. Ends with a table and WORKDIR/summary.json.
"""

import pathlib

from absl import app, flags, logging
from ml_collections import config_flags

from launch import common, evaluation
from lsaprobe_jax.evaluation import summary

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Experiment.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Rows and the summary go here.")
_LIMIT = flags.DEFINE_integer(
  "limit", None, "Score at most this many clips of each half.", lower_bound=2
)


def main(argv):
  """Runs the evaluation."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_devices()
  config, workdir = _CONFIG.value, pathlib.Path(_WORKDIR.value)
  run = evaluation.load(config, workdir, _LIMIT.value)
  distance = evaluation.make_distance(run)

  rows = evaluation.run_blind(run)
  evaluation.print_report(run, rows)
  rows += evaluation.run_loss(run)
  evaluation.print_report(run, rows)
  rows += evaluation.run_random_stability(run, distance)
  rows += evaluation.run_lsa_probe(run, distance)
  records = evaluation.print_report(run, rows)
  (workdir / "summary.json").write_text(summary.rows_to_json(records))
  logging.info("wrote %s", workdir / "summary.json")


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "workdir"])
  app.run(main)
