"""The verdict of an audit in a few sentences, and what it takes for granted."""

from collections.abc import Sequence

from lsaprobe_jax.audit.findings import Findings
from lsaprobe_jax.audit.gates import Gate


def verdict(
  gates: Sequence[Gate],
  findings: Findings | None,
  *,
  difficulty_calibration: str,
  reference_unknown: bool,
) -> str:
  """Says that there is no verdict, evidence, or none, and what the answer rests on.

  The first sentence says whether scores are calibrated for difficulty by a reference
  model.

  Args:
    gates: all gates.
    findings: None where there is no verdict.
    difficulty_calibration: `none` or `reference`.
    reference_unknown: whether the reference model's folder does not say what it was
      trained on.
  """
  if findings is None:
    return _refusal([gate for gate in gates if gate.holds is False])
  p_value, alpha = findings.p_value, findings.alpha
  plain = difficulty_calibration == "none"
  how = ", not calibrated for difficulty" if plain else ""
  if not findings.evidence:
    return (
      f"No evidence of training{how} (p = {p_value:.2g}, above {alpha:g});"
      f" {_found_with_power(findings.tests[0].power.detectable)}."
    )
  single = len(findings.tracks) == 1
  who = "the suspect scores" if single else "the suspects score"
  sentences = [
    f"Evidence of training{how}: {who} above tracks that the model has not seen"
    f" (p = {p_value:.2g}, at most {alpha:g}).",
    "It is about one track: whatever else sets it apart would look the same."
    if single
    else "It is about the set as a whole.",
  ]
  if plain:
    sentences.append(
      "No reference model was given: music that is easier for any model would look the"
      " same, and the gates see gross differences only."
    )
  elif reference_unknown:
    sentences.append(
      "That the reference model saw neither side is taken on trust: its folder does not"
      " say what it was trained on."
    )
  if not findings.tests[0].by_album:
    sentences.append(
      "Tracks, or some of them, were taken for independent: likeness to tracks of the"
      " same album that were trained on would look the same."
    )
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
