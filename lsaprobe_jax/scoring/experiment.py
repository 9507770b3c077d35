"""An evaluation: targets, clips and the methods that score them. Reads no flags."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
from absl import app, logging
from ml_collections import ConfigDict

from launch import common
from lsaprobe_jax import attacks, diffusion, distances, probe
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.blind import blind_scores
from lsaprobe_jax.attacks.lsa_probe import (
  DegradationCurve,
  LSAProbe,
  MaxDegradation,
  read_costs,
  read_degradations,
)
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.metrics import comparisons, difficulty, summary, tables
from lsaprobe_jax.metrics.summary import NFE_MATCHED
from lsaprobe_jax.rows import CURVE
from lsaprobe_jax.scoring import experiment_inputs, factories
from lsaprobe_jax.scoring.factories import PROBE
from lsaprobe_jax.scoring.scorer import Scorer, Target, row_identity
from lsaprobe_jax.scoring.shared_rows import ALONE, Shard, SharedRows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """What an evaluation works on.

  Attributes:
    config: all settings.
    targets: the models.
    halves: clips of the groups a and b.
    development: clips that no target was trained on.
    scores: rows of the result, this process's and others'.
    calibration: rows that tau is set from, of searches that need it beforehand.
    curves: D against eta of all clips, of a search that gives them.
    scorer: one for all methods, so that what compiles once is compiled once.
    cuts: also score development clips, by which cuts are set beforehand, and under the
      reference too, for those of scores less its own. Without, only what sets tau is.
  """

  config: ConfigDict
  targets: list[Target]
  halves: Corpus
  development: Corpus
  scores: SharedRows
  calibration: SharedRows
  curves: SharedRows
  scorer: Scorer
  cuts: bool = True

  def score(self, file: SharedRows, by_target: dict[str, Any], parts, **names):
    """Rows of one method.

    Args:
      file: where they go.
      by_target: the attack on each target, by the target's name.
      parts: corpora to score.
      **names: `method`, `t_ratio`, `distance` of the rows.
    """
    rows = []
    for target in self.targets:
      t = diffusion.timestep(target.model.schedule, names["t_ratio"])
      for corpus in parts:
        attack = by_target[target.name]
        rows += self.scorer(file, attack, target, corpus, t=t, **names)
    return rows

  def score_all(self, by_target: dict[str, Any], **names):
    """Rows of one method on the halves, and with `cuts` on development clips."""
    parts = (self.halves, self.development) if self.cuts else (self.halves,)
    return self.score(self.scores, by_target, parts, **names)


def print_report(run: Evaluation, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Prints gates and tables of the rows so far; returns the summary's records."""
  both = rows + difficulty.by_reference(rows)
  records = summary.summarise(
    both, resamples=run.config.bootstrap_resamples, seed=run.config.seed
  )
  print(f"\n{tables.format_gates(records)}\n\n{tables.format_table(records)}\n")
  if any(row["method"] == PROBE for row in rows):
    print(f"{tables.format_operating_points(records)}\n")
    print(f"{comparisons.format_comparisons(comparisons.against(both))}\n")
  alike = comparisons.rank_correlations(rows, PROBE)
  for (method, model), rho in alike.items():
    print(f"rank correlation of {PROBE} with {method} under {model}: {rho:.2f}")
  return records


def finish(run: Evaluation) -> list[dict[str, Any]]:
  """Merges the rows of all processes and returns them; MissingRows if some are."""
  run.scores.require()
  for file in (run.calibration, run.curves, run.scores):
    file.merge()
  return run.scores.asked


def make_distance(run: Evaluation) -> distances.Distance:
  """The distance that the configuration names, at the rate of the models."""
  return factories.make_distance_of(run.config, run.halves)


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
    | dict(nfe_forward=0, nfe_backward=0, seconds=0.0)
    for clip, score in zip(clips, scores, strict=True)
  ]
  run.scores.keep(rows[i] for i in run.scores.to_score(rows))
  return rows


