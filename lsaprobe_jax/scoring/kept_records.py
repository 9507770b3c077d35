"""What launch.eval --record keeps for a report, of a finished evaluation."""

import pathlib

from absl import app
from ml_collections import ConfigDict

from lsaprobe_jax import strict_json
from lsaprobe_jax.scoring import experiment, factories, recording

# Its two loops are what the report replays, beside the evaluation's own search.
PAPER_SEARCH = "bisection"


def check(config: ConfigDict, workdir: pathlib.Path, count: int) -> None:
  """Refuses, before anything is scored, records that could not be gone on with.

  Args:
    config: all settings.
    workdir: of the evaluation, which need not be there yet.
    count: clips of each side to record; 0 for none.

  Raises:
    app.UsageError: the probe is not among the methods, the paper's search has no
      settings, or the records there are damaged.
  """
  if not count:
    return
  if factories.PROBE not in config.methods:
    raise app.UsageError(f"--record: needs {factories.PROBE} in --config.methods")
  if PAPER_SEARCH not in config.search:
    raise app.UsageError(f"--record: needs --config.search.{PAPER_SEARCH}, settings")
  path = workdir / recording.FOLDER / recording.INDEX
  try:
    if path.exists():
      strict_json.read(path, dict, recording.AGAIN)
  except (OSError, ValueError) as error:
    raise app.UsageError(f"--record={count}: {error}") from error


def record(run: experiment.Evaluation, workdir: pathlib.Path, count: int) -> None:
  """Records some clips of each side under the first target, in WORKDIR/records.

  Args:
    run: a finished evaluation of the probe.
    workdir: where its rows are.
    count: clips of each side.
  """
  target, config = run.targets[0], run.config
  names = {"method": factories.PROBE, "model": target.name}
  rows = [row for row in run.scores.asked if names.items() <= row.items()]
  # Beside the evaluation's own search the paper's, whose two loops the report replays.
  searches_used = dict.fromkeys((config.search.name, PAPER_SEARCH))
  settings = recording.Settings(
    target=target,
    distance=experiment.make_distance(run),
    distance_name=config.distance,
    searches={
      name: factories.make_search(config.search, name) for name in searches_used
    },
    t_ratio=config.t_ratio,
    eta_ref=config.tau.eta_ref,
    quantile=config.tau.quantile,
    seed=config.seed,
  )
  folder = workdir / recording.FOLDER
  try:
    recording.record(folder, settings, run.halves, run.development, rows, count)
  except (OSError, ValueError) as error:
    raise app.UsageError(f"--record={count}: {folder}: {error}") from error
