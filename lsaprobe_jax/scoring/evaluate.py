"""An evaluation from settings to rows and their summary, in one call."""

import dataclasses
import pathlib
from typing import Any

from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import (
  comparison_tables,
  comparisons,
  difficulty,
  record_tables,
  summary,
)
from lsaprobe_jax.rows import Row
from lsaprobe_jax.scoring import recording, workdir
from lsaprobe_jax.scoring.cost_estimate import CostEstimate, estimate_evaluation
from lsaprobe_jax.scoring.experiment import Evaluation, finish, open_evaluation
from lsaprobe_jax.scoring.experiment_inputs import open_inputs
from lsaprobe_jax.scoring.factories import PROBE
from lsaprobe_jax.scoring.method_rows import run_blind, run_methods
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.scoring.shared_rows import ALONE, Shard
from lsaprobe_jax.strict_json import rows_to_json


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class EvaluationResult:
  """What an evaluation found.

  Attributes:
    settings: of the evaluation.
    rows: one a clip, model and method.
    records: one a method and model, raw and difficulty-calibrated by the reference
      model where there is one (`metrics.summary`).
  """

  settings: Experiment
  rows: list[Row]
  records: list[dict[str, Any]]

  def __repr__(self) -> str:
    """The result in a line."""
    methods = list(dict.fromkeys(row["method"] for row in self.rows))
    return f"EvaluationResult({len(self.rows)} rows by {', '.join(methods)})"

  def __str__(self) -> str:
    """Gates and tables, as they are printed."""
    return describe(self.rows, self.records)

  def to_rows(self) -> list[Row]:
    """One row a clip, model and method."""
    return list(self.rows)

  def save(self, folder: str | pathlib.Path) -> None:
    """Writes summary.json and what ran beside the rows that are there."""
    folder = pathlib.Path(folder)
    write_whole(folder / "summary.json", rows_to_json(self.records))
    workdir.note_environment(folder)


def evaluate(
  settings: Experiment,
  folder: str | pathlib.Path | None = None,
  *,
  limit: int | None = None,
  shard: Shard = ALONE,
  record: int = 0,
  progress=None,
) -> EvaluationResult:
  """Scores an experiment's clips by all of its methods, and summarises the rows.

  Args:
    settings: all settings.
    folder: rows go there as they come, and the same call continues a run that was
      interrupted; None keeps everything in memory.
    limit: at most so many clips of each half.
    shard: the share of this process, where several share the folder.
    record: keeps sounds, spectrograms and searches of so many clips a side, for the
      report; needs a folder.
    progress: called with the text of what is there before each method.

  Raises:
    SettingError: a setting cannot be used.
    ArgumentError: the folder cannot be used.
    MissingRows: this share is done, and other processes have yet to do theirs.
  """
  folder = None if folder is None else pathlib.Path(folder)
  recording.check(settings, folder, record)
  run = open_evaluation(settings, folder, limit=limit, shard=shard)
  run_blind(run)
  for name in settings.methods:
    if progress and shard == ALONE:
      progress(str(summarise(run, run.scores.asked)))
    run_methods(run, [name])
  result = summarise(run, finish(run))
  if folder is not None:
    result.save(folder)
  if record:
    recording.record_evaluation(run, folder, record)
  return result


def estimate_cost(settings: Experiment, limit: int | None = None) -> CostEstimate:
  """Checks everything that an evaluation needs, and estimates what it would cost.

  Nothing is written. Args and errors are those of `evaluate`.
  """
  return estimate_evaluation(settings, open_inputs(settings, limit))


def summarise(run: Evaluation, rows: list[Row]) -> EvaluationResult:
  """Summarises rows, raw and difficulty-calibrated by the reference model."""
  records = summary.summarise(
    rows + difficulty.by_reference(rows),
    resamples=run.settings.bootstrap_resamples,
    seed=run.settings.seed,
  )
  return EvaluationResult(settings=run.settings, rows=rows, records=records)


def describe(rows: list[Row], records: list[dict[str, Any]]) -> str:
  """Gates, tables, comparisons with the probe and rank correlations as text."""
  parts = [record_tables.format_gates(records), record_tables.format_table(records)]
  if any(row["method"] == PROBE for row in rows):
    both = rows + difficulty.by_reference(rows)
    parts.append(record_tables.format_operating_points(records))
    parts.append(comparison_tables.format_comparisons(comparisons.against(both)))
  alike = [
    f"rank correlation of {PROBE} with {method} under {model}: {rho:.2f}"
    for (method, model), rho in comparisons.rank_correlations(rows, PROBE).items()
  ]
  return "\n\n".join(("\n" + "\n\n".join(parts) + "\n", "\n".join(alike))).rstrip()
