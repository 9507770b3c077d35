"""Rows of every method of an evaluation, by the names of its settings."""

from collections.abc import Iterable

import numpy as np

from lsaprobe_jax import attacks
from lsaprobe_jax.attacks.blind import blind_scores
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics.pivot import NFE_MATCHED, REFERENCE
from lsaprobe_jax.rows import Row
from lsaprobe_jax.scoring import factories
from lsaprobe_jax.scoring.experiment import Evaluation
from lsaprobe_jax.scoring.experiment_inputs import fewest_timesteps
from lsaprobe_jax.scoring.factories import ANCHORED, MAX_DEGRADATION, PROBE
from lsaprobe_jax.scoring.probe_rows import run_lsa_probe
from lsaprobe_jax.scoring.scorer import row_identity


def run_methods(run: Evaluation, names: Iterable[str]) -> list[Row]:
  """Scores by some methods, in their order; those that are there are not made again."""
  distance = factories.make_distance(run.settings.distance, run.halves)
  rows = []
  for name in names:
    if name in (PROBE, ANCHORED):
      rows += run_lsa_probe(run, distance, factories.probe_form(run.settings, name))
    elif name == MAX_DEGRADATION:
      rows += run_max_degradation(run, distance)
    else:
      rows += run_baseline(run, name, distance)
  return rows


def run_blind(run: Evaluation) -> list[Row]:
  """Scores by the baseline that touches no model, under the first target's splits."""
  clips = run.halves.clips
  scores = blind_scores(
    run.halves.audio,
    run.halves.sample_rate,
    np.array([clip.group == "a" for clip in clips]),
    [clip.track for clip in clips],
    seed=run.settings.seed,
  )
  target, seed = run.first_target, run.settings.seed
  rows = [
    row_identity(clip, target, run.halves, seed, method="blind")
    | dict(score=float(score), cost=None, reached=None)
    | dict(nfe_forward=0, nfe_backward=0, seconds=0.0)
    for clip, score in zip(clips, scores, strict=True)
  ]
  run.scores.keep(rows[i] for i in run.scores.to_score(rows))
  return rows


def run_baseline(run: Evaluation, name: str, distance) -> list[Row]:
  """Scores by one of the baselines, as its settings are or with the probe's NFE.

  Args:
    run: the evaluation; for a baseline with the probe's NFE the probe's rows must be
      there.
    name: of the baseline, `_nfe_matched` behind it for the latter.
    distance: for those that compare by one.
  """
  plain = name.removesuffix(NFE_MATCHED)
  t_ratio, attack = factories.make_baseline(run.settings, plain, distance)
  if plain != name:
    attack = attacks.nfe_matched(
      attack,
      _nfe_of_probe(run),
      run.settings.num_inference_steps,
      fewest_timesteps(run.targets),
    )
  return run.score_all(
    {target.name: attack for target in run.targets},
    method=name,
    t_ratio=t_ratio,
    distance=run.settings.distance if attacks.takes_distance(plain) else None,
  )


def run_max_degradation(run: Evaluation, distance) -> list[Row]:
  """Scores by the ascent alone: the largest D within one budget."""
  t_ratio, attack = factories.make_attack(run.settings, MAX_DEGRADATION, distance)
  return run.score_all(
    {target.name: attack for target in run.targets},
    method=MAX_DEGRADATION,
    t_ratio=t_ratio,
    distance=run.settings.distance,
  )


def _nfe_of_probe(run: Evaluation) -> int:
  """The median NFE of the probe on a clip, at the run's own t and distance."""
  # All of the probe's rows, or shares would match different budgets.
  run.scores.wait()
  own = {name: getattr(run.settings, name) for name in ("t_ratio", "distance")}
  own["method"] = PROBE
  spent = [
    row["nfe_forward"] + row["nfe_backward"]
    for row in run.scores.asked
    if own.items() <= row.items() and row["model"] != REFERENCE
  ]
  if not spent:
    raise ArgumentError(
      "methods: the probe has a score on no clip, and so there are no NFE to match; the"
      " log says why, and methods without _nfe_matched can be scored alone"
    )
  return round(np.median(spent))
