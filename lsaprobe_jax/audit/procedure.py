"""An audit from folders of tracks and a model to a verdict."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import logging

from lsaprobe_jax.audit import conclusions
from lsaprobe_jax.audit.findings import BY_REFERENCE, Findings
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.audit.inputs import Inputs, Source, open_inputs
from lsaprobe_jax.audit.opening import REFERENCE_RECORD
from lsaprobe_jax.audit.result import AuditResult, claim_unscored
from lsaprobe_jax.audit.settings import AuditSettings
from lsaprobe_jax.audit.track_scores import (
  MODEL,
  TrackScores,
  difficulty_calibration_of,
)
from lsaprobe_jax.audit.verdict import verdict
from lsaprobe_jax.metrics import difficulty
from lsaprobe_jax.rows import Row
from lsaprobe_jax.scoring import cost_estimate, experiment, experiment_inputs
from lsaprobe_jax.scoring.experiment_inputs import MIN_DEVELOPMENT_CLIPS
from lsaprobe_jax.scoring.method_rows import run_methods


def audit(
  model: Source,
  suspects: str | os.PathLike,
  reference: str | os.PathLike | None = None,
  *,
  reference_model: Source | None = None,
  held_back: str | os.PathLike | None = None,
  workdir: str | os.PathLike | None = None,
  suspects_groups: Sequence[str] | None = None,
  reference_groups: Sequence[str] | None = None,
  lora: str | os.PathLike | None = None,
  lora_scale: float = 1.0,
  **settings: Any,
) -> AuditResult:
  """Asks whether tracks were in the training set of a model.

  What is given is checked first. Where a check fails nothing is scored, and the verdict
  says what would mend it.

  Args:
    model: a `TrainedModel`, or what `load_model` takes: an embedded model's name, a
      folder, a published checkpoint.
    suspects: a folder of tracks, a built corpus's manifest.json, or one file.
    reference: a folder or manifest of tracks of the same kind, surely not trained on.
      Without any the suspects are compared with their own twins, and the verdict begins
      with what that assumes.
    reference_model: a model of the same kind that saw neither side; it calibrates
      scores for difficulty. It takes reference tracks.
    held_back: a folder of other versions of the suspects that were held back when these
      were published, named as they are; several in sub-folders v1, v2, ... They take
      the place of reference tracks.
    workdir: a folder where every score is kept as it comes, so that the same call goes
      on where it was interrupted; by default scores are kept in memory.
    suspects_groups: only tracks of these groups of a built corpus; all by default.
    reference_groups: the same of the reference.
    lora: a LoRA file, or its folder, that was trained on the model, which is a
      pipeline's folder or `hf:owner/name`. The model with the LoRA merged is audited;
      the model without it is the reference model where there are reference tracks and
      no other was given.
    lora_scale: what the LoRA adds is multiplied by it.
    **settings: changes in `AuditSettings`, nested dicts or dotted names.

  Raises:
    ArgumentError: it begins with the argument that cannot be used.
    SettingError: it begins with the setting that cannot be used.
    RowError: a file of scores in `workdir` is damaged.
  """
  inputs = prepare(
    model,
    suspects,
    reference,
    reference_model=reference_model,
    held_back=held_back,
    suspects_groups=suspects_groups,
    reference_groups=reference_groups,
    lora=lora,
    lora_scale=lora_scale,
    **settings,
  )
  folder = None if workdir is None else pathlib.Path(workdir)
  if inputs.refused:
    if folder is not None:
      claim_unscored(folder)
    return _result(inputs, inputs.gates)
  return conclude(inputs, score(inputs, folder))


def prepare(
  model: Source,
  suspects: str | os.PathLike,
  reference: str | os.PathLike | None = None,
  **given: Any,
) -> Inputs:
  """Opens and checks what an audit is given, and scores nothing; see `audit`.

  Args:
    model: see `audit`, as are the others.
    suspects: the tracks in question.
    reference: tracks of the same kind, surely not trained on.
    **given: the other arguments of `audit`, but for `workdir`.
  """
  names = ("reference_model", "held_back", "suspects_groups", "reference_groups")
  names += ("lora", "lora_scale")
  others = {name: given.pop(name) for name in names if name in given}
  settings = AuditSettings().changed(given)
  return open_inputs(model, suspects, reference, settings=settings, **others)


def estimate(inputs: Inputs) -> cost_estimate.CostEstimate:
  """Estimates what the scoring of an audit costs; keeps none of its scores."""
  clips = inputs.clips
  count = len(clips) * len(inputs.targets)
  settings = inputs.settings.experiment()
  return cost_estimate.estimate(settings, inputs.targets[0], clips, count)


def score(inputs: Inputs, folder: pathlib.Path | None = None) -> list[Row]:
  """Scores all clips by all methods under all models.

  Args:
    inputs: what the audit was given.
    folder: where rows are kept, and those that are there are not made again; None for
      memory.

  Returns:
    All rows, and with a reference model those by reference besides.
  """
  settings = inputs.settings.experiment()
  development = inputs.development
  if inputs.mode != BY_REFERENCE:
    # Nothing is calibrated on development clips, and there are none. What is checked
    # with them is checked with the suspects' own.
    indices = [i % len(inputs.suspects) for i in range(MIN_DEVELOPMENT_CLIPS)]
    development = inputs.suspects.take(indices)
  fitted = experiment_inputs.fit_inputs(
    settings, inputs.targets, inputs.halves, development, check_twins=False
  )
  # The audit's own settings decide its results too, such as alpha.
  fitted = dataclasses.replace(
    fitted, identity=inputs.identity(), development=inputs.development
  )
  run = experiment.start_evaluation(
    settings, fitted, folder, cuts=inputs.mode == BY_REFERENCE
  )
  rows: list[Row] = []
  for name in settings.methods:
    try:
      rows += run_methods(run, [name])
    except experiment_inputs.TooFewDevelopmentClips as error:
      # A method without scores is named by a gate, beside those that have some.
      logging.error("%s: of the reference tracks %s", name, error)
  return rows + difficulty.calibrated(rows)


def conclude(inputs: Inputs, rows: Sequence[Row]) -> AuditResult:
  """Judges the scores of an audit, whose inputs passed their gates."""
  found = conclusions.conclude(inputs, rows)
  return _result(inputs, found.gates, rows=rows, failed=found.failed, found=found)


def _result(
  inputs: Inputs,
  gates: Sequence[Gate],
  *,
  rows: Sequence[Row] = (),
  failed: Sequence[str] = (),
  found: conclusions.Conclusion | None = None,
) -> AuditResult:
  findings: Findings | None = found and found.findings
  scores: TrackScores | None = found and found.scores
  said = {
    "difficulty_calibration": difficulty_calibration_of(
      [row for row in rows if row["model"] == MODEL]
    ),
    "reference_unknown": any(
      gate.holds is None for gate in gates if gate.name == REFERENCE_RECORD
    ),
  }
  return AuditResult(
    verdict=verdict(gates, findings, **said),
    gates=tuple(gates),
    findings=findings,
    scores=scores,
    rows=tuple(rows),
    failed=tuple(failed),
    inputs=inputs,
    **said,
  )
