"""Opens and checks what a configuration names. Reads no flags."""

import dataclasses
from typing import Any

from absl import app
from ml_collections import ConfigDict

from launch import building, common
from lsaprobe_jax import diffusion
from lsaprobe_jax.data import splits
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.evaluating import Target

# A 95th percentile of fewer is little more than their maximum.
MIN_DEVELOPMENT_CLIPS = 20


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
  return fitted(config, targets, identity, halves, development)


def fitted(config, targets, identity, halves, development) -> Opened:
  """Targets for clips of this length, checked with settings and clips."""
  targets = [
    dataclasses.replace(
      target, generator=target.generator.for_length(halves.audio.shape[1])
    )
    for target in targets
  ]
  _check(config, targets, halves, development)
  identity = identity | {
    "config": common.jsonable(config),
    "data": {"halves": halves.fingerprint(), "development": development.fingerprint()},
  }
  return Opened(
    targets=targets, halves=halves, development=development, identity=identity
  )


def _check(config, targets: list[Target], halves: Corpus, development: Corpus):
  """Refuses, before anything is scored, what would only fail on the way."""
  building.make_search(config.search)
  if config.batch_size < 0:
    raise app.UsageError(f"--config.batch_size={config.batch_size}: 0 finds it")
  if config.num_steps < 1:
    raise app.UsageError(f"--config.num_steps={config.num_steps}: at least 1")
  if not 0 < config.tau.quantile <= 1:
    raise app.UsageError(
      f"--config.tau.quantile={config.tau.quantile}: above 0 and at most 1"
    )
  if len(development) < MIN_DEVELOPMENT_CLIPS:
    raise too_few_development(len(development))
  if config.get("stop_at") == "mel" and config.distance != "waveform":
    raise app.UsageError(
      f"--config.distance={config.distance} needs waveforms; with --config.stop_at=mel"
      " choose `waveform`: the mean square, here of log-mel spectrograms"
    )
  distance = building.make_distance_of(config, halves)
  times = {"--config.t_ratio": config.t_ratio}
  times |= building.check_methods(config, distance, common.fewest_times(targets))
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


def too_few_development(count: int) -> app.UsageError:
  """What is said where tau would be set from too few clips."""
  return app.UsageError(
    f"only {count} development clips to set tau with; add tracks to the group dev or"
    " raise --config.corpus.dev_clips_per_track"
  )
