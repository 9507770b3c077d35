"""An audit: two folders of tracks and a model, to a verdict. Reads no flags."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from absl import app, logging
from ml_collections import ConfigDict

from launch import audit_gates, common, converting, estimating, evaluation, opening
from launch.audit_gates import Gate
from launch.estimating import Cost
from lsaprobe_jax import checkpoints
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data import inspection
from lsaprobe_jax.data.clips import Corpus
from lsaprobe_jax.evaluating import Target
from lsaprobe_jax.evaluation import audit, calibration

MODEL = audit.MODEL
_CLIP_SECONDS = 4.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
  """What an audit was given, checked.

  Attributes:
    targets: the model and, where there is one, the reference model.
    weights: hashes of their weights.
    suspects: clips of group a.
    comparison: clips of group b; of the whole reference where that is too small.
    calibration: clips of group dev, none where the reference is too small.
    facts: by 'suspect' and 'reference', of the file of each track.
    sources: file of each track, as it was given.
    gates: those that need no score.
    notes: what a reader should know of the two sides.
  """

  targets: list[Target]
  weights: dict[str, Any]
  suspects: Corpus
  comparison: Corpus
  calibration: Corpus
  facts: dict[str, list[inspection.Facts]]
  sources: dict[str, str]
  gates: list[Gate]
  notes: list[str]

  @property
  def refused(self) -> bool:
    """Whether a gate that needs no score fails."""
    return any(gate.holds is False for gate in self.gates)

  def identity(self) -> dict[str, Any]:
    """Hashes of weights and clips."""
    parts = ("suspects", "comparison", "calibration")
    return self.weights | {
      "data": {name: getattr(self, name).fingerprint() for name in parts}
    }


def read(
  config: ConfigDict,
  suspects: str,
  reference: str,
  groups: dict[str, Sequence[str]] | None = None,
) -> Inputs:
  """Opens and checks everything that an audit is given; scores nothing.

  Args:
    config: all settings; `targets` with `model` and perhaps `reference`.
    suspects: a folder, a manifest or an audio file.
    reference: a folder or a manifest.
    groups: by 'suspect' and 'reference', the groups of tracks taken; all by default.

  Raises:
    app.UsageError: something cannot be used at all.
  """
  targets, weights = common.load_targets(config, _flag)
  model = next(target for target in targets if target.name == MODEL)
  rate = model.generator.sample_rate
  seconds = config.corpus.clip_seconds or trained_seconds(config.targets[MODEL])
  given = {"suspect": suspects, "reference": reference}
  opened, notes = _open_sides(given, groups or {}, rate, seconds, config)
  facts, doubled = _inspect_sides(given, opened)
  sources = {fact.track: fact.source for own in facts.values() for fact in own}
  notes += [
    f"left out: {second} holds the same recording as {first}"
    for second, first in doubled.items()
  ]
  for side, own in facts.items():
    opened[side] = _without(opened[side], doubled)
    facts[side] = [fact for fact in own if fact.track not in doubled]
  notes += inspection.differences(*facts.values())
  calibration, comparison, enough = _split(config, opened["reference"])
  gates = [
    enough,
    audit_gates.duplicates(facts),
    audit_gates.seen_in_training(model, opened["reference"]),
    audit_gates.blind_baseline(opened["suspect"], opened["reference"], config.seed),
  ]
  if seen := audit_gates.recorded(model, opened["suspect"]):
    notes.append(
      f"the model's own record names {seen} of {len(opened['suspect'])} suspect clips"
      " as trained on"
    )
  return Inputs(
    targets=[dataclasses.replace(t, group=None, members=None) for t in targets],
    weights=weights,
    suspects=_regroup(opened["suspect"], "suspect"),
    comparison=_regroup(opened["reference"], "comparison", comparison),
    calibration=_regroup(opened["reference"], "calibration", calibration),
    facts=facts,
    sources=sources,
    gates=gates,
    notes=notes,
  )


def _open_sides(
  given: dict[str, str], groups, rate: int, seconds: float, config: ConfigDict
) -> tuple[dict[str, Corpus], list[str]]:
  """Both sides with as many clips of every track, and what to note of that."""
  _check_alike(given)
  opened = {
    side: _open(side, path, groups.get(side), rate, seconds, config)
    for side, path in given.items()
  }
  notes = [
    f"left out: {message}" for side in opened.values() for _, message in side.errors
  ]
  each = min(_clips_of_tracks(side).min() for side in opened.values())
  if each < config.corpus.clips_per_track:
    notes.append(
      f"{each} clips of {seconds:g} s a track, not {config.corpus.clips_per_track}:"
      " a track holds no more, and all must have the same number"
    )
  return {side: corpus.per_track(each) for side, corpus in opened.items()}, notes


def _inspect_sides(
  given: dict[str, str], opened: dict[str, Corpus]
) -> tuple[dict[str, list[inspection.Facts]], dict[str, str]]:
  """Facts by side, and of recordings twice on a side the second track by the first."""
  facts = {side: _inspect(side, path, opened[side]) for side, path in given.items()}
  doubled = {
    pair.second: pair.first
    for own in facts.values()
    for pair in inspection.duplicates(own)
  }
  return facts, doubled


def _split(
  config: ConfigDict, reference: Corpus
) -> tuple[Sequence[str], Sequence[str], Gate]:
  """Tracks to calibrate on and to compare with, and whether there are enough."""
  needed = audit.smallest_reference(
    config.alpha,
    int(_clips_of_tracks(reference).min()),
    opening.MIN_DEVELOPMENT_CLIPS,
  )
  tracks = reference.tracks
  gate = audit_gates.reference_size(len(tracks), needed, config.alpha)
  if not gate.holds:
    return [], tracks, gate
  return *audit.split_reference(tracks, needed, config.seed), gate


def _flag(target: str) -> str:
  return "--model" if target == MODEL else "--reference_model"


def trained_seconds(model: str) -> float:
  """Length of the clips that a model was trained on, as its folder says, or 4 s."""
  path = converting.find_model(model) / checkpoints.MODEL_FILE
  found = json.loads(path.read_text())
  for name in ("training", "config", "corpus", "clip_seconds"):
    found = found.get(name) if isinstance(found, dict) else None
  return float(found) if isinstance(found, int | float) else _CLIP_SECONDS


def _check_alike(given: dict[str, str]) -> None:
  """Refuses sides of different kinds, which would be decoded by different code."""
  kinds = {}
  for side, path in given.items():
    with _blaming(side):
      kinds[side] = corpora.kind(path)
  if len(set(kinds.values())) > 1:
    side = next(side for side, kind in kinds.items() if kind != "files")
    raise app.UsageError(
      f"--{_plural(side)}={given[side]} is a built corpus and the other side is not, or"
      " not in the same form: loudness and rate were set by other code; give plain"
      " audio files on both sides, or build both (launch.corpus)"
    )


@contextlib.contextmanager
def _blaming(side: str) -> Iterator[None]:
  """Makes what cannot be used of a side an error that names its flag."""
  try:
    yield
  except ValueError as error:
    raise app.UsageError(f"--{_plural(side)}: {error}") from error


def _plural(side: str) -> str:
  return "suspects" if side == "suspect" else side


def _open(
  side: str, path: str, groups, rate: int, seconds: float, config: ConfigDict
) -> Corpus:
  """Clips of one side, its tracks and clips named so that no name is on both sides."""
  with _blaming(side):
    corpus = corpora.open_corpus(
      path,
      sample_rate=rate,
      clip_seconds=seconds,
      clips_per_track=config.corpus.clips_per_track,
      groups=groups,
    )
    # Of records too: a few clips of a track fit in memory, and gates need them at once.
    audio = corpus.audio[:]
  named = [
    dataclasses.replace(clip, id=f"{side}-{clip.id}", track=f"{side}-{clip.track}")
    for clip in corpus.clips
  ]
  return dataclasses.replace(corpus, name="audit", clips=tuple(named), audio=audio)


def _clips_of_tracks(corpus: Corpus) -> np.ndarray:
  return np.unique([clip.track for clip in corpus.clips], return_counts=True)[1]


def _inspect(side: str, path: str, corpus: Corpus) -> list[inspection.Facts]:
  """Facts of the tracks that have clips."""
  with _blaming(side):
    readers = corpora.recordings(path)
    own = {track: readers[track.removeprefix(f"{side}-")] for track in corpus.tracks}
    return inspection.inspect_all(own, side)


def _without(corpus: Corpus, tracks) -> Corpus:
  return corpus.take(i for i, c in enumerate(corpus.clips) if c.track not in tracks)


def _regroup(corpus: Corpus, part: str, tracks=None) -> Corpus:
  """Clips of some tracks, of all by default, in the group that stands for a part."""
  kept = [i for i, c in enumerate(corpus.clips) if tracks is None or c.track in tracks]
  chosen = corpus.take(kept)
  regroup = lambda clip: dataclasses.replace(clip, group=audit.GROUPS[part])
  return dataclasses.replace(chosen, clips=tuple(map(regroup, chosen.clips)))


def together(one: Corpus, other: Corpus) -> Corpus:
  """Clips of both."""
  return dataclasses.replace(
    one,
    clips=one.clips + other.clips,
    audio=np.concatenate([one.audio, other.audio]),
  )


def begin(
  config: ConfigDict, inputs: Inputs, workdir: pathlib.Path
) -> evaluation.Evaluation:
  """Claims the working folder for an audit whose gates hold so far."""
  return evaluation.start(
    config,
    inputs.targets,
    dict(inputs.weights),
    together(inputs.suspects, inputs.comparison),
    inputs.calibration,
    workdir,
  )


def score(run: evaluation.Evaluation) -> list[dict[str, Any]]:
  """Rows of all methods under all targets, less the reference's where there is one."""
  rows = evaluation.run_methods(run, run.config.methods)
  return rows + calibration.by_reference(rows)


