"""An evaluation from settings to rows and their summary, in one call."""

import dataclasses
import pathlib
from typing import Any

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.metrics import (
  comparison_tables,
  comparisons,
  difficulty,
  gates,
  record_tables,
  summary,
  within_clip,
)
from lsaprobe_jax.rows import Row, row_lines
from lsaprobe_jax.scoring import recording, workdir
from lsaprobe_jax.scoring.cost_estimate import CostEstimate, estimate_evaluation
from lsaprobe_jax.scoring.experiment import Evaluation, finish, open_evaluation
from lsaprobe_jax.scoring.experiment_inputs import open_inputs
from lsaprobe_jax.scoring.factories import PROBE
from lsaprobe_jax.scoring.method_rows import run_blind, run_methods
from lsaprobe_jax.scoring.row_store import MissingRows
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.scoring.shared_rows import ALONE, Shard
from lsaprobe_jax.strict_json import rows_to_json
from lsaprobe_jax.text import printable_leaves

TABLES = "tables.txt"
_ROWS = "scores.jsonl"
_MORE = (
  f"{{}} the long tables in {TABLES}: gates, each model, operating points, comparisons."
)

# What is printed on the way shows no interval that is resampled.
_SHOWN_ON_THE_WAY = 1


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class EvaluationResult:
  """What an evaluation found.

  Attributes:
    settings: of the evaluation.
    rows: one a clip, model and method.
    records: one a method and model, raw and in every difficulty calibration that the
      rows allow (`metrics.summary`).
    folder: where it was saved, if it was.
  """

  settings: Experiment
  rows: list[Row]
  records: list[dict[str, Any]]
  folder: pathlib.Path | None = None

  def __repr__(self) -> str:
    """The result in a line."""
    methods = list(dict.fromkeys(row["method"] for row in self.rows))
    return f"EvaluationResult({len(self.rows)} rows by {', '.join(methods)})"

  def __str__(self) -> str:
    """Gates and short tables, as they are printed, and where the long ones are."""
    where = "save(FOLDER) writes" if self.folder is None else f"{self.folder} has"
    return (
      f"{describe(self.records)}\n\n{record_tables.IN_SHORT}\n{_MORE.format(where)}"
    )

  def to_rows(self) -> list[Row]:
    """One row a clip, model and method."""
    return list(self.rows)

  def save(self, folder: str | pathlib.Path) -> None:
    """Writes summary.json, tables.txt and what ran, and rows where no run did.

    Raises:
      ArgumentError: the folder holds the scores of another evaluation.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if self.folder is None or folder.resolve() != self.folder.resolve():
      rows = row_lines(self.rows)
      there = (folder / _ROWS).read_text() if (folder / _ROWS).exists() else rows
      if there != rows:
        raise ArgumentError(
          f"folder={folder} holds the scores of another evaluation; choose a new folder"
        )
      write_whole(folder / _ROWS, rows)
    write_whole(folder / "summary.json", rows_to_json(self.records))
    rows, records = printable_leaves((self.rows, self.records))
    write_whole(folder / TABLES, long_tables(rows, records) + "\n")
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
  waiting = []
  for name in settings.methods:
    if progress and shard == ALONE:
      found = summarise(run, run.scores.asked, resamples=_SHOWN_ON_THE_WAY)
      progress(describe(found.records))
    try:
      run_methods(run, [name])
    except MissingRows:
      # This share has measured what it can of that form of the probe; other methods
      # must not wait for what other shares still owe it.
      waiting.append(name)
  run_methods(run, waiting)
  result = dataclasses.replace(summarise(run, finish(run)), folder=folder)
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


def summarise(
  run: Evaluation, rows: list[Row], resamples: int | None = None
) -> EvaluationResult:
  """Summarises rows, raw and in every difficulty calibration that they allow.

  Args:
    run: the evaluation.
    rows: what it has so far.
    resamples: of the bootstrap; those of the settings by default.
  """
  records = summary.summarise(
    rows + difficulty.calibrated(rows),
    resamples=resamples or run.settings.bootstrap_resamples,
    seed=run.settings.seed,
  )
  return EvaluationResult(settings=run.settings, rows=rows, records=records)


def describe(records: list[dict[str, Any]]) -> str:
  """Gates and AUCs side by side, on half a screen.

  Args:
    records: of `summarise`.
  """
  return "\n\n".join(
    [
      gates.brief_gates(records),
      record_tables.format_side_by_side(records),
    ]
  )


def _opening(records: list[dict[str, Any]]) -> list[str]:
  """What comes first: gates, AUCs side by side, and what their columns mean."""
  return [
    gates.format_gates(records),
    record_tables.format_side_by_side(records),
    record_tables.SIDE_BY_SIDE,
  ]


def long_tables(rows: list[Row], records: list[dict[str, Any]]) -> str:
  """All tables: gates in full, AUCs, each model, operating points, comparisons, ranks.

  Args:
    rows: of an evaluation, raw.
    records: of `summarise`.
  """
  parts = _opening(records)
  parts.append(record_tables.format_table(records))
  parts.append(record_tables.format_operating_points(records))
  against, twins = _compare(rows)
  if against:
    parts.append(comparison_tables.format_comparisons(against))
  if twins:
    parts.append(comparison_tables.format_twins(twins))
  if contrast := within_clip.within_clip(rows):
    parts.append(within_clip.format_within_clip(contrast))
  alike = [
    f"rank correlation of {PROBE} with {method} under {model}: {rho:.2f}"
    for (method, model), rho in comparisons.rank_correlations(rows, PROBE).items()
  ]
  return "\n\n".join([*parts, *["\n".join(alike)] * bool(alike)])


def _compare(rows: list[Row]) -> tuple[list[dict], list[dict]]:
  """Comparisons with the probe, where it was scored, and of twins with a reference."""
  every = rows + difficulty.calibrated(rows)
  there = any(row["method"] == PROBE for row in rows)
  against = comparisons.against(every) if there else []
  return against, comparisons.twins_against_reference(every)
