"""Tables as text: one renderer for Markdown, one for fixed width, and their cells."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scipy import stats

from lsaprobe_jax.metrics import pivot

_NOT_ESTIMABLE = "not estimable"
# Methods that their sources leave open, or that differ from them: see
# docs/evaluation.md.
OUR_READING = ("trajectory", "pfami", "noise_optimisation", "path_error")
# Difficulty calibrations in the order of columns, by what tables call them.
CALIBRATIONS = {
  "none": "raw",
  "reference": "by reference",
  "twins": "by twins",
  "both": "by both",
}


def markdown(cells: Sequence[Sequence[str]]) -> list[str]:
  """Lines of a Markdown table.

  Args:
    cells: one sequence of texts a row, the header first.
  """
  lines = [f"| {' | '.join(row)} |" for row in cells]
  return [lines[0], "|---" * len(cells[0]) + "|", *lines[1:]]


def align(cells: Sequence[Sequence[str]], between: str = "  ") -> list[str]:
  """Lines of a fixed-width table, a rule below the first, its header.

  Args:
    cells: one sequence of texts a row, the header first.
    between: what stands between two columns.
  """
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  lines = [
    between.join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
    for row in cells
  ]
  return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def in_order(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
  """Records of each setting raw first, then calibrated in the order of columns.

  Settings stay in the order in which they come, and so do records of one calibration.
  """
  order = list(CALIBRATIONS)
  found = pivot.groups(records, pivot.SETTING[:-1])
  place = lambda record: order.index(record["difficulty_calibration"])
  return [record for own in found.values() for record in sorted(own, key=place)]


def label(method: str, difficulty_calibration: str, *, short: bool = False) -> str:
  """A method's name: `loss`, `loss by twins`, or `loss by ref` in wide tables."""
  if difficulty_calibration == "none":
    return method
  by = difficulty_calibration
  return f"{method} by {'ref' if short and by == 'reference' else by}"


def setting_cells(record: Mapping[str, Any]) -> list[str]:
  """Method, model, distance and t/T of a record, as a wide table shows them."""
  t_ratio = record["t_ratio"]
  return [
    label(record["method"], record["difficulty_calibration"], short=True),
    record["model"],
    record["distance"] or "-",
    "-" if t_ratio is None else f"{t_ratio:g}",
  ]


def auc(record: Mapping[str, Any]) -> str:
  """An AUC with its interval, or alone where it has none."""
  bounds = "" if record["auc_ci"] is None else f" {interval(record['auc_ci'])}"
  return f"{record['auc']:.3f}{bounds}"


def interval(bounds: Sequence[float] | None) -> str:
  """An interval of AUCs in brackets; a dash in them where there is none."""
  return "[-]" if bounds is None else f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"


def tpr(record: Mapping[str, Any], target: str) -> str:
  """A TPR in percent, starred where few false positives are expected."""
  if record["tpr"][target] is None:
    return _NOT_ESTIMABLE
  return f"{100 * record['tpr'][target]:.1f}%{'*' * record['flagged'][target]}"


def nfe(record: Mapping[str, Any]) -> str:
  """Network function evaluations a clip, forward and backward."""
  counts = record["nfe_forward"], record["nfe_backward"]
  return "/".join("-" if count is None else f"{count:g}" for count in counts)


def p_value(p: float | None) -> str:
  """A p-value with three digits; a dash where there is none."""
  return "-" if p is None else f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def share(hits: int, of: int) -> str:
  """A share in percent with its exact (Clopper-Pearson) 95% interval."""
  low, high = stats.binomtest(hits, of).proportion_ci(method="exact")
  return f"{100 * hits / of:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def readings(records: Iterable[Mapping[str, Any]]) -> list[str]:
  """Lines on a table: which methods are our reading, what noise its times mean."""
  records = list(records)
  found = {record["method"].removesuffix(pivot.NFE_MATCHED) for record in records}
  named = ", ".join(name for name in OUR_READING if name in found)
  lines = [f"Our reading of what the source leaves open: {named}."] if named else []
  times = {(r["t_ratio"], round(r["log_snr"], 1)) for r in records if "log_snr" in r}
  # Models of several schedules may stand in one table.
  by_time = pivot.groups(sorted(times), lambda pair: pair[0])
  if by_time:
    values = lambda pairs: " or ".join(f"{log_snr:.1f}" for _, log_snr in pairs)
    said = ", ".join(f"{values(own)} at {t:g} T" for t, own in by_time.items())
    lines.append(f"log-SNR, by which times of different models compare: {said}.")
  return lines