def estimate(config: ConfigDict, inputs: Inputs) -> tuple[list[Cost], int]:
  """What the audit costs, and the memory it takes: `estimating.estimate`."""
  (model,) = (target for target in inputs.targets if target.name == MODEL)
  clips = together(together(inputs.suspects, inputs.comparison), inputs.calibration)
  count = len(clips) * len(inputs.targets)
  return estimating.estimate(config, model, clips, count)


def check(config: ConfigDict) -> None:
  """Refuses settings that only an audit has and cannot be used."""
  if not 0 < config.alpha < 0.5:
    raise app.UsageError(f"--config.alpha={config.alpha:g} is not in (0, 0.5)")
  if config.corpus.clips_per_track < 1 or config.corpus.clip_seconds < 0:
    raise app.UsageError(
      "--config.corpus: clips_per_track is at least 1 and clip_seconds at least 0"
    )
  if not config.methods:
    raise app.UsageError("--config.methods names none")


def prepare_refusal(workdir: pathlib.Path) -> None:
  """Makes a working folder for a dossier without scores; refuses another audit's."""
  if (workdir / "run.json").exists():
    raise app.UsageError(
      f"--workdir={workdir} holds the scores of another audit; choose a new folder"
    )
  try:
    workdir.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise app.UsageError(f"--workdir={workdir} cannot be used: {error}") from error


def find(
  config: ConfigDict, inputs: Inputs, rows: list[dict[str, Any]]
) -> tuple[list[Gate], audit.Scores | None, dict[str, Any] | None, list[str]]:
  """What the rows say.

  Returns:
    All gates; scores with the panel and what was found (`audit.judge`, and under
    `null` `audit.null_rejections`), both None where a gate fails; clips that failed.
  """
  clips = inputs.suspects.clips + inputs.comparison.clips + inputs.calibration.clips
  scores, failed = audit.tabulate(rows, clips)
  for clip in failed:
    logging.error("%s: no score under every method; left out", clip)
  gates = inputs.gates + audit_gates.of_scores(config, scores, rows, clips)
  if any(gate.holds is False for gate in gates):
    return gates, None, None, failed
  try:
    scores = scores.with_panel()
  except ValueError as error:
    mend = "leave that method out of --config.methods, or give other reference tracks"
    gates = [*gates, Gate(name="panel", holds=False, text=str(error), mend=mend)]
    return gates, None, None, failed
  found = audit.judge(
    scores, alpha=config.alpha, permutations=config.permutations, seed=config.seed
  )
  found["null"] = audit.null_rejections(scores, alpha=config.alpha, seed=config.seed)
  return gates, scores, found, failed
