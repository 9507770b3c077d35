"""An evaluation: targets, clips and methods, scored in memory or into a folder."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from lsaprobe_jax.attacks.twinned import Twinned
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics.pivot import REFERENCE
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.rows import Row
from lsaprobe_jax.scoring import experiment_inputs, workdir
from lsaprobe_jax.scoring.row_store import RowStore
from lsaprobe_jax.scoring.scorer import Scorer
from lsaprobe_jax.scoring.settings import WITHOUT_EFFECT, Experiment
from lsaprobe_jax.scoring.shared_rows import ALONE, Shard, SharedRows


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """What an evaluation works on, and the rows that it has so far.

  Attributes:
    settings: all settings.
    targets: the models.
    halves: clips of the groups a and b.
    development: clips that no target was trained on.
    scores: rows of the result, this process's and others'.
    calibration: rows that tau is calibrated on, for searches that need it beforehand.
    curves: D against eta of all clips, for a search that gives them.
    scorer: one for all methods, so that what compiles once is compiled once.
    cuts: whether development clips are scored too, by which cutoffs are set
      beforehand. Without, only what calibrates tau is scored on them.
  """

  settings: Experiment
  targets: list[TrainedModel]
  halves: Corpus
  development: Corpus
  scores: RowStore
  calibration: RowStore
  curves: RowStore
  scorer: Scorer
  cuts: bool = True

  @property
  def first_target(self) -> TrainedModel:
    """The first model under audit, which is not the reference model."""
    return next(target for target in self.targets if target.name != REFERENCE)

  def score(
    self, store: RowStore, by_target: dict[str, Any], parts: Sequence[Corpus], **names
  ) -> list[Row]:
    """Scores some clips under all targets by one method.

    Args:
      store: where the rows go.
      by_target: the attack on each target, by the target's name.
      parts: the clips.
      **names: `method`, `t_ratio`, `distance` of the rows.
    """
    rows = []
    for target in self.targets:
      for corpus in parts:
        attack = by_target[target.name]
        if self._has_twins(corpus):
          attack = Twinned.by_names(attack, self.settings.twins.names)
        rows += self.scorer(store, attack, target, corpus, **names)
    return rows

  def _has_twins(self, corpus: Corpus) -> bool:
    """Whether clips are scored with their twins."""
    wanted = self.settings.twins
    return bool(wanted.names) and (wanted.development or corpus is not self.development)

  def score_all(self, by_target: dict[str, Any], **names) -> list[Row]:
    """Scores the halves by one method, and with `cuts` development clips."""
    parts = (self.halves, self.development) if self.cuts else (self.halves,)
    return self.score(self.scores, by_target, parts, **names)


def open_evaluation(
  settings: Experiment,
  folder: pathlib.Path | None = None,
  *,
  limit: int | None = None,
  shard: Shard = ALONE,
  cuts: bool = True,
) -> Evaluation:
  """Opens what settings name, and claims a working folder for it.

  Args:
    settings: all settings.
    folder: where rows go, shared by all processes of the evaluation; None keeps them
      in memory.
    limit: at most so many clips of each half.
    shard: the clips that this process scores.
    cuts: see `Evaluation`.

  Raises:
    SettingError: a setting cannot be used.
    ArgumentError: the folder cannot be used.
  """
  # Before the folder is claimed: a run that cannot start must not lock it.
  inputs = experiment_inputs.open_inputs(settings, limit)
  return start_evaluation(settings, inputs, folder, shard=shard, cuts=cuts)


def start_evaluation(
  settings: Experiment,
  inputs: experiment_inputs.Inputs,
  folder: pathlib.Path | None = None,
  *,
  shard: Shard = ALONE,
  cuts: bool = True,
) -> Evaluation:
  """Claims a working folder for inputs that are checked; see `open_evaluation`."""
  most = max(len(inputs.halves), len(inputs.development))
  return Evaluation(
    settings=settings,
    targets=inputs.targets,
    halves=inputs.halves,
    development=inputs.development,
    **_stores(inputs.identity, folder, shard),
    scorer=Scorer(settings.seed, settings.batch_size, -(-most // shard.count)),
    cuts=cuts,
  )


def _stores(
  identity: dict[str, Any], folder: pathlib.Path | None, shard: Shard
) -> dict[str, RowStore]:
  names = ("scores", "calibration", "curves")
  if folder is None:
    return {name: RowStore() for name in names}
  workdir.claim(folder, identity, [f"config.{name}" for name in WITHOUT_EFFECT])
  share = f"share-{shard.index}-of-{shard.count}"
  workdir.lock(folder, share if shard.count > 1 else None)
  try:
    return {name: SharedRows(folder, name, shard) for name in names}
  except (OSError, ValueError) as error:
    raise ArgumentError(f"workdir={folder}: {error}") from error


def finish(run: Evaluation) -> list[Row]:
  """Merges the rows of all processes and returns those that were asked for.

  Raises:
    MissingRows: other processes have yet to write some.
  """
  run.scores.require()
  for store in (run.calibration, run.curves, run.scores):
    store.merge()
  return run.scores.asked
