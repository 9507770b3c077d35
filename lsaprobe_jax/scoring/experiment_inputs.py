"""Opens and checks what a configuration names. Reads no flags."""

import dataclasses
from typing import Any

from absl import app
from ml_collections import ConfigDict

from launch import common
from lsaprobe_jax import diffusion
from lsaprobe_jax.data import splits
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.metrics import summary
from lsaprobe_jax.scoring import factories, rules
from lsaprobe_jax.scoring.scorer import Target

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
  rules.check(config)
  factories.check_searches(config.search)
  targets, identity = common.load_targets(config)
  wanted, rate = config.corpus, targets[0].model.sample_rate
  halves = common.open_corpus(wanted, rate, wanted.clips_per_track, ["a", "b"])
  try:
    halves = halves.take(splits.keep(halves.clips, config.part, limit))
  except ValueError as error:
    raise app.UsageError(f"--config.part: {error}") from error
  development = common.open_corpus(wanted, rate, wanted.dev_clips_per_track, ["dev"])
  if wanted.scored_seconds:
    try:
      halves, development = (
        c.head(wanted.scored_seconds) for c in (halves, development)
      )
    except ValueError as error:
      raise app.UsageError(f"--config.corpus.scored_seconds: {error}") from error
  _check_sides(config, halves)
  return fitted(config, targets, identity, halves, development)


def fitted(config, targets, identity, halves, development) -> Opened:
  """Targets for clips of this length, checked with settings and clips."""
  targets = [
    dataclasses.replace(target, model=target.model.for_length(halves.audio.shape[1]))
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
  rules.check(config)
  factories.check_searches(config.search)
  if len(development) < MIN_DEVELOPMENT_CLIPS:
    raise too_few_development(len(development))
  if config.get("stop_at") == "mel" and config.distance != "waveform":
    raise app.UsageError(
      f"--config.distance={config.distance} needs waveforms; with --config.stop_at=mel"
      " choose `waveform`: the mean square, here of log-mel spectrograms"
    )
  distance = factories.make_distance_of(config, halves)
  times = {"--config.t_ratio": config.t_ratio}
  times |= factories.check_methods(config, distance, common.fewest_times(targets))
  for target in targets:
    for flag, ratio in times.items():
      try:
        diffusion.timestep(target.model.schedule, ratio)
      except ValueError as error:
        raise app.UsageError(f"{flag}: {error}") from error
    try:
      for clip in (*halves.clips, *development.clips):
        target.split(clip)
    except ValueError as error:
      raise app.UsageError(f"--config.corpus: {error}") from error
  _check_cross_over(targets, halves)


def _check_cross_over(targets: list[Target], halves: Corpus) -> None:
  """Refuses models A and B of which each clip is not a member of exactly one."""
  crossed = [target for target in targets if target.name in summary.CROSS_OVER]
  if len(crossed) < len(summary.CROSS_OVER):
    return
  same = [c.id for c in halves.clips if len({t.split(c) for t in crossed}) == 1]
  if not same:
    return
  unknown = [target.name for target in crossed if target.members is None]
  if unknown:
    raise app.UsageError(
      f"--config.targets: nothing records what {' and '.join(unknown)} had in training,"
      " so that group a would be taken for the members of both models of the"
      " cross-over; give one such model alone, under another name than A or B"
      " (--config.targets={'model': ...}), or models that launch.train made"
    )
  raise app.UsageError(
    f"--config.targets: {len(same)} clips, such as {same[0]}, are on the same side"
    " under A and B by their training records; in a cross-over every clip is a member"
    " of exactly one: give models of the two groups"
  )


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
