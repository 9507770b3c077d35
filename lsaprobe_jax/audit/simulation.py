"""Audits made again from the stored rows of a study: how often do they find evidence?

Nothing is scored. Tracks that a model has not seen are dealt at random to suspects and
reference, time and again, and each deal is audited as `audit` does it, tau calibrated
and panel scaled anew; so are test tracks that the model was trained on, against all
unseen ones.

All tracks of a deal come from one pool. That shows whether the arithmetic keeps its
level, and nothing of audits whose suspects are other music than their reference, which
`shift` simulates.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from lsaprobe_jax import probe
from lsaprobe_jax.attacks.lsa_probe import read_costs, read_degradations
from lsaprobe_jax.audit import statistics
from lsaprobe_jax.audit.findings import Findings
from lsaprobe_jax.audit.reference_split import (
  ReferenceSize,
  smallest_reference,
  split_reference,
)
from lsaprobe_jax.audit.settings import AuditSettings
from lsaprobe_jax.audit.track_scores import TrackScores
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics import difficulty, study
from lsaprobe_jax.rows import Row
from lsaprobe_jax.scoring.experiment_inputs import MIN_DEVELOPMENT_CLIPS
from lsaprobe_jax.scoring.factories import PROBE

MODELS = ("A", "B")
# What the stored studies have rows of: the panel of audits as it was before twins.
METHODS = ("loss", "rediffuse", "gradient_norm", PROBE)
# The row of a track's first clip, by track and method, under one model.
Clips = Mapping[str, Mapping[str, Row]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedAudits:
  """Audits of one kind, made again and again.

  Attributes:
    model: name of the model in the study.
    suspects: tracks that are suspected in each audit.
    trained: whether the model was trained on them.
    reference: tracks of the reference.
    audits: how many there were.
    evidence: how many found evidence.
    flagged: suspects beyond the level, in all audits together.
  """

  model: str
  suspects: int
  trained: bool
  reference: int
  audits: int
  evidence: int
  flagged: int


def read_study(folder: str | os.PathLike) -> dict[str, list[Row]]:
  """Reads the stored rows of a study.

  Raises:
    ArgumentError: it begins with `study`.
  """
  try:
    return study.read(pathlib.Path(folder))
  except ValueError as error:
    raise ArgumentError(f"study={os.fspath(folder)}: {error}") from error


def needed_reference(settings: AuditSettings) -> ReferenceSize:
  """The smallest reference of one clip a track at the settings' alpha."""
  return smallest_reference(
    alpha=settings.alpha, clips_per_track=1, clips_for_tau=MIN_DEVELOPMENT_CLIPS
  )


def first_clips(rows: Sequence[Row], methods: Sequence[str]) -> Clips:
  """Finds the row of each track's first clip by method; whole tracks only."""
  found: dict[str, dict[str, Row]] = {}
  for row in sorted(rows, key=lambda row: row["clip"]):
    if row["method"] in methods:
      found.setdefault(row["track"], {}).setdefault(row["method"], row)
  return {
    track: own for track, own in sorted(found.items()) if len(own) == len(methods)
  }


def unseen_clips(
  parts: Mapping[str, Sequence[Row]], model: str, methods: Sequence[str]
) -> Clips:
  """Finds the tracks of a study that a model has not seen (`first_clips`)."""
  rows = [*parts[study.MAIN], *parts.get(study.TUNE, [])]
  unseen = [
    row
    for row in rows
    if row["model"] == model and row["split"] in ("nonmember", "dev")
  ]
  return first_clips(unseen, methods)


def member_clips(
  parts: Mapping[str, Sequence[Row]], model: str, methods: Sequence[str]
) -> Clips:
  """Finds the test tracks of a study that a model was trained on (`first_clips`)."""
  rows = [
    row
    for row in parts[study.MAIN]
    if row["model"] == model and row["split"] == "member"
  ]
  return first_clips(rows, methods)


def simulate_null(
  parts: Mapping[str, Sequence[Row]],
  settings: AuditSettings,
  *,
  audits: int = 200,
  trained: Sequence[int] = (5, 10, 20),
  permutations: int = 999,
) -> list[SimulatedAudits]:
  """Audits unseen tracks against unseen ones, and trained ones against these.

  Args:
    parts: rows of a study (`metrics.study.read`).
    settings: of the audits.
    audits: how many of each kind.
    trained: numbers of trained suspects; those that a model has not so many of are
      left out.
    permutations: at most so many for a p-value.

  Raises:
    ArgumentError: a model of the study has too few unseen tracks, or a number of
      trained suspects is below 1.
  """
  if few := [count for count in trained if count < 1]:
    raise ArgumentError(f"suspects={few[0]}: at least 1 trained track")
  size, made = needed_reference(settings), []
  for model in MODELS:
    unseen = unseen_clips(parts, model, settings.methods)
    members = member_clips(parts, model, settings.methods)
    spare = spare_tracks(unseen, size)
    kinds = [(list(unseen), spare)]
    kinds += [(list(members), count) for count in trained if count <= len(members)]
    for suspects, count in kinds:
      evidence, flagged = repeat_audits(
        settings,
        {**unseen, **members},
        suspects,
        list(unseen),
        count,
        size=size,
        audits=audits,
        permutations=permutations,
      )
      is_trained = suspects[0] not in unseen
      made.append(
        SimulatedAudits(
          model=model,
          suspects=count,
          trained=is_trained,
          reference=len(unseen) - (0 if is_trained else count),
          audits=audits,
          evidence=evidence,
          flagged=flagged,
        )
      )
  return made


