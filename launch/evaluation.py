"""An evaluation: targets, clips and the methods that score them. Reads no flags."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
from absl import app, logging
from ml_collections import ConfigDict

from launch import common
from lsaprobe_jax import diffusion, distances, probe
from lsaprobe_jax.attacks.blind import blind_scores
from lsaprobe_jax.attacks.loss import Loss
from lsaprobe_jax.attacks.lsa_probe import LSAProbe, WorstDamage
from lsaprobe_jax.attacks.random_stability import RandomStability
from lsaprobe_jax.data import splits
from lsaprobe_jax.data.corpus import Corpus
from lsaprobe_jax.evaluating import Scorer, Target, row_identity
from lsaprobe_jax.evaluation import comparisons, summary
from lsaprobe_jax.results import ALONE, Shard, SharedRows
from lsaprobe_jax.search.bisection import Bisection

# A 95th percentile of fewer is little more than their maximum.
MIN_DEVELOPMENT_CLIPS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """What an evaluation works on.

  Attributes:
    config: all settings.
    targets: the models.
    halves: clips of the groups a and b.
    development: clips that no target was trained on.
    scores: rows of the result, this process's and others'.
    calibration: rows that tau is set from, alike.
    scorer: one for all methods, so that what compiles once is compiled once.
  """

  config: ConfigDict
  targets: list[Target]
  halves: Corpus
  development: Corpus
  scores: SharedRows
  calibration: SharedRows
  scorer: Scorer

  def score(self, file: SharedRows, attacks: dict[str, Any], parts, **names):
    """Rows of one method.

    Args:
      file: where they go.
      attacks: the attack on each target, by the target's name.
      parts: corpora to score.
      **names: `method`, `t_ratio`, `distance` of the rows.
    """
    rows = []
    for target in self.targets:
      t = diffusion.timestep(target.generator.schedule, names["t_ratio"])
      for corpus in parts:
        # The reference saw neither half; on development clips it controls nothing.
        control = target.name == summary.REFERENCE and file is self.scores
        if not (control and corpus is self.development):
          attack = attacks[target.name]
          rows += self.scorer(file, attack, target, corpus, t=t, **names)
    return rows

  def score_all(self, attacks: dict[str, Any], **names):
    """Rows of one method on halves and development clips."""
    return self.score(self.scores, attacks, (self.halves, self.development), **names)


def print_report(run: Evaluation, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Prints gates and table of the rows so far; returns the summary's records."""
  records = summary.summarise(
    rows + summary.calibrate_by_reference(rows),
    resamples=run.config.bootstrap_resamples,
    seed=run.config.seed,
  )
  print(f"\n{summary.format_gates(records)}\n\n{summary.format_table(records)}\n")
  alike = comparisons.rank_correlations(rows, "lsa_probe")
  for (method, model), rho in alike.items():
    print(f"rank correlation of lsa_probe with {method} under {model}: {rho:.2f}")
  return records


def finish(run: Evaluation) -> list[dict[str, Any]] | None:
  """Merges the rows of all processes and returns them; None if some are missing."""
  missing = run.scores.missing_shards()
  if missing:
    count = run.scores.shard.count
    logging.info(
      "this share is done, rows of shards %s are missing; the last to finish merges."
      " If one died: the same command with --shard=K/%d",
      missing,
      count,
    )
    return None
  run.calibration.merge()
  run.scores.merge()
  return run.scores.asked


def make_distance(run: Evaluation) -> distances.Distance:
  """The distance that the configuration names, at the rate of the models."""
  return _make_distance(run.config, run.halves)


def _make_distance(config: ConfigDict, corpus: Corpus) -> distances.Distance:
  silence = np.zeros(corpus.audio.shape[1], np.float32)
  try:
    distance = distances.get(config.distance, sample_rate=corpus.sample_rate)
    jax.eval_shape(lambda d, x, y: d(x, y), distance, silence, silence)
  except (ValueError, OSError) as error:
    raise app.UsageError(f"--config.distance={config.distance}: {error}") from error
  return distance


def run_blind(run: Evaluation) -> list[dict[str, Any]]:
  """Rows of the baseline that touches no model, under the first target's splits."""
  clips = run.halves.clips
  scores = blind_scores(
    run.halves.audio,
    run.halves.sample_rate,
    np.array([clip.group == "a" for clip in clips]),
    [clip.track for clip in clips],
    seed=run.config.seed,
  )
  target = run.targets[0]
  rows = [
    row_identity(clip, target, run.halves, run.config.seed, method="blind")
    | dict(score=float(score), cost=None, reached=None)
    | dict(forward_passes=0, backward_passes=0, seconds=0.0)
    for clip, score in zip(clips, scores, strict=True)
  ]
  run.scores.append(rows[i] for i in run.scores.to_score(rows))
  return rows


def run_loss(run: Evaluation) -> list[dict[str, Any]]:
  """Rows of the Loss baseline."""
  attack = Loss(draws=run.config.loss.draws)
  attacks = {target.name: attack for target in run.targets}
  return run.score_all(attacks, method="loss", t_ratio=run.config.loss.t_ratio)


def run_random_stability(run: Evaluation, distance) -> list[dict[str, Any]]:
  """Rows of the probe without its search."""
  settings = run.config.random_stability
  attack = RandomStability(distance=distance, eta=settings.eta, draws=settings.draws)
  return run.score_all(
    {target.name: attack for target in run.targets},
    method="random_stability",
    t_ratio=run.config.t_ratio,
    distance=run.config.distance,
  )


