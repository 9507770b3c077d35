"""Tables of simulated audits, as aligned text."""

from collections.abc import Sequence

from scipy import stats

from lsaprobe_jax.audit.shift import Counts, ShiftedAudits
from lsaprobe_jax.audit.simulation import SimulatedAudits
from lsaprobe_jax.metrics import tables


def format_null(simulated: Sequence[SimulatedAudits], *, alpha: float) -> str:
  """A line a kind of audit, and how many are expected to find evidence by chance.

  Args:
    simulated: see `simulation.simulate_null`; at least one.
    alpha: level of the audits.
  """
  cells = [["model", "suspects", "reference", "audits with evidence", "tracks above"]]
  cells += [
    [
      made.model,
      f"{made.suspects} {'trained on' if made.trained else 'unseen'}",
      str(made.reference),
      tables.share(made.evidence, made.audits),
      tables.share(made.flagged, made.suspects * made.audits),
    ]
    for made in simulated
  ]
  audits = simulated[0].audits
  law = stats.binom(audits, alpha)
  expected = (
    f"{audits} audits a line at {alpha:g}; without training between"
    f" {law.ppf(0.025):.0f} and {law.ppf(0.975):.0f} of them are expected to end"
    " with evidence, in 95 of 100 such lines"
  )
  return "\n".join([*tables.align(cells), expected])


def format_shifts(simulated: Sequence[ShiftedAudits], *, alpha: float) -> str:
  """A line a model and shift, and what was shifted.

  Args:
    simulated: see `shift.simulate_shifts`; at least one.
    alpha: level of the audits.
  """
  header = ["model", "suspects", "shift, sd", "gate held", "evidence", "with the gate"]
  header += ["by reference", "with the gate"]
  cells = [
    [
      made.model,
      str(made.suspects),
      f"{made.shift:.2f}",
      tables.share(made.held, made.audits),
      *_shares(made.raw, made),
      *_shares(made.by_reference, made),
    ]
    for made in simulated
  ]
  features = {
    made.model: f"{made.model}: {made.pool} unseen tracks; shifted by {made.feature},"
    " whose rank correlation with the reference model's Loss is"
    f" {made.correlation:.2f}"
    for made in simulated
  }
  read_as = (
    f"{simulated[0].audits} audits a line at {alpha:g}, none of tracks that were"
    " trained on: all evidence is false. 'With the gate': share of the audits whose"
    " blind gate held. 'By reference': scores calibrated for difficulty by the"
    " reference model"
  )
  return "\n".join([*tables.align([header, *cells]), *features.values(), read_as])


def _shares(counts: Counts, made: ShiftedAudits) -> list[str]:
  with_gate = tables.share(counts.with_gate, made.held) if made.held else "-"
  return [tables.share(counts.evidence, made.audits), with_gate]