def run_baseline(run: Evaluation, name: str, distance) -> list[dict[str, Any]]:
  """Rows of one of `config.baselines`, or of it matched to the probe's compute.

  Args:
    run: the evaluation; for a matched baseline the probe's rows must be there.
    name: of the baseline, `_matched` behind it for the latter.
    distance: for those that compare by one.
  """
  plain = name.removesuffix(NFE_MATCHED)
  t_ratio, attack = factories.make_baseline(run.config, plain, distance)
  if plain != name:
    # All of the probe's rows, or shares would match different budgets.
    run.scores.wait()
    spent = [
      row["nfe_forward"] + row["nfe_backward"]
      for row in run.scores.asked
      if row["method"] == PROBE and row["model"] != summary.REFERENCE
    ]
    times = common.fewest_times(run.targets)
    attack = attacks.nfe_matched(
      attack, round(np.median(spent)), run.config.num_inference_steps, times
    )
  return run.score_all(
    {target.name: attack for target in run.targets},
    method=name,
    t_ratio=t_ratio,
    distance=run.config.distance if attacks.takes_distance(plain) else None,
  )


def run_methods(run: Evaluation, names) -> list[dict[str, Any]]:
  """Rows of some methods, in their order: the probe, the ascent alone, baselines."""
  distance = make_distance(run)
  rows = []
  for name in names:
    if name == PROBE:
      rows += run_lsa_probe(run, distance)
    elif name == factories.MAX_DEGRADATION:
      rows += run_max_degradation(run, distance)
    else:
      rows += run_baseline(run, name, distance)
  return rows


def run_max_degradation(run: Evaluation, distance) -> list[dict[str, Any]]:
  """Rows of the ascent alone: the worst D within one budget, without bisection."""
  t_ratio, attack = factories.make_attack(
    run.config, factories.MAX_DEGRADATION, distance
  )
  return run.score(
    run.scores,
    {target.name: attack for target in run.targets},
    (run.halves,),
    method=factories.MAX_DEGRADATION,
    t_ratio=t_ratio,
    distance=run.config.distance,
  )


def run_lsa_probe(run: Evaluation, distance) -> list[dict[str, Any]]:
  """Rows of LSA-Probe; tau of each target comes from the development clips.

  Raises:
    MissingRows: other processes have yet to write what they are read off.
  """
  if searches.gives_curves(factories.make_search(run.config.search)):
    run_curves(run, distance)
    # Reading them costs nothing: whoever sees all of them does it for all clips. Only
    # what is matched to them cannot be left to the last.
    matched = any(name.endswith(NFE_MATCHED) for name in run.config.methods)
    (run.curves.wait if matched else run.curves.require)()
    names = {"t_ratio": run.config.t_ratio, "distance": run.config.distance}
    curves = [row for row in run.curves.asked if names.items() <= row.items()]
    try:
      rows = probe_rows(run, curves, run.config.tau.eta_ref)
    except ValueError as error:
      raise app.UsageError(
        f"--workdir: its curves cannot be read: {error}; delete the folder, and they"
        " are made again"
      ) from error
    run.scores.ask(rows)
    run.scores.keep(row for row in rows if row not in run.scores)
    found = (run.scores.get(row) for row in rows)
    return [row for row in found if row is not None]
  return _search_with_targets(run, distance)


def run_curves(run: Evaluation, distance) -> list[dict[str, Any]]:
  """Rows of D against eta for all clips, which know no tau."""
  attack = DegradationCurve(
    distance=distance, search=factories.make_search(run.config.search)
  )
  return run.score(
    run.curves,
    {target.name: attack for target in run.targets},
    (run.development, run.halves),
    method=CURVE,
    t_ratio=run.config.t_ratio,
    distance=run.config.distance,
  )


def probe_rows(run: Evaluation, curves, eta_ref: float) -> list[dict[str, Any]]:
  """Rows of LSA-Probe read off the curves, without another pass."""
  rows = []
  for target in run.targets:
    own = [row for row in curves if row["model"] == target.name]
    table = lambda name, rows: np.array([row[name] for row in rows])
    dev = [row for row in own if row["split"] == "dev"]
    _check_development(len(dev))
    worst = read_degradations(
      table("budgets", dev), table("degradations", dev), eta_ref
    )
    tau = _tau(run, target, worst)
    kept = own if run.cuts else [row for row in own if row["split"] != "dev"]
    costs = read_costs(table("budgets", kept), table("degradations", kept), tau)
    rows += [
      row | {"method": PROBE} | cost for row, cost in zip(kept, costs, strict=True)
    ]
  return rows


