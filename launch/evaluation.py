"""An evaluation: targets, clips and the methods that score them. Reads no flags."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
from absl import app, logging
from ml_collections import ConfigDict

from launch import common
from lsaprobe_jax import attacks, diffusion, distances, probe, recording
from lsaprobe_jax import search as searches
from lsaprobe_jax.attacks.blind import blind_scores
from lsaprobe_jax.attacks.lsa_probe import (
  DamageCurve,
  LSAProbe,
  WorstDamage,
  read_costs,
  read_damages,
)
from lsaprobe_jax.data import splits
from lsaprobe_jax.data.corpus import Corpus
from lsaprobe_jax.evaluating import Scorer, Target, row_identity
from lsaprobe_jax.evaluation import comparisons, summary, tables
from lsaprobe_jax.results import ALONE, Shard, SharedRows

# A 95th percentile of fewer is little more than their maximum.
MIN_DEVELOPMENT_CLIPS = 20

PROBE = "lsa_probe"
PAPER_SEARCH = "bisection"

# Behind a baseline's name: as many evaluations as the probe spends (BASELINES rule 4).
MATCHED = "_matched"


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
    reference_on_development: also score development clips under the reference model;
      not needed for a null control.
  """

  config: ConfigDict
  targets: list[Target]
  halves: Corpus
  development: Corpus
  scores: SharedRows
  calibration: SharedRows
  curves: SharedRows
  scorer: Scorer
  reference_on_development: bool = False

  def is_control(self, target: Target) -> bool:
    """Whether a target is scored on the halves alone."""
    return target.name == summary.REFERENCE and not self.reference_on_development

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
      t = diffusion.timestep(target.generator.schedule, names["t_ratio"])
      for corpus in parts:
        # The reference saw neither half; on development clips it controls nothing.
        control = self.is_control(target) and file is self.scores
        if not (control and corpus is self.development):
          attack = by_target[target.name]
          rows += self.scorer(file, attack, target, corpus, t=t, **names)
    return rows

  def score_all(self, by_target: dict[str, Any], **names):
    """Rows of one method on halves and development clips."""
    return self.score(self.scores, by_target, (self.halves, self.development), **names)


