"""What an experiment works on, opened and checked before anything is scored."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from lsaprobe_jax import diffusion, twins
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import splits
from lsaprobe_jax.data.clips import Clip, Corpus
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.metrics.pivot import CROSS_OVER, NFE_MATCHED, REFERENCE
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.scoring import factories
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.scoring.targets import load_targets

# So many clips say what a model makes of a twin.
_CLIPS_FOR_TWINS = 4
# A 95th percentile of fewer clips is little more than their maximum.
MIN_DEVELOPMENT_CLIPS = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
  """What an experiment's settings name, found and checked.

  Attributes:
    targets: the models, ready for clips of this length.
    halves: clips of the groups a and b.
    development: clips that no target was trained on.
    identity: what decides the results: settings, hashes of weights and data.
  """

  targets: list[TrainedModel]
  halves: Corpus
  development: Corpus
  identity: dict[str, Any]


def open_inputs(settings: Experiment, limit: int | None = None) -> Inputs:
  """Opens corpus and targets, and refuses what would only fail on the way.

  Args:
    settings: all settings.
    limit: at most so many clips of each half; all by default.

  Raises:
    SettingError: it begins with the setting that cannot be used.
  """
  factories.check_searches(settings.search)
  targets = load_targets(
    settings.targets,
    num_inference_steps=settings.num_inference_steps,
    precision=settings.precision,
    stop_at=settings.stop_at,
    untrained=settings.untrained,
    seed=settings.seed,
  )
  wanted, first = settings.corpus, targets[0]
  halves = _open(settings, first, wanted.clips_per_track, ("a", "b"))
  halves = halves.take(splits.keep(halves.clips, settings.part, limit))
  development = _open(settings, first, wanted.dev_clips_per_track, ("dev",))
  if wanted.scored_seconds:
    try:
      halves, development = (
        corpus.head(wanted.scored_seconds) for corpus in (halves, development)
      )
    except ValueError as error:
      raise SettingError(f"corpus.scored_seconds: {error}") from error
  _check_sides(settings, halves)
  inputs = fit_inputs(settings, targets, halves, development)
  for target in inputs.targets:
    _check_members(target, halves.clips)
  return inputs


def fit_inputs(
  settings: Experiment,
  targets: Sequence[TrainedModel],
  halves: Corpus,
  development: Corpus,
  *,
  check_twins: bool = True,
) -> Inputs:
  """Makes targets ready for clips of this length, and checks them with the clips.

  Args:
    settings: all settings.
    targets: the models.
    halves: clips of the groups a and b.
    development: clips that no target was trained on.
    check_twins: whether twins are refused that carry no signal; not where somebody has
      chosen them by that already, on other clips.

  Raises:
    SettingError: see `open_inputs`.
  """
  targets = [target.for_length(halves.audio.shape[-1]) for target in targets]
  _check(settings, targets, halves, development)
  if check_twins:
    _check_twins(settings, targets, development)
  identity = {
    "weights": {target.name: target.weights_sha256 for target in targets},
    "described": {target.name: target.described_sha256 for target in targets},
    "config": settings.to_dict(),
    "data": {"halves": halves.fingerprint(), "development": development.fingerprint()},
  }
  return Inputs(
    targets=targets, halves=halves, development=development, identity=identity
  )


class TooFewDevelopmentClips(SettingError):
  """tau would be calibrated on too few clips."""


def too_few_development(count: int) -> TooFewDevelopmentClips:
  """Says that tau would be calibrated on too few clips."""
  return TooFewDevelopmentClips(
    f"corpus.dev_clips_per_track: only {count} development clips to calibrate tau on,"
    f" and {MIN_DEVELOPMENT_CLIPS} are needed; raise it or add tracks to the group dev"
  )


def fewest_timesteps(targets: Sequence[TrainedModel]) -> int:
  """T of the model whose schedule has the fewest times."""
  return min(target.model.schedule.num_train_timesteps for target in targets)


def _open(settings: Experiment, like: TrainedModel, clips_per_track, groups) -> Corpus:
  try:
    return corpora.open_corpus(
      settings.corpus.path,
      sample_rate=like.sample_rate,
      channels=like.channels,
      clip_seconds=settings.corpus.clip_seconds,
      clips_per_track=clips_per_track,
      groups=groups,
    )
  except ValueError as error:
    raise SettingError(f"corpus: {error}") from error


def _check(settings, targets, halves: Corpus, development: Corpus) -> None:
  factories.check_searches(settings.search)
  if all(target.name == REFERENCE for target in targets):
    raise SettingError(
      f"targets: {REFERENCE} is the null control beside another; name the model under"
      " audit otherwise: targets={'model': ...}"
    )
  if len(development) < MIN_DEVELOPMENT_CLIPS:
    raise too_few_development(len(development))
  if settings.stop_at == "mel" and settings.distance != "waveform":
    raise SettingError(
      f"distance={settings.distance} needs waveforms; with stop_at=mel choose"
      " `waveform`: the mean square, here of log-mel spectrograms"
    )
  if settings.stop_at == "mel":
    for name in settings.methods:
      if _compares_with_clip(settings, name.removesuffix(NFE_MATCHED)):
        raise SettingError(
          f"methods: {name} compares with the clip, which is a waveform; leave it out"
          " with stop_at=mel"
        )
  distance = factories.make_distance(settings.distance, halves)
  times = {"t_ratio": settings.t_ratio}
  times |= factories.check_methods(settings, distance, fewest_timesteps(targets))
  for target in targets:
    _check_target(target, times, (*halves.clips, *development.clips))
    _check_params(target, settings.methods)
  check_cross_over(targets, halves.clips)


def _compares_with_clip(settings: Experiment, method: str) -> bool:
  if method == "rediffuse":
    return not settings.baselines.get(method, {}).get("decoded", False)
  return method == "trajectory"


def _check_twins(settings, targets, clips: Corpus) -> None:
  """Refuses twins that are unknown, or that carry no signal under a model."""
  audio = np.asarray(clips.audio[:_CLIPS_FOR_TWINS])
  for target in targets if settings.twins.names else ():
    twins.check(target.model, audio, settings.twins.names, seed=settings.seed)


def _check_target(target: TrainedModel, times: dict[str, float], clips) -> None:
  """Refuses times that a schedule does not have, and clips of no known side."""
  for setting, ratio in times.items():
    try:
      diffusion.timestep(target.model.schedule, ratio)
    except ValueError as error:
      raise SettingError(f"{setting.removesuffix('t_ratio')}{error}") from error
  try:
    for clip in clips:
      target.split(clip)
  except ValueError as error:
    raise SettingError(f"corpus: {error}") from error


def _check_members(target: TrainedModel, halves: Sequence[Clip]) -> None:
  """Refuses a target with one side alone, and a null control that saw a side."""
  members = [clip.id for clip in halves if target.split(clip) == "member"]
  if target.name == REFERENCE:
    if members and target.members is not None:
      raise SettingError(
        f"targets: {REFERENCE} was trained on {len(members)} of the clips that are"
        f" judged, such as {members[0]}; scores less its own would count them twice:"
        " give a model that saw neither side"
      )
  elif not members or len(members) == len(halves):
    raise SettingError(
      f"corpus: {'every' if members else 'no'} clip is a member of {target.name} by its"
      " record, and an evaluation needs both sides; give the corpus that it was trained"
      " on, and others' clips in the other group"
    )


def _check_params(target: TrainedModel, methods: Sequence[str]) -> None:
  """Refuses what differentiates by the weights, of a model that shows none."""
  others = tuple(
    name for name in methods if name.removesuffix(NFE_MATCHED) != "gradient_norm"
  )
  if len(others) < len(methods) and not jax.tree.leaves(target.model.params):
    raise SettingError(
      f"methods: gradient_norm differentiates by `params`, of which {target.name} has"
      f" none; give them to from_denoiser, or leave it out: methods={others}"
    )


def check_cross_over(targets: Sequence[TrainedModel], clips: Sequence[Clip]) -> None:
  """Refuses models A and B of which a clip is not a member of exactly one.

  Args:
    targets: the models.
    clips: those of the halves.

  Raises:
    SettingError: it begins with `targets`.
  """
  crossed = [target for target in targets if target.name in CROSS_OVER]
  if len(crossed) < len(CROSS_OVER):
    return
  same = [clip.id for clip in clips if len({t.split(clip) for t in crossed}) == 1]
  if not same:
    return
  unknown = [target.name for target in crossed if target.members is None]
  if unknown:
    raise SettingError(
      f"targets: nothing records what {' and '.join(unknown)} had in training, so that"
      " group a would be taken for the members of both models of the cross-over; give"
      " one such model alone, under another name than A or B (targets={'model': ...}),"
      " or models that launch.train made"
    )
  raise SettingError(
    f"targets: {len(same)} clips, such as {same[0]}, are on the same side under A and B"
    " by their training records; in a cross-over every clip is a member of exactly one:"
    " give models of the two groups"
  )


def _check_sides(settings: Experiment, halves: Corpus) -> None:
  for group in ("a", "b"):
    tracks = len({clip.track for clip in halves.clips if clip.group == group})
    if tracks < 2:
      raise SettingError(
        f"corpus.path={settings.corpus.path}: group {group} has {tracks} tracks in the"
        f" part {settings.part}; the blind baseline needs at least two a side"
      )
