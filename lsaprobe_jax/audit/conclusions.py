"""From the rows of an audit to its findings, by mode."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import logging

from lsaprobe_jax.audit import statistics, twin_choice, version_gates, version_scores
from lsaprobe_jax.audit.findings import (
  BY_REFERENCE,
  CANARY,
  Findings,
  SuspectsTest,
)
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.audit.inputs import Inputs
from lsaprobe_jax.audit.score_gates import score_gates
from lsaprobe_jax.audit.track_scores import (
  CALIBRATIONS,
  MODEL,
  PANEL,
  TrackScores,
  tabulate,
)
from lsaprobe_jax.audit.version_scores import VersionScores
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.rows import Row

# The tests of versions, as the page calls them.
ALONE_TEST, CANARY_TEST = "suspects alone", "published against held back"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conclusion:
  """What the scores of an audit come to.

  Attributes:
    gates: all gates.
    failed: ids of clips that some method has no score for.
    findings: None where a gate fails.
    scores: scores of tracks that decide; None where a gate fails.
  """

  gates: list[Gate]
  failed: list[str]
  findings: Findings | None = None
  scores: TrackScores | None = None


def conclude(inputs: Inputs, rows: Sequence[Row]) -> Conclusion:
  """Judges the scores of an audit, whose inputs passed their gates."""
  if without := _unscored(inputs, rows):
    gate = Gate(
      name="methods with a score",
      holds=False,
      text=without,
      mend="see the log for why; mend that, or leave the method out of `methods`, which"
      " is then another audit",
    )
    return Conclusion(gates=[*inputs.gates, gate], failed=[])
  by_reference = inputs.mode == BY_REFERENCE
  found = _with_reference(inputs, rows) if by_reference else _by_versions(inputs, rows)
  for clip in found.failed:
    logging.error("%s: no score under every method; left out", clip)
  return found


def _unscored(inputs: Inputs, rows: Sequence[Row]) -> str:
  """Which methods have no score of any clip, and under which model; empty for none.

  They were to decide with the others, and those alone are another test.
  """
  scored = {(row["method"], row["model"]) for row in rows}
  return "; ".join(
    f"{method} has no score of any clip under {target.name}"
    for target in inputs.targets
    for method in inputs.settings.methods
    if (method, target.name) not in scored
  )


def _with_reference(inputs: Inputs, rows: Sequence[Row]) -> Conclusion:
  """Suspects against reference tracks, by every calibration that there is."""
  clips = inputs.clips.clips
  scores, failed = tabulate(rows, clips)
  gates = inputs.gates + score_gates(
    scores, rows, clips, albums=inputs.albums, **_how(inputs)
  )
  if any(gate.holds is False for gate in gates):
    return Conclusion(gates=gates, failed=failed)
  try:
    scores = scores.with_panel()
  except LsaProbeError as error:
    return Conclusion(gates=[*gates, _no_panel(error, "reference ")], failed=failed)
  others, centred = _suspects_alone(inputs, rows)
  findings = statistics.judge(
    scores, _contrasts(inputs, rows, scores), others=others, **_how(inputs)
  )
  # Where albums are exchanged whole it would be another test.
  null = None
  if inputs.albums is None:
    null = statistics.null_rejections(
      scores, alpha=inputs.settings.alpha, seed=inputs.settings.seed
    )
  return Conclusion(
    gates=gates + centred,
    failed=failed,
    findings=dataclasses.replace(findings, null=null),
    scores=scores,
  )


def _contrasts(
  inputs: Inputs, rows: Sequence[Row], deciding: TrackScores
) -> list[statistics.Contrast]:
  """The contrast that decides, and beside it those by other calibrations."""
  there = {row["difficulty_calibration"] for row in rows if row["model"] == MODEL}
  names = [name for name in CALIBRATIONS if name in there] or ["none"]
  if "reference" in names:
    # Raw scores would say once more what is hard.
    names.remove("none")
  contrasts = []
  # By twins before by reference: who has no reference model has the former.
  for i, name in enumerate([names[0], *sorted(names[1:], reverse=True)]):
    try:
      scores = deciding if i == 0 else _table(inputs, rows, name)
    except LsaProbeError as error:
      logging.error("scores %s are not shown: %s", name, error)
      continue
    contrasts.append(
      statistics.reference_contrast(scores, inputs.albums, difficulty_calibration=name)
    )
  return contrasts


def _table(inputs: Inputs, rows: Sequence[Row], name: str) -> TrackScores:
  scores, _ = tabulate(rows, inputs.clips.clips, difficulty_calibration=name)
  return scores.with_panel()


def _suspects_alone(
  inputs: Inputs, rows: Sequence[Row]
) -> tuple[list[SuspectsTest], list[Gate]]:
  """The test of the suspects alone, and whether unseen music is centred."""
  if not inputs.settings.twins.names:
    return [], []
  names = twin_choice.alone(inputs.settings)
  reference = (*inputs.comparison.clips, *inputs.development.clips)
  unseen, _ = version_scores.of_twins(rows, reference, names)
  gate = version_gates.centred(unseen, inputs.albums, names)
  if not names:
    return [], [gate]
  scores, _ = version_scores.of_twins(rows, inputs.suspects.clips, names)
  try:
    test = _test(inputs, scores.with_panel(), names)
  except LsaProbeError as error:
    logging.error("the suspects alone are not tested: %s", error)
    return [], [gate]
  if version_gates.leans(gate):
    leans = f"{test.assumes}; reference music leans, so that this does not hold"
    test = dataclasses.replace(test, assumes=leans)
  return [test], [gate]


def _by_versions(inputs: Inputs, rows: Sequence[Row]) -> Conclusion:
  """Suspects against their own other versions."""
  names = inputs.settings.twins.names
  published = inputs.suspects.clips
  if inputs.mode == CANARY:
    versions = [published, *(corpus.clips for corpus in inputs.held_back)]
    scores, failed = version_scores.of_held_back(rows, versions)
  else:
    scores, failed = version_scores.of_twins(rows, published, names)
  gates = [*inputs.gates, _enough(inputs, scores, failed)]
  if any(gate.holds is False for gate in gates):
    return Conclusion(gates=gates, failed=failed)
  try:
    scores = scores.with_panel()
  except LsaProbeError as error:
    return Conclusion(gates=[*gates, _no_panel(error)], failed=failed)
  test = _test(inputs, scores, names)
  tracks, expected, lowest = version_scores.track_findings(
    scores, two_sided=inputs.settings.two_sided, **_how(inputs)
  )
  findings = Findings(
    alpha=inputs.settings.alpha,
    evidence=bool(test.p_value <= inputs.settings.alpha),
    p_value=test.p_value,
    tests=(test,),
    tracks=tracks,
    flagged=sum(track.flagged for track in tracks),
    expected_flags=expected,
    cutoffs={},
    lowest_track=lowest,
    mode=inputs.mode,
    drawn=_drawn(inputs),
  )
  return Conclusion(
    gates=gates, failed=failed, findings=findings, scores=scores.track_scores()
  )


def _test(inputs: Inputs, scores: VersionScores, names: Sequence[str]) -> SuspectsTest:
  return version_scores.judge_set(
    scores,
    inputs.albums,
    name=CANARY_TEST if inputs.mode == CANARY else ALONE_TEST,
    assumes=_assumes(inputs, names),
    two_sided=inputs.settings.two_sided,
    randomised=_drawn(inputs),
    **_how(inputs),
  )


def _drawn(inputs: Inputs) -> bool:
  """Whether it was drawn at random which versions were published."""
  return inputs.mode == CANARY and inputs.settings.canary_randomised


def _assumes(inputs: Inputs, names: Sequence[str]) -> str:
  if _drawn(inputs):
    return "which version of each track was published was drawn at random"
  what = "versions that were held back"
  if inputs.mode != CANARY:
    what = f"twins ({', '.join(names)})"
  return (
    "a model that has not seen the tracks is as likely to score them above as below"
    f" their {what}"
  )


def _enough(inputs: Inputs, scores: VersionScores, failed: Sequence[str]) -> Gate:
  """Asks whether suspects with scores are left in number."""
  settings = inputs.settings
  others = len(inputs.held_back) or len(settings.twins.names)
  size, _ = version_gates.enough_tracks(
    scores.tracks,
    inputs.albums,
    count=1 + others,
    mode=inputs.mode,
    alpha=settings.alpha,
    permutations=settings.permutations,
    two_sided=settings.two_sided,
    drawn=_drawn(inputs),
  )
  return dataclasses.replace(
    size,
    name="tracks with a score",
    text=version_gates.scored(scores.tracks, failed),
    mend="" if size.holds else f"mend the clips that failed; or {size.mend}",
  )


def _no_panel(error: LsaProbeError, which: str = "") -> Gate:
  mend = f"leave that method out of `methods`, or give other {which}tracks"
  return Gate(name=PANEL, holds=False, text=str(error), mend=mend)


def _how(inputs: Inputs) -> dict[str, Any]:
  settings = inputs.settings
  return {name: getattr(settings, name) for name in ("alpha", "permutations", "seed")}
