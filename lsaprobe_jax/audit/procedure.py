"""An audit: two folders of tracks and a model, to a verdict. Reads no flags."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, logging
from ml_collections import ConfigDict

from launch import common
from lsaprobe_jax.audit import gates as audit_gates
from lsaprobe_jax.audit import sides, statistics
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.metrics import difficulty, summary
from lsaprobe_jax.scoring import cost_estimate, experiment, experiment_inputs
from lsaprobe_jax.scoring import rules as setting_rules
from lsaprobe_jax.scoring.cost_estimate import Cost
from lsaprobe_jax.scoring.scorer import Target

MODEL = statistics.MODEL
REFERENCE_RECORD = "neither side in the reference model's own record"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
  """What an audit was given, checked.

  Attributes:
    targets: the model and, where there is one, the reference model.
    weights: hashes of their weights.
    suspects: clips of group a.
    comparison: clips of group b; of the whole reference where that is too small.
    calibration: clips of group dev, none where the reference is too small.
    facts: by 'suspect' and 'reference', of the file of each track.
    sources: file of each track, as it was given.
    albums: by track, where whole albums are exchanged; None where tracks are.
    gates: those that need no score.
    notes: what a reader should know of the two sides.
  """

  targets: list[Target]
  weights: dict[str, Any]
  suspects: Corpus
  comparison: Corpus
  calibration: Corpus
  facts: dict[str, list[inspection.Facts]]
  sources: dict[str, str]
  albums: dict[str, str] | None
  gates: list[Gate]
  notes: list[str]

  @property
  def refused(self) -> bool:
    """Whether a gate that needs no score fails."""
    return any(gate.holds is False for gate in self.gates)

  def identity(self) -> dict[str, Any]:
    """Hashes of weights and clips."""
    parts = ("suspects", "comparison", "calibration")
    return self.weights | {
      "data": {name: getattr(self, name).fingerprint() for name in parts}
    }


def read(
  config: ConfigDict,
  suspects: str,
  reference: str,
  groups: dict[str, Sequence[str]] | None = None,
) -> Inputs:
  """Opens and checks everything that an audit is given; scores nothing.

  Args:
    config: all settings; `targets` with `model` and perhaps `reference`.
    suspects: a folder, a manifest or an audio file.
    reference: a folder or a manifest.
    groups: by 'suspect' and 'reference', the groups of tracks taken; all by default.

  Raises:
    app.UsageError: something cannot be used at all.
  """
  targets, weights = common.load_targets(config, _flag)
  if len(set(weights["weights"].values())) < len(targets):
    raise app.UsageError(
      "--reference_model has the weights of --model; give a model of the same kind that"
      " saw neither side, or none"
    )
  model = next(target for target in targets if target.name == MODEL)
  rate = model.model.sample_rate
  seconds = config.corpus.clip_seconds or sides.trained_seconds(config.targets[MODEL])
  given = {"suspect": suspects, "reference": reference}
  opened, notes = sides.open_sides(given, groups or {}, rate, seconds, config)
  facts, opened, left_out = sides.inspect_sides(given, opened)
  sources = {fact.track: fact.source for own in facts.values() for fact in own}
  notes += left_out + inspection.differences(*facts.values())
  calibration, comparison, enough = _split(config, opened["reference"])
  albums = sides.albums_of(config, given)
  gates = [enough, audit_gates.duplicates(facts)]
  gates += _records(targets, opened)
  gates += _sides(config, opened, comparison, albums)
  if seen := audit_gates.recorded(model, opened["suspect"]):
    notes.append(
      f"the model's own record holds {len(seen)} of {len(opened['suspect'].tracks)}"
      f" suspects as trained on ({sum(seen.values())} by their samples, others by name)"
    )
  return Inputs(
    targets=[dataclasses.replace(t, group=None, members=None) for t in targets],
    weights=weights,
    suspects=_regroup(opened["suspect"], "suspect"),
    comparison=_regroup(opened["reference"], "comparison", comparison),
    calibration=_regroup(opened["reference"], "calibration", calibration),
    facts=facts,
    sources=sources,
    albums=albums,
    gates=gates,
    notes=notes,
  )


def _records(targets: list[Target], opened: dict[str, Corpus]) -> list[Gate]:
  """Gates on what the models themselves say that they were trained on."""
  gates = []
  for target in targets:
    if target.name == summary.REFERENCE:
      sides, name = opened, REFERENCE_RECORD
    else:
      sides = {"reference": opened["reference"]}
      name = "reference not in the model's own record"
    gates.append(audit_gates.not_recorded(target, sides, name))
  return gates


def _sides(
  config: ConfigDict, opened: dict[str, Corpus], comparison: Sequence[str], albums
) -> list[Gate]:
  """Gates on whether the sides can be exchanged."""
  suspects, reference = opened["suspect"], opened["reference"]
  # Those that the verdict compares, exchanged as it exchanges them. Where tracks are
  # exchanged, the calibration tracks are as good, and make the gate see more.
  judged = statistics.exchange(suspects.tracks, comparison, albums)
  known = None
  if albums is not None:
    names = (*suspects.tracks, *comparison)
    known = sum(track in albums for track in names), len(names)
    reference = _regroup(reference, "comparison", comparison)
  heard = statistics.exchange(suspects.tracks, reference.tracks, albums)
  return [
    audit_gates.albums(judged, known, config),
    audit_gates.blind_baseline(suspects, reference, heard, config),
  ]


def _split(
  config: ConfigDict, reference: Corpus
) -> tuple[Sequence[str], Sequence[str], Gate]:
  """Tracks to calibrate on and to compare with, and whether there are enough."""
  needed = statistics.smallest_reference(
    config.alpha,
    int(sides.clips_of_tracks(reference).min()),
    experiment_inputs.MIN_DEVELOPMENT_CLIPS,
  )
  tracks = reference.tracks
  gate = audit_gates.reference_size(len(tracks), needed, config.alpha)
  if not gate.holds:
    return [], tracks, gate
  return *statistics.split_reference(tracks, needed, config.seed), gate


def _flag(target: str) -> str:
  return "--model" if target == MODEL else "--reference_model"


def _regroup(corpus: Corpus, part: str, tracks=None) -> Corpus:
  """Clips of some tracks, of all by default, in the group that stands for a part."""
  kept = [i for i, c in enumerate(corpus.clips) if tracks is None or c.track in tracks]
  chosen = corpus.take(kept)
  regroup = lambda clip: dataclasses.replace(clip, group=statistics.GROUPS[part])
  return dataclasses.replace(chosen, clips=tuple(map(regroup, chosen.clips)))


def together(one: Corpus, other: Corpus) -> Corpus:
  """Clips of both."""
  return dataclasses.replace(
    one,
    clips=one.clips + other.clips,
    audio=np.concatenate([one.audio, other.audio]),
  )


def begin(
  config: ConfigDict, inputs: Inputs, workdir: pathlib.Path
) -> experiment.Evaluation:
  """Claims the working folder for an audit whose gates hold so far."""
  return experiment.start(
    config,
    inputs.targets,
    dict(inputs.weights),
    together(inputs.suspects, inputs.comparison),
    inputs.calibration,
    workdir,
  )


def score(run: experiment.Evaluation) -> list[dict[str, Any]]:
  """Rows of all methods under all targets, less the reference's where there is one."""
  rows = experiment.run_methods(run, run.config.methods)
  return rows + difficulty.by_reference(rows)


