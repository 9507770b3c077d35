"""What a training would take, from its first steps."""

import dataclasses
import time

import jax
import numpy as np

from lsaprobe_jax.training.preparation import prepare
from lsaprobe_jax.training.settings import TrainSettings
from lsaprobe_jax.training.train_state import batches

# Steps that are timed, after one that compiles.
TIMED_STEPS = 3
# Clips that are turned into examples, of which a batch is taken.
_MOST_CLIPS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingEstimate:
  """What a training would take, without reading its clips and following its losses.

  Attributes:
    clips: that are trained on.
    epochs: of the training.
    steps_per_epoch: batches of an epoch.
    step_seconds: median of the timed steps.
    compile_seconds: by which the first step took longer.
    device: the kind of device that was timed.
  """

  clips: int
  epochs: int
  steps_per_epoch: int
  step_seconds: float
  compile_seconds: float
  device: str

  @property
  def hours(self) -> float:
    """The time of all steps."""
    return self.epochs * self.steps_per_epoch * self.step_seconds / 3600

  def __str__(self) -> str:
    return (
      f"{self.clips} clips, {self.epochs} epochs of {self.steps_per_epoch} steps,"
      f" {self.step_seconds:.3g} s a step and {self.compile_seconds:.0f} s to compile\n"
      f"estimate: {self.hours:.2f} h on {self.device}, without reading the clips and"
      f" following losses; timed on {TIMED_STEPS} steps, nothing was kept"
    )


def estimate(settings: TrainSettings) -> TrainingEstimate:
  """Times the first steps of a training and writes nothing.

  Raises:
    SettingError: a setting cannot be used.
  """
  run = prepare(settings)
  state, step = run.first_step()
  some = run.corpus.take(range(min(len(run.corpus), _MOST_CLIPS)))
  examples = run.trainable.objective.examples(some.audio)
  batch, mask = next(batches(examples, settings.batch_size, settings.seed, 0))
  key, took = jax.random.key(settings.seed), []
  for number in range(1 + TIMED_STEPS):
    start = time.perf_counter()
    state, _ = jax.block_until_ready(step(state, batch, mask, key, np.float32(number)))
    took.append(time.perf_counter() - start)
  each = float(np.median(took[1:]))
  return TrainingEstimate(
    clips=len(run.corpus),
    epochs=settings.epochs,
    steps_per_epoch=run.steps_per_epoch,
    step_seconds=each,
    compile_seconds=max(took[0] - each, 0.0),
    device=jax.local_devices()[0].device_kind,
  )
