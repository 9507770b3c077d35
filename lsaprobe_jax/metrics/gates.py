"""The gates of an evaluation: the blind baseline and the null control."""

from lsaprobe_jax.metrics import pivot

_ROUNDING = 1e-9  # a cross-over mean of exactly 0.5 may miss it in the last bit


def read(records: list[dict]) -> list[dict]:
  """The gates that the records hold (docs/evaluation.md, rule 5), the blind one first.

  Args:
    records: see `summary.summarise`.

  Returns:
    One dict a gate: `kind` (`blind` or, for the null control, `reference`), `record`,
    `holds` (whether the interval contains 0.5; None without interval) and `leak`, half
    the interval's width: an AUC of this classifier or method that is nearer to 0.5 is
    not told from it. A leak that it does not hear is not bounded by that.
  """
  raw = [r for r in records if r["difficulty_calibration"] == "none"]
  blind = [r for r in raw if r["method"] == pivot.BLIND]
  blind = [r for r in blind if r["model"] not in (pivot.REFERENCE, "mean")]
  null = [
    r for r in raw if r["model"] == pivot.REFERENCE and r["method"] != pivot.BLIND
  ]
  kinds = [(pivot.BLIND, record) for record in blind]
  kinds += [(pivot.REFERENCE, record) for record in null]
  return [_gate(kind, record) for kind, record in kinds]


def without(records: list[dict]) -> list[dict]:
  """Records that are no gate's: neither blind nor under the null control's model."""
  names = (pivot.REFERENCE, pivot.BLIND)
  return [r for r in records if r["model"] not in names and r["method"] not in names]


def _gate(kind: str, record: dict) -> dict:
  gate = {"kind": kind, "record": record, "holds": None, "leak": None}
  if record["auc_ci"] is not None:
    low, high = record["auc_ci"]
    gate["holds"] = low - _ROUNDING <= 0.5 <= high + _ROUNDING
    gate["leak"] = (high - low) / 2
  return gate