def estimate(config: ConfigDict, inputs: Inputs) -> tuple[list[Cost], int]:
  """What the audit costs, and the memory it takes: `cost_estimate.estimate`."""
  (model,) = (target for target in inputs.targets if target.name == MODEL)
  clips = together(together(inputs.suspects, inputs.comparison), inputs.calibration)
  count = len(clips) * len(inputs.targets)
  return cost_estimate.estimate(config, model, clips, count)


def check(config: ConfigDict) -> None:
  """Refuses settings that only an audit has and cannot be used."""
  setting_rules.check(config)
  if not 0 < config.alpha < 0.5:
    raise app.UsageError(f"--config.alpha={config.alpha:g} is not in (0, 0.5)")
  if config.corpus.clips_per_track < 1 or config.corpus.clip_seconds < 0:
    raise app.UsageError(
      "--config.corpus: clips_per_track is at least 1 and clip_seconds at least 0"
    )
  if not config.methods:
    raise app.UsageError("--config.methods names none")
  if config.permutations + 1 < 1 / config.alpha:
    raise app.UsageError(
      f"--config.permutations={config.permutations}: no p-value would be as low as"
      f" --config.alpha={config.alpha:g}; give at least {1 / config.alpha - 1:.0f}"
    )
  if config.albums not in sides.ALBUMS:
    raise app.UsageError(f"--config.albums={config.albums}: one of {sides.ALBUMS}")


def prepare_refusal(workdir: pathlib.Path) -> None:
  """Makes a working folder for a dossier without scores; refuses another audit's."""
  if any((workdir / name).exists() for name in ("run.json", "scores.jsonl")):
    raise app.UsageError(
      f"--workdir={workdir} holds the scores of another audit; choose a new folder"
    )
  try:
    workdir.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise app.UsageError(f"--workdir={workdir} cannot be used: {error}") from error


def find(
  config: ConfigDict, inputs: Inputs, rows: list[dict[str, Any]]
) -> tuple[list[Gate], statistics.Scores | None, dict[str, Any] | None, list[str]]:
  """What the rows say.

  Returns:
    All gates; scores with the panel and what was found (`statistics.judge`, and under
    `null` `statistics.null_rejections`), both None where a gate fails; clips that failed.
  """
  clips = inputs.suspects.clips + inputs.comparison.clips + inputs.calibration.clips
  scores, failed = statistics.tabulate(rows, clips)
  for clip in failed:
    logging.error("%s: no score under every method; left out", clip)
  albums = inputs.albums
  gates = inputs.gates + audit_gates.of_scores(config, scores, rows, clips, albums)
  if any(gate.holds is False for gate in gates):
    return gates, None, None, failed
  try:
    scores = scores.with_panel()
  except ValueError as error:
    mend = "leave that method out of --config.methods, or give other reference tracks"
    gates = [*gates, Gate(name="panel", holds=False, text=str(error), mend=mend)]
    return gates, None, None, failed
  found = statistics.judge(
    scores,
    alpha=config.alpha,
    permutations=config.permutations,
    seed=config.seed,
    albums=albums,
  )
  unknown = (g.holds is None for g in gates if g.name == REFERENCE_RECORD)
  found["reference_unknown"] = any(unknown)
  found["difficulty_calibration"] = (
    max(row["difficulty_calibration"] for row in rows) if rows else "none"
  )
  found["null"] = statistics.null_rejections(
    scores, alpha=config.alpha, seed=config.seed
  )
  return gates, scores, found, failed
