"""What a training has before its first step: clips, weights, a compiled step."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging

from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.data.corpus import open_corpus
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.training.optimiser import make_optimiser
from lsaprobe_jax.training.settings import TrainSettings
from lsaprobe_jax.training.starting_weights import StartingWeights, starting_weights
from lsaprobe_jax.training.train_state import TrainState, make_step, steps_per_epoch
from lsaprobe_jax.training.trainables import Trainable, make_trainable
from lsaprobe_jax.training.training_record import check_same_clips


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Preparation:
  """Everything that a training needs and its settings only name.

  Attributes:
    settings: of the training.
    corpus: the clips that are trained on.
    eval_audio: by group, float32 [clips, samples] whose loss is followed.
    start: the weights it starts from.
    trainable: the network that is trained.
  """

  settings: TrainSettings
  corpus: Corpus
  eval_audio: dict[str, np.ndarray]
  start: StartingWeights
  trainable: Trainable

  @property
  def steps_per_epoch(self) -> int:
    """The batches of an epoch, the ragged one counted."""
    return steps_per_epoch(len(self.corpus), self.settings.batch_size)

  @property
  def steps(self) -> int:
    """The steps of the whole training."""
    return self.settings.epochs * self.steps_per_epoch

  def first_step(self) -> tuple[TrainState, Callable[..., Any]]:
    """Returns the state before the first step, and the step (`make_step`)."""
    optimiser = make_optimiser(self.settings, self.steps)
    objective = self.trainable.objective
    state = TrainState.create(objective.params, optimiser)
    return state, make_step(objective, optimiser, self.settings.ema_decay)


def prepare(settings: TrainSettings) -> Preparation:
  """Opens the clips and the weights that the settings name.

  Raises:
    SettingError: a corpus, group, part, model or network cannot be used.
  """
  late = [epoch for epoch in settings.snapshot_epochs if epoch > settings.epochs]
  if late:
    logging.warning(
      "snapshot_epochs: none after %s epochs, as the training ends after %d",
      ", ".join(map(str, late)),
      settings.epochs,
    )
  eval_audio = {
    group: _open(settings, settings.eval_clips_per_track, (group,)).audio
    for group in settings.eval_groups
  }
  corpus = _open(settings, settings.corpus.clips_per_track, settings.corpus.groups)
  start = starting_weights(settings)
  trainable = make_trainable(settings, start)
  check_same_clips(settings, corpus, start)
  return Preparation(
    settings=settings,
    corpus=corpus,
    eval_audio=eval_audio,
    start=start,
    trainable=trainable,
  )


def _open(
  settings: TrainSettings, clips_per_track: int | None, groups: tuple[str, ...]
) -> Corpus:
  """The clips of some groups of the corpus that is trained on."""
  if "sample_rate" not in settings.model:
    raise SettingError("model.sample_rate: is missing; give that of the clips in Hz")
  try:
    return open_corpus(
      settings.corpus.path,
      sample_rate=settings.model["sample_rate"],
      clip_seconds=settings.corpus.clip_seconds,
      clips_per_track=clips_per_track,
      groups=groups,
    )
  except ValueError as error:
    raise SettingError(f"corpus: {error}") from error
