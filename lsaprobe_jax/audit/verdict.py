"""The verdict of an audit in a few sentences, and what it takes for granted."""

from collections.abc import Sequence

from lsaprobe_jax.audit.findings import BY_REFERENCE, CANARY, Findings
from lsaprobe_jax.audit.gates import Gate
from lsaprobe_jax.audit.track_scores import PANEL


def verdict(
  gates: Sequence[Gate],
  findings: Findings | None,
  *,
  difficulty_calibration: str,
  reference_unknown: bool,
) -> str:
  """Says that there is no verdict, evidence, or none, and what the answer rests on.

  Without reference tracks the first sentence is what the answer assumes. With some it
  says whether scores are calibrated for difficulty.

  Args:
    gates: all gates.
    findings: None where there is no verdict.
    difficulty_calibration: `none`, `reference`, `twins` or `both`.
    reference_unknown: whether the reference model's folder does not say what it was
      trained on.
  """
  if findings is None:
    return _refusal([gate for gate in gates if gate.holds is False])
  if findings.mode != BY_REFERENCE:
    return _by_versions(findings)
  alpha = findings.alpha
  p = _beside(findings.p_value, alpha)
  plain = difficulty_calibration == "none"
  how = ", not calibrated for difficulty" if plain else ""
  if not findings.evidence:
    return (
      f"No evidence of training{how} (p = {p}, above {alpha:g});"
      f" {_found_with_power(findings.tests[0].power.detectable)}"
      f"{_UNLIKE * findings.tests[0].albums_exchanged}.{_without(findings)}"
    )
  single = len(findings.tracks) == 1
  who = "the suspect scores" if single else "the suspects score"
  less = " less what their twins score," if difficulty_calibration == "twins" else ""
  sentences = [
    f"Evidence of training{how}:{less} {who} above tracks that the model has not seen"
    f" (p = {p}, at most {alpha:g}).",
    "It is about one track: whatever else sets it apart would look the same."
    if single
    else f"It is about the set as a whole.{_without(findings)}",
  ]
  if plain:
    sentences.append(
      "Neither a reference model nor twins were there: music that is easier for any"
      " model would look the same, and the gates see gross differences only."
    )
  elif difficulty_calibration in ("reference", "both") and reference_unknown:
    sentences.append(
      "That the reference model saw neither side is taken on trust: its folder does not"
      " say what it was trained on."
    )
  if not findings.tests[0].by_album:
    sentences.append(_INDEPENDENT)
  return " ".join(sentences)


def _without(findings: Findings) -> str:
  """Says how many suspects the answer leaves out; empty for none."""
  count = findings.tests[0].unmoved
  if not count:
    return ""
  return (
    f" It leaves out {count} of {len(findings.tracks)} suspects, of albums that the"
    " reference has nothing to exchange for."
  )


def _beside(p_value: float, alpha: float) -> str:
  """p to two digits, or to as many as show on which side of alpha it lies."""
  shown = (f"{p_value:.{digits}g}" for digits in range(2, 18))
  return next(p for p in shown if p != f"{alpha:g}" or p_value == alpha)


# Power is that of tracks with noise of their own.
_UNLIKE = ", if tracks of an album were no more alike than others"
_INDEPENDENT = (
  "Tracks, or some of them, were taken for independent: likeness to tracks of the same"
  " album that were trained on would look the same."
)


def _by_versions(findings: Findings) -> str:
  """The verdict of a test that compares tracks with their own other versions."""
  (test,), alpha = findings.tests, findings.alpha
  p = _beside(findings.p_value, alpha)
  held_back = findings.mode == CANARY
  others = "the versions that were held back" if held_back else "their twins"
  first = f"This assumes that {test.assumes}"
  first += "." if held_back else ", and no reference music has checked it."
  if not findings.evidence:
    found = _found_with_power(test.power.detectable)
    found = f"No evidence of training (p = {p}, above {alpha:g}); {found}."
    return f"{first} {found}"
  # What benchmarks.twin_level allows (results/twins/level.md): unseen tracks of albums
  # that were trained on lie above their twins as well.
  what = "" if held_back else " on these tracks, or on others of their albums"
  # Where the test is two-sided: masters of inverted polarity score below their twins.
  side = "above" if test.sets[PANEL].difference > 0 else "below"
  sentences = [
    first,
    f"Evidence of training{what}: the suspects score {side} {others} (p ="
    f" {p}, at most {alpha:g}).",
    "It is about the set as a whole.",
  ]
  if not held_back:
    sentences.append(
      "Give reference tracks of the same albums or makers, which were surely not"
      " trained on, to tell the one from the other, and to see whether the model"
      " prefers music as it was mastered."
    )
  elif not findings.drawn:
    sentences.append(
      "Nothing says that the draw was a draw: versions that were published because they"
      " were better would look the same."
    )
  if not (test.by_album or findings.drawn):
    sentences.append(_INDEPENDENT)
  return " ".join(sentences)


def _refusal(failed: Sequence[Gate]) -> str:
  reasons = "; ".join(f"{gate.name}: {gate.mend or gate.text}" for gate in failed)
  return (
    f"No verdict. {'A gate fails' if len(failed) == 1 else 'Gates fail'}: {reasons}."
  )


def _found_with_power(size: float | None) -> str:
  if size is None:
    return "an audit of this size finds nothing reliably"
  deviations = f"{size:.2g} standard deviations"
  return f"a difference of {deviations} would have been found with 80% power"
