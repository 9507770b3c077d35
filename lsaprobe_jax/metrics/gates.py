"""The gates of an evaluation: the blind baseline and the null control."""

from lsaprobe_jax.metrics import pivot, tables

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
  return [_read(kind, record) for kind, record in kinds]


def format_gates(records: list[dict]) -> str:
  """The two gates (docs/evaluation.md, rule 5), read on side a against side b.

  The first line is the blind baseline: its AUC, its interval clustered by track,
  whether that contains 0.5, and the half-width of the interval. An AUC of this
  classifier that is nearer to 0.5 is not told from it at 5%. Then comes the null
  control, one line for each raw setting scored under the reference.

  Args:
    records: see `summary.summarise`.

  Returns:
    Lines of text; a gate that failed, or was not run, says so.
  """
  found = read(records)
  lines = [_line(gate) for gate in found]
  if not any(gate["kind"] == pivot.BLIND for gate in found):
    lines.insert(
      0, "blind baseline: NOT RUN, so nothing shows that the split does not leak"
    )
  if not any(gate["kind"] == pivot.REFERENCE for gate in found):
    lines.append("null control: NOT RUN (no rows under a model that saw neither side)")
  return "\n".join(lines)


def brief_gates(records: list[dict]) -> str:
  """The gates in two lines, or all in full where one failed or was not run.

  Args:
    records: see `summary.summarise`.
  """
  found = read(records)
  full = format_gates(records).splitlines()
  if len(found) < len(full) or not all(gate["holds"] for gate in found):
    return "\n".join(full)
  null = sum(gate["kind"] == pivot.REFERENCE for gate in found)
  lines = [line.partition("; an AUC of")[0] for line in full[: len(full) - null]]
  lines.append(
    f"null control, the reference's own scores: {null} of {null} contain 0.5"
  )
  return "\n".join(lines)


def without(records: list[dict]) -> list[dict]:
  """Records that are no gate's: neither blind nor under the null control's model."""
  names = (pivot.REFERENCE, pivot.BLIND)
  return [r for r in records if r["model"] not in names and r["method"] not in names]


def _read(kind: str, record: dict) -> dict:
  gate = {"kind": kind, "record": record, "holds": None, "leak": None}
  if record["auc_ci"] is not None:
    low, high = record["auc_ci"]
    gate["leak"] = (high - low) / 2
    # Scores that do not vary would hold whatever the models saw.
    if gate["leak"] > 0:
      gate["holds"] = low - _ROUNDING <= 0.5 <= high + _ROUNDING
  return gate


def _line(gate: dict) -> str:
  record = gate["record"]
  if gate["kind"] == pivot.BLIND:
    name, failure = "blind baseline, A against B", "THE SPLIT LEAKS"
  else:
    name, failure = f"null control, {_setting(record)}", "THE NULL CONTROL FAILS"
  line = f"{name} ({record['corpus']}): AUC {record['auc']:.3f}"
  if gate["holds"] is None:
    why = "no interval (a side has a single track)"
    if gate["leak"] is not None:
      why = "its scores do not vary"
    return f"{line}, {why}: NOT ESTABLISHED"
  line += f" {tables.interval(record['auc_ci'])} by track, "
  line += "contains 0.5" if gate["holds"] else f"does not contain 0.5: {failure}"
  of = "this classifier" if gate["kind"] == pivot.BLIND else "this method"
  return f"{line}; an AUC of {of} within {gate['leak']:.3f} of 0.5 would not be seen"


def _setting(record: dict) -> str:
  parts = [record["method"], record["distance"]]
  if record["t_ratio"] is not None:
    parts.append(f"t = {record['t_ratio']:g} T")
  return " ".join(part for part in parts if part)