def run_worst_damage(run: Evaluation, distance) -> list[dict[str, Any]]:
  """Rows of the ascent alone: the worst D within one budget, without bisection."""
  attack = WorstDamage(
    distance=distance,
    eta=run.config.worst_damage.eta,
    search=make_search(run.config.search),
  )
  return run.score(
    run.scores,
    {target.name: attack for target in run.targets},
    (run.halves,),
    method="worst_damage",
    t_ratio=run.config.t_ratio,
    distance=run.config.distance,
  )


def run_lsa_probe(run: Evaluation, distance) -> list[dict[str, Any]]:
  """Rows of LSA-Probe; tau of each target comes from the development clips."""
  search = make_search(run.config.search)
  names = {"t_ratio": run.config.t_ratio, "distance": run.config.distance}
  ascent = WorstDamage(distance=distance, eta=run.config.tau.eta_ref, search=search)
  run.score(
    run.calibration,
    {target.name: ascent for target in run.targets},
    (run.development,),
    method="worst_damage",
    **names,
  )
  run.calibration.wait()
  worst = [row for row in run.calibration.asked if names.items() <= row.items()]
  attacks = {}
  for target in run.targets:
    damages = [-row["score"] for row in worst if row["model"] == target.name]
    if len(damages) < MIN_DEVELOPMENT_CLIPS:
      raise _too_few_development(len(damages))
    tau = probe.calibrate_tau(damages, run.config.tau.quantile)
    logging.info("tau of %s: %.5g from %d clips", target.name, tau, len(damages))
    attacks[target.name] = LSAProbe(distance=distance, tau=tau, search=search)
  return run.score_all(attacks, method="lsa_probe", **names)


def make_search(settings: ConfigDict) -> Bisection:
  """The search a configuration names."""
  settings = dict(settings)
  name = settings.pop("name")
  if name != "bisection":
    raise app.UsageError(f"--config.search.name={name}: known: bisection")
  try:
    return Bisection(**settings)
  except ValueError as error:
    raise app.UsageError(f"--config.search: {error}") from error


def _check(config, targets: list[Target], halves: Corpus, development: Corpus):
  """Refuses, before anything is scored, what would only fail on the way."""
  _make_distance(config, halves)
  make_search(config.search)
  if config.batch_size < 0:
    raise app.UsageError(f"--config.batch_size={config.batch_size}: 0 finds it")
  for group in ("a", "b"):
    tracks = len({clip.track for clip in halves.clips if clip.group == group})
    if tracks < 2:
      raise app.UsageError(
        f"--config.corpus.path={config.corpus.path}: group {group} has {tracks} tracks"
        f" in the part {config.part}; the blind baseline needs at least two a side"
      )
  if len(development) < MIN_DEVELOPMENT_CLIPS:
    raise _too_few_development(len(development))
  for target in targets:
    try:
      for ratio in (config.t_ratio, config.loss.t_ratio):
        diffusion.timestep(target.generator.schedule, ratio)
    except ValueError as error:
      raise app.UsageError(
        f"--config.t_ratio, --config.loss.t_ratio: {error}"
      ) from error
    try:
      for clip in (*halves.clips, *development.clips):
        target.split(clip)
    except ValueError as error:
      raise app.UsageError(f"--config.corpus: {error}") from error


def _too_few_development(count: int) -> app.UsageError:
  return app.UsageError(
    f"only {count} development clips to set tau with; add tracks to the group dev or"
    " raise --config.corpus.dev_clips_per_track"
  )


def load(
  config: ConfigDict,
  workdir: pathlib.Path,
  limit: int | None,
  shard: Shard = ALONE,
) -> Evaluation:
  """Opens corpus and targets and claims the working folder for them.

  Args:
    config: all settings.
    workdir: shared by all processes of the evaluation.
    limit: at most so many clips of each half.
    shard: the clips that this process scores.
  """
  targets, identity = common.load_targets(config)
  settings, rate = config.corpus, targets[0].generator.sample_rate
  halves = common.open_corpus(settings, rate, settings.clips_per_track, ["a", "b"])
  try:
    halves = halves.take(splits.keep(halves.clips, config.part, limit))
  except ValueError as error:
    raise app.UsageError(f"--config.part: {error}") from error
  development = common.open_corpus(
    settings, rate, settings.dev_clips_per_track, ["dev"]
  )
  # Before the folder is claimed: a run that cannot start must not lock it.
  _check(config, targets, halves, development)
  identity |= {
    "config": common.jsonable(config),
    "data": {"halves": halves.fingerprint(), "development": development.fingerprint()},
  }
  common.claim_workdir(workdir, identity)
  try:
    scores = SharedRows(workdir, "scores", shard)
    calibration = SharedRows(workdir, "calibration", shard)
  except (OSError, ValueError) as error:
    raise app.UsageError(f"--workdir={workdir}: {error}") from error
  most = max(len(halves), len(development))
  return Evaluation(
    config=config,
    targets=targets,
    halves=halves,
    development=development,
    scores=scores,
    calibration=calibration,
    scorer=Scorer(config.seed, config.batch_size, -(-most // shard.count)),
  )