def spare_tracks(unseen: Clips, size: ReferenceSize) -> int:
  """How many unseen tracks can be suspects, beside a reference that is large enough.

  Raises:
    ArgumentError: none can.
  """
  spare = len(unseen) - size.total
  if spare < 1:
    raise ArgumentError(f"study: {len(unseen)} unseen tracks, {size.total} needed")
  return spare


def repeat_audits(
  settings: AuditSettings,
  clips: Clips,
  suspects: Sequence[str],
  unseen: Sequence[str],
  count: int,
  *,
  size: ReferenceSize,
  audits: int,
  permutations: int,
) -> tuple[int, int]:
  """Audits random suspects against all unseen tracks that are none of them.

  Args:
    settings: of the audits.
    clips: rows of all tracks.
    suspects: tracks to draw from; those drawn leave `unseen`.
    unseen: tracks that the model has not seen.
    count: how many suspects are drawn.
    size: the smallest reference.
    audits: how many audits there are.
    permutations: at most so many for a p-value.

  Returns:
    (audits that found evidence, suspects beyond the level in all of them).
  """
  evidence = flagged = 0
  for draw in range(audits):
    rng = np.random.default_rng((settings.seed, draw))
    drawn = rng.choice(suspects, count, replace=False).tolist()
    reference = [track for track in unseen if track not in drawn]
    development, comparison = split_reference(reference, size, seed=draw)
    parts = {"suspects": drawn, "comparison": comparison, "development": development}
    scores = stored_scores(settings, clips, parts)
    found = judge_stored(settings, scores, permutations=permutations, seed=draw)
    evidence += found.evidence
    flagged += found.flagged
  return evidence, flagged


def stored_scores(
  settings: AuditSettings,
  clips: Clips,
  parts: Mapping[str, Sequence[str]],
  reference: Clips | None = None,
) -> TrackScores:
  """Reads scores of tracks, the probe's off its curves at the development tracks' tau.

  Args:
    settings: of the audit.
    clips: see `first_clips`.
    parts: tracks by `suspects`, `comparison` and `development`.
    reference: the same clips under a reference model, by which scores are calibrated
      for difficulty; None for none.
  """
  own = _values(settings, clips, parts["development"])
  other = None
  if reference is not None:
    other = _values(settings, reference, parts["development"])

  def value(track: str, method: str) -> float:
    if other is None:
      return own[method][track]
    scales = ((clips, own), (reference, other))
    less = [difficulty.scale(c[track][method], v[method][track]) for c, v in scales]
    return less[0] - less[1]

  return TrackScores(
    **{
      part: {m: {t: value(t, m) for t in tracks} for m in settings.methods}
      for part, tracks in parts.items()
    }
  )


def judge_stored(
  settings: AuditSettings, scores: TrackScores, *, permutations: int, seed: int
) -> Findings:
  """Judges such scores as an audit does, tracks taken for independent."""
  scores = scores.with_panel()
  return statistics.judge(
    scores,
    [statistics.reference_contrast(scores)],
    alpha=settings.alpha,
    permutations=permutations,
    seed=seed,
  )


def _values(
  settings: AuditSettings, clips: Clips, development: Sequence[str]
) -> dict[str, dict[str, float]]:
  """Scores by method and track under one model."""
  values = {
    method: {track: own[method]["score"] for track, own in clips.items()}
    for method in settings.methods
  }
  # All tracks every time: arrays of the same shapes are compiled for once.
  curves = tuple(
    np.array([own[PROBE][name] for own in clips.values()])
    for name in ("budgets", "degradations")
  )
  most = read_degradations(*curves, settings.tau.eta_ref).tolist()
  by_track = dict(zip(clips, most, strict=True))
  tau = probe.calibrate_tau([by_track[t] for t in development], settings.tau.quantile)
  costs = zip(clips, read_costs(*curves, tau), strict=True)
  return values | {PROBE: {track: cost["score"] for track, cost in costs}}