def _search_with_targets(run: Evaluation, distance) -> list[dict[str, Any]]:
  """LSA-Probe with a search that must be told tau."""
  search = factories.make_search(run.config.search)
  return run.score_all(
    {
      name: LSAProbe(distance=distance, tau=tau, search=search)
      for name, tau in calibrate(run, distance).items()
    },
    method=PROBE,
    t_ratio=run.config.t_ratio,
    distance=run.config.distance,
  )


def calibrate(run: Evaluation, distance) -> dict[str, Any]:
  """tau of each target by the search's own ascent at eta_ref on development clips."""
  search = factories.make_search(run.config.search)
  ascent = MaxDegradation(distance=distance, eta=run.config.tau.eta_ref, search=search)
  names = {"t_ratio": run.config.t_ratio, "distance": run.config.distance}
  run.score(
    run.calibration,
    {target.name: ascent for target in run.targets},
    (run.development,),
    method=factories.MAX_DEGRADATION,
    **names,
  )
  run.calibration.wait()
  worst = [row for row in run.calibration.asked if names.items() <= row.items()]
  return {
    target.name: _tau(
      run, target, [-row["score"] for row in worst if row["model"] == target.name]
    )
    for target in run.targets
  }


def _check_development(count: int) -> None:
  if count < experiment_inputs.MIN_DEVELOPMENT_CLIPS:
    raise experiment_inputs.too_few_development(count)


def _tau(run: Evaluation, target: Target, degradations):
  """tau of one target from the worst D of its development clips at eta_ref."""
  _check_development(len(degradations))
  tau = probe.calibrate_tau(degradations, run.config.tau.quantile)
  if not 0 < tau < np.inf:
    raise app.UsageError(
      f"tau of {target.name} is {tau}: D at eta_ref on development clips is no measure"
      " of degradation; see --config.tau.eta_ref, --config.distance and the model's weights"
    )
  logging.info("tau of %s: %.5g from %d clips", target.name, tau, len(degradations))
  return tau


def load(
  config: ConfigDict,
  workdir: pathlib.Path,
  limit: int | None,
  shard: Shard = ALONE,
  *,
  cuts: bool = True,
) -> Evaluation:
  """Opens corpus and targets and claims the working folder for them.

  Args:
    config: all settings.
    workdir: shared by all processes of the evaluation.
    limit: at most so many clips of each half.
    shard: the clips that this process scores.
    cuts: see Evaluation.
  """
  # Before the folder is claimed: a run that cannot start must not lock it.
  opened = experiment_inputs.open_checked(config, limit)
  return _claimed(config, opened, workdir, shard, cuts)


def start(
  config: ConfigDict,
  targets: list[Target],
  identity: dict[str, Any],
  halves: Corpus,
  development: Corpus,
  workdir: pathlib.Path,
  shard: Shard = ALONE,
) -> Evaluation:
  """Checks settings, targets and clips against each other and claims the folder.

  Args:
    config: all settings.
    targets: see `common.load_targets`, as is `identity`.
    identity: hashes of the weights.
    halves: clips of the groups a and b.
    development: clips that no target was trained on.
    workdir: shared by all processes of the evaluation.
    shard: the clips that this process scores.
  """
  opened = experiment_inputs.fitted(config, targets, identity, halves, development)
  return _claimed(config, opened, workdir, shard)


def _claimed(config, opened, workdir, shard, cuts=True) -> Evaluation:
  common.claim_workdir(workdir, opened.identity)
  share = f"share-{shard.index}-of-{shard.count}"
  common.lock_workdir(workdir, share if shard.count > 1 else None)
  try:
    scores = SharedRows(workdir, "scores", shard)
    calibration = SharedRows(workdir, "calibration", shard)
    curves = SharedRows(workdir, "curves", shard)
  except (OSError, ValueError) as error:
    raise app.UsageError(f"--workdir={workdir}: {error}") from error
  most = max(len(opened.halves), len(opened.development))
  return Evaluation(
    config=config,
    targets=opened.targets,
    halves=opened.halves,
    development=opened.development,
    scores=scores,
    calibration=calibration,
    curves=curves,
    scorer=Scorer(config.seed, config.batch_size, -(-most // shard.count)),
    cuts=cuts,
  )
