"""Simulated audits of suspects that are merely easier than their reference.

Nothing is scored: stored rows of a study of the shipped music are read. No suspect was
trained on. Suspects are drawn so that they lie above the reference in one acoustic
feature, by so many standard deviations: the feature that goes most with the Loss under
a model that saw none of them, so that it drives difficulty. Each draw is audited as
`audit` does it, with the blind gate, without and with the reference model. All evidence
is false.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats
from tqdm import tqdm

from lsaprobe_jax.attacks import blind
from lsaprobe_jax.audit import statistics
from lsaprobe_jax.audit.gates import LEVEL
from lsaprobe_jax.audit.reference_split import ReferenceSize, split_reference
from lsaprobe_jax.audit.settings import AuditSettings
from lsaprobe_jax.audit.simulation import (
  MODELS,
  Clips,
  first_clips,
  judge_stored,
  needed_reference,
  spare_tracks,
  stored_scores,
  unseen_clips,
)
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics import likeness, pivot, study
from lsaprobe_jax.rows import Row
from lsaprobe_jax.scoring.factories import PROBE

# Draws from which the mean shift at a slope is estimated, and halvings of its bracket.
_TRIALS = 400
_HALVINGS = 12
_STEEPEST = 16.0
_MOST_SHIFT = 10.0
# Hz; enough for the shipped music's features.
_RATE = 8_000


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
  """Tracks that a model has not seen.

  Attributes:
    clips: their rows under the model (`simulation.first_clips`).
    reference: the same under the reference model.
    features: [tracks, features] what is heard of each.
    feature: name of the one that goes most with difficulty.
    ease: [tracks] that feature, larger where the reference model's loss is lower, in
      standard deviations.
    correlation: rank correlation of `ease` with that model's Loss score.
  """

  clips: Clips
  reference: Clips
  features: np.ndarray
  feature: str
  ease: np.ndarray
  correlation: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
  """How many of some audits found evidence.

  Attributes:
    evidence: in all of them.
    with_gate: in those whose blind gate held.
  """

  evidence: int
  with_gate: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShiftedAudits:
  """Audits of suspects that lie off their reference by one shift.

  Attributes:
    model: name of the model in the study.
    suspects: tracks that are suspected in each audit.
    pool: all unseen tracks.
    feature: the acoustic feature that is shifted.
    correlation: its rank correlation with the reference model's Loss.
    shift: by how many standard deviations suspects lay above the others, on average.
    audits: how many there were.
    held: how many had a blind gate that held.
    raw: evidence without the reference model.
    by_reference: evidence with scores calibrated for difficulty by it.
  """

  model: str
  suspects: int
  pool: int
  feature: str
  correlation: float
  shift: float
  audits: int
  held: int
  raw: Counts
  by_reference: Counts


def simulate_shifts(
  parts: Mapping[str, Sequence[Row]],
  settings: AuditSettings,
  *,
  shifts: Sequence[float] = (0.0, 0.4, 0.8, 1.2),
  audits: int = 200,
  permutations: int = 999,
) -> list[ShiftedAudits]:
  """Audits unseen suspects that lie off their reference by some shifts.

  Args:
    parts: rows of a study of the shipped music, with a reference model's
      (`metrics.study.read`).
    settings: of the audits.
    shifts: by how many standard deviations of the feature suspects lie off.
    audits: how many of each kind.
    permutations: at most so many for a p-value.

  Raises:
    ArgumentError: it begins with `shifts`, or with `study` where its rows do not do.
  """
  if not all(0 <= shift < _MOST_SHIFT for shift in shifts):
    raise ArgumentError(f"shifts={list(shifts)}: numbers from 0 to {_MOST_SHIFT:g}")
  size, made = needed_reference(settings), []
  for model in MODELS:
    pool = pool_of(parts, model, settings.methods)
    count = spare_tracks(pool.clips, size)
    for shift in shifts:
      made.append(
        simulate_shift(
          pool,
          settings,
          model=model,
          count=count,
          shift=shift,
          size=size,
          audits=audits,
          permutations=permutations,
        )
      )
  return made


def pool_of(
  parts: Mapping[str, Sequence[Row]], model: str, methods: Sequence[str]
) -> Pool:
  """Finds the unseen tracks of a model in a study, and what makes them easy.

  Args:
    parts: rows of a study.
    model: name of the model.
    methods: what every track must have been scored by.

  Raises:
    ArgumentError: no reference model scored the tracks, or they are not shipped.
  """
  rows = [*parts[study.MAIN], *parts.get(study.TUNE, [])]
  null = [row for row in rows if row["model"] == pivot.REFERENCE]
  clips, reference = unseen_clips(parts, model, methods), first_clips(null, methods)
  tracks = [track for track in clips if track in reference]
  if not tracks:
    raise ArgumentError(
      f"study: no track that {model} has not seen was scored by a reference model"
    )
  clips, reference = ({t: found[t] for t in tracks} for found in (clips, reference))
  heard = _features([clips[track][PROBE] for track in tracks])
  loss = [reference[track]["loss"]["score"] for track in tracks]
  correlations = np.array([stats.spearmanr(f, loss).statistic for f in heard.T])
  best = int(np.nanargmax(np.abs(correlations)))
  ease = heard[:, best] * np.sign(correlations[best])
  return Pool(
    clips=clips,
    reference=reference,
    features=heard,
    feature=blind.FEATURE_NAMES[best],
    ease=(ease - ease.mean()) / ease.std(),
    correlation=float(abs(correlations[best])),
  )


def draw_suspects(ease, count: int, slope: float, seed) -> np.ndarray:
  """Draws positions of suspects, with weights exp(slope * ease)."""
  weights = np.exp(slope * (ease - ease.max()))
  rng = np.random.default_rng(seed)
  return rng.choice(ease.size, count, replace=False, p=weights / weights.sum())


def shift_of(ease, suspects) -> float:
  """By how much suspects lie above the others, in standard deviations of all."""
  rest = np.ones(ease.size, bool)
  rest[suspects] = False
  return float(ease[suspects].mean() - ease[rest].mean())


def slope_for(ease, count: int, shift: float) -> float:
  """Finds the slope at which draws lie above the rest by `shift` on average.

  Raises:
    ArgumentError: not even the easiest tracks do.
  """
  mean = lambda slope: np.mean(
    [shift_of(ease, draw_suspects(ease, count, slope, i)) for i in range(_TRIALS)]
  )
  low, high = 0.0, _STEEPEST
  if shift <= mean(low):
    return low
  if mean(high) < shift:
    raise ArgumentError(
      f"shifts={shift}: {count} suspects of {ease.size} tracks cannot be {shift} sd off"
    )
  for _ in range(_HALVINGS):
    middle = (low + high) / 2
    low, high = (middle, high) if mean(middle) < shift else (low, middle)
  return high


def simulate_shift(
  pool: Pool,
  settings: AuditSettings,
  *,
  model: str,
  count: int,
  shift: float,
  size: ReferenceSize,
  audits: int,
  permutations: int,
) -> ShiftedAudits:
  """Audits suspects that lie `shift` standard deviations off, time and again.

  Args:
    pool: tracks that the model has not seen.
    settings: of the audits.
    model: name of the model.
    count: how many suspects are drawn.
    shift: see `slope_for`.
    size: the smallest reference.
    audits: how many audits there are.
    permutations: at most so many for a p-value.
  """
  slope = slope_for(pool.ease, count, shift)
  drawn, held, evidence = 0.0, 0, np.zeros((2, 2), int)
  for draw in tqdm(range(audits), desc=f"shift {shift:g}", leave=False):
    suspects = draw_suspects(pool.ease, count, slope, (settings.seed, draw))
    drawn += shift_of(pool.ease, suspects) / audits
    holds, found = _audited(
      pool, settings, suspects, size=size, permutations=permutations, seed=draw
    )
    held += holds
    evidence += np.outer(found, [1, holds])
  raw, by_reference = (
    Counts(evidence=int(a), with_gate=int(b)) for a, b in evidence.tolist()
  )
  return ShiftedAudits(
    model=model,
    suspects=count,
    pool=len(pool.clips),
    feature=pool.feature,
    correlation=pool.correlation,
    shift=drawn,
    audits=audits,
    held=held,
    raw=raw,
    by_reference=by_reference,
  )


def _audited(
  pool: Pool,
  settings: AuditSettings,
  suspects: np.ndarray,
  *,
  size: ReferenceSize,
  permutations: int,
  seed: int,
) -> tuple[bool, list[bool]]:
  """(whether the blind gate holds, evidence without and with the reference model)."""
  tracks = list(pool.clips)
  named = [tracks[i] for i in suspects]
  others = [track for track in tracks if track not in named]
  development, comparison = split_reference(others, size, seed=seed)
  parts = {"suspects": named, "comparison": comparison, "development": development}
  order = [tracks.index(track) for track in (*named, *others)]
  heard = likeness.compare(
    statistics.exchange(named, others),
    pool.features[order],
    blind.FEATURE_NAMES,
    permutations=permutations,
    seed=seed,
  )
  found = []
  for reference in (None, pool.reference):
    scores = stored_scores(settings, pool.clips, parts, reference)
    judged = judge_stored(settings, scores, permutations=permutations, seed=seed)
    found.append(judged.evidence)
  return bool(heard.p_value > LEVEL), found


def _features(rows: Sequence[Row]) -> np.ndarray:
  """What is heard of the clips of these rows, [rows, features]."""
  # An id ends in '+' and the clip's length in milliseconds.
  seconds = float(rows[0]["clip"].rpartition("+")[2]) / 1000
  opened = corpora.open_corpus(
    rows[0]["corpus"], sample_rate=_RATE, clip_seconds=seconds
  )
  at = {clip.id: i for i, clip in enumerate(opened.clips)}
  if missing := [row["clip"] for row in rows if row["clip"] not in at]:
    raise ArgumentError(
      f"study: {len(missing)} clips are not shipped, such as {missing[0]}"
    )
  return blind.features(opened.audio[[at[row["clip"]] for row in rows]], _RATE)