def print_report(run: Evaluation, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Prints gates and tables of the rows so far; returns the summary's records."""
  both = rows + summary.calibrate_by_reference(rows)
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
  return make_distance_of(run.config, run.halves)


def make_distance_of(config: ConfigDict, corpus: Corpus) -> distances.Distance:
  """The same of a configuration, tried on silence as long as the clips."""
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


def run_baseline(run: Evaluation, name: str, distance) -> list[dict[str, Any]]:
  """Rows of one of `config.baselines`, or of it matched to the probe's compute.

  Args:
    run: the evaluation; for a matched baseline the probe's rows must be there.
    name: of the baseline, `_matched` behind it for the latter.
    distance: for those that compare by one.
  """
  plain = name.removesuffix(MATCHED)
  t_ratio, attack = _make_baseline(run.config, plain, distance)
  if plain != name:
    # All of the probe's rows, or shares would match different budgets.
    run.scores.wait()
    spent = [
      row["forward_passes"] + row["backward_passes"]
      for row in run.scores.asked
      if row["method"] == PROBE and row["model"] != summary.REFERENCE
    ]
    if not spent:
      raise app.UsageError(f"--config.methods: {name} must come after {PROBE}")
    attack = attacks.matched(attack, round(np.median(spent)), run.config.num_steps)
  return run.score_all(
    {target.name: attack for target in run.targets},
    method=name,
    t_ratio=t_ratio,
    distance=run.config.distance if attacks.takes_distance(plain) else None,
  )


def _make_baseline(config: ConfigDict, name: str, distance) -> tuple[float, Any]:
  """t_ratio and attack of a baseline; its t is the probe's where it has none."""
  if name not in config.baselines:
    known = ", ".join((PROBE, *config.baselines))
    raise app.UsageError(f"--config.methods: {name!r} is not one of {known}")
  settings = {"t_ratio": config.t_ratio} | dict(config.baselines[name])
  t_ratio = settings.pop("t_ratio")
  if attacks.takes_search(name):
    settings["search"] = make_search(config.search)
  try:
    return t_ratio, attacks.get(name, distance, **settings)
  except ValueError as error:
    raise app.UsageError(f"--config.baselines.{name}: {error}") from error


def make_attack(config: ConfigDict, name: str, distance) -> tuple[float, Any]:
  """t_ratio and attack of a method, as it costs: the probe's without its tau."""
  if name != PROBE:
    return _make_baseline(config, name, distance)
  search = make_search(config.search)
  if searches.gives_curves(search):
    return config.t_ratio, DamageCurve(distance=distance, search=search)
  # Out of reach, and finite, so that there is a score.
  return config.t_ratio, LSAProbe(distance=distance, tau=1e30, search=search)


def run_methods(run: Evaluation, names) -> list[dict[str, Any]]:
  """Rows of some methods, in their order: the probe, the ascent alone, baselines."""
  distance = make_distance(run)
  rows = []
  for name in names:
    if name == PROBE:
      rows += run_lsa_probe(run, distance)
    elif name == "worst_damage":
      rows += run_worst_damage(run, distance)
    else:
      rows += run_baseline(run, name, distance)
  return rows


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
  """Rows of LSA-Probe; tau of each target comes from the development clips.

  Raises:
    MissingRows: other processes have yet to write what they are read off.
  """
  if searches.gives_curves(make_search(run.config.search)):
    run_curves(run, distance)
    # Reading them costs nothing: whoever sees all of them does it for all clips. Only
    # what is matched to them cannot be left to the last.
    matched = any(name.endswith(MATCHED) for name in run.config.methods)
    (run.curves.wait if matched else run.curves.require)()
    names = {"t_ratio": run.config.t_ratio, "distance": run.config.distance}
    curves = [row for row in run.curves.asked if names.items() <= row.items()]
    rows = probe_rows(run, curves, run.config.tau.eta_ref)
    run.scores.ask(rows)
    run.scores.append(row for row in rows if row not in run.scores)
    return [run.scores.get(row) for row in rows]
  return _search_with_targets(run, distance)


def run_curves(run: Evaluation, distance) -> list[dict[str, Any]]:
  """Rows of D against eta for all clips, which know no tau."""
  attack = DamageCurve(distance=distance, search=make_search(run.config.search))
  return run.score(
    run.curves,
    {target.name: attack for target in run.targets},
    (run.development, run.halves),
    method="damage_curve",
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
    worst = read_damages(table("budgets", dev), table("damages", dev), eta_ref)
    tau = _tau(run, target, worst)
    # As with every method: the null control is read on the halves alone.
    control = run.is_control(target)
    kept = [row for row in own if not (control and row["split"] == "dev")]
    costs = read_costs(table("budgets", kept), table("damages", kept), tau)
    rows += [
      row | {"method": PROBE} | cost for row, cost in zip(kept, costs, strict=True)
    ]
  return rows


def record(run: Evaluation, distance, workdir: pathlib.Path, count: int) -> None:
  """Records some clips of each side under the first target, in WORKDIR/records.

  Args:
    run: a finished evaluation of the probe.
    distance: its distance.
    workdir: see above.
    count: clips of each side.
  """
  target, config = run.targets[0], run.config
  names = {"method": PROBE, "model": target.name}
  rows = [row for row in run.scores.asked if names.items() <= row.items()]
  # Beside the evaluation's own search the paper's, whose two loops the report replays.
  searches_used = dict.fromkeys((config.search.name, PAPER_SEARCH))
  settings = recording.Settings(
    target=target,
    distance=distance,
    distance_name=config.distance,
    searches={name: make_search(config.search, name) for name in searches_used},
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


def _search_with_targets(run: Evaluation, distance) -> list[dict[str, Any]]:
  """LSA-Probe with a search that must be told tau."""
  search = make_search(run.config.search)
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
  search = make_search(run.config.search)
  ascent = WorstDamage(distance=distance, eta=run.config.tau.eta_ref, search=search)
  names = {"t_ratio": run.config.t_ratio, "distance": run.config.distance}
  run.score(
    run.calibration,
    {target.name: ascent for target in run.targets},
    (run.development,),
    method="worst_damage",
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


def _tau(run: Evaluation, target: Target, damages):
  """tau of one target from the worst D of its development clips at eta_ref."""
  if len(damages) < MIN_DEVELOPMENT_CLIPS:
    raise _too_few_development(len(damages))
  tau = probe.calibrate_tau(damages, run.config.tau.quantile)
  logging.info("tau of %s: %.5g from %d clips", target.name, tau, len(damages))
  return tau


def make_search(settings: ConfigDict, name: str | None = None):
  """The search a configuration names, or another for which it has settings.

  Args:
    settings: `name`, `eta_max`, `norm`, and under the name of a search its own.
    name: of the search, if not `settings.name`.
  """
  name = name or settings.name
  known = [key for key, value in settings.items() if isinstance(value, ConfigDict)]
  if name not in known:
    raise app.UsageError(f"--config.search.name={name}: known: {', '.join(known)}")
  try:
    return searches.get(
      name, eta_max=settings.eta_max, norm=settings.norm, **settings[name]
    )
  except ValueError as error:
    raise app.UsageError(f"--config.search: {error}") from error


def _check(config, targets: list[Target], halves: Corpus, development: Corpus):
  """Refuses, before anything is scored, what would only fail on the way."""
  make_search(config.search)
  if config.batch_size < 0:
    raise app.UsageError(f"--config.batch_size={config.batch_size}: 0 finds it")
  if len(development) < MIN_DEVELOPMENT_CLIPS:
    raise _too_few_development(len(development))
  if config.get("stop_at") == "mel" and config.distance != "waveform":
    raise app.UsageError(
      f"--config.distance={config.distance} needs waveforms; with --config.stop_at=mel"
      " choose `waveform`: the mean square, here of log-mel spectrograms"
    )
  distance = make_distance_of(config, halves)
  times = {"--config.t_ratio": config.t_ratio}
  for name in set(config.methods) - {PROBE, "worst_damage"}:
    plain = name.removesuffix(MATCHED)
    times[f"--config.baselines.{plain}.t_ratio"], _ = _make_baseline(
      config, plain, distance
    )
  for target in targets:
    for flag, ratio in times.items():
      try:
        diffusion.timestep(target.generator.schedule, ratio)
      except ValueError as error:
        raise app.UsageError(f"{flag}: {error}") from error
    try:
      for clip in (*halves.clips, *development.clips):
        target.split(clip)
    except ValueError as error:
      raise app.UsageError(f"--config.corpus: {error}") from error


def _check_sides(config, halves: Corpus):
  for group in ("a", "b"):
    tracks = len({clip.track for clip in halves.clips if clip.group == group})
    if tracks < 2:
      raise app.UsageError(
        f"--config.corpus.path={config.corpus.path}: group {group} has {tracks} tracks"
        f" in the part {config.part}; the blind baseline needs at least two a side"
      )


def _too_few_development(count: int) -> app.UsageError:
  return app.UsageError(
    f"only {count} development clips to set tau with; add tracks to the group dev or"
    " raise --config.corpus.dev_clips_per_track"
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opened:
  """What a configuration names, found and checked.

  Attributes:
    targets: the models.
    halves: clips of the groups a and b.
    development: clips that no target was trained on.
    identity: what decides the results: settings, hashes of weights and data.
  """

  targets: list[Target]
  halves: Corpus
  development: Corpus
  identity: dict[str, Any]


def open_checked(config: ConfigDict, limit: int | None) -> Opened:
  """Opens corpus and targets, and refuses what would only fail on the way.

  Args:
    config: all settings.
    limit: at most so many clips of each half.

  Raises:
    app.UsageError: names the setting.
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
  if settings.scored_seconds:
    try:
      halves, development = (
        c.head(settings.scored_seconds) for c in (halves, development)
      )
    except ValueError as error:
      raise app.UsageError(f"--config.corpus.scored_seconds: {error}") from error
  _check_sides(config, halves)
  return _fitted(config, targets, identity, halves, development)


def _fitted(config, targets, identity, halves, development) -> Opened:
  """Targets for clips of this length, checked with settings and clips."""
  targets = [
    dataclasses.replace(
      target, generator=target.generator.for_length(halves.audio.shape[1])
    )
    for target in targets
  ]
  _check(config, targets, halves, development)
  identity |= {
    "config": common.jsonable(config),
    "data": {"halves": halves.fingerprint(), "development": development.fingerprint()},
  }
  return Opened(
    targets=targets, halves=halves, development=development, identity=identity
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
  # Before the folder is claimed: a run that cannot start must not lock it.
  return _claimed(config, open_checked(config, limit), workdir, shard)


def start(
  config: ConfigDict,
  targets: list[Target],
  identity: dict[str, Any],
  halves: Corpus,
  development: Corpus,
  workdir: pathlib.Path,
  shard: Shard = ALONE,
  *,
  reference_on_development: bool = False,
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
    reference_on_development: see Evaluation.
  """
  opened = _fitted(config, targets, identity, halves, development)
  return _claimed(config, opened, workdir, shard, reference_on_development)


def _claimed(
  config, opened, workdir, shard, reference_on_development=False
) -> Evaluation:
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
    reference_on_development=reference_on_development,
  )
