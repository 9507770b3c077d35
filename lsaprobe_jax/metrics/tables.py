"""Records (`summary`) as text: the gates, the main table, operating points."""

from scipy import stats

from lsaprobe_jax.metrics import summary

NOT_ESTIMABLE = (
  "not estimable: n non-members say nothing of a rate below 1 / (n + 1) of a model."
)


def format_gates(records: list[dict]) -> str:
  """The two gates of BASELINES rule 5; they are read on side a against side b.

  The first line is the blind baseline: its AUC, its interval clustered by track,
  whether that contains 0.5, and the half-width of the interval: an AUC of this
  classifier that is nearer to 0.5 is not told from it at 5%. Then
  the null control, one line for each raw setting scored under the reference.

  Args:
    records: see `summary.summarise`.

  Returns:
    Lines of text; a gate that failed, or was not run, says so.
  """
  found = summary.gates(records)
  lines = [_gate(gate) for gate in found]
  if not any(gate["kind"] == summary.BLIND for gate in found):
    lines.insert(
      0, "blind baseline: NOT RUN, so nothing shows that the split does not leak"
    )
  if not any(gate["kind"] == summary.REFERENCE for gate in found):
    lines.append("null control: NOT RUN (no rows under a model that saw neither side)")
  return "\n".join(lines)


def format_table(records: list[dict]) -> str:
  """A fixed-width table of all records but the null control's.

  Args:
    records: see `summary.summarise`.

  Returns:
    Lines of text: a header, one line a record, and what the columns mean.
  """
  shown = [r for r in records if r["model"] != summary.REFERENCE]
  targets = list(shown[0]["tpr"]) if shown else []
  header = ["method", "model", "distance", "t/T", "n m/n", "AUC [95% by track]"]
  header += ["[DeLong]", *(f"TPR% at {float(t):.1%} FPR" for t in targets)]
  header += ["FPR%", "FP", "fwd/bwd", "reached"]
  lines = align([header, *(_cells(r, targets) for r in shown)])
  few = any(flag for r in shown for flag in r["flagged"].values())
  lines.append(
    "FPR%, FP: realised rate and false positives at each target; fwd/bwd: median"
    " network evaluations a clip."
  )
  lines += ["* fewer than 10 false positives expected: read with care."] * few
  lines += [NOT_ESTIMABLE] * any(v is None for r in shown for v in r["tpr"].values())
  return "\n".join(lines + summary.readings(shown))


def format_operating_points(records: list[dict]) -> str:
  """A fixed-width table of what the scores are worth at each target FPR.

  Cross-over means, and the targets of settings without one; the blind baseline and
  the null control are gates and have no line.

  Args:
    records: see `summary.summarise`.

  Returns:
    Lines of text: a header, one line a record and target, and what the columns mean.
  """
  means = {summary.setting_of(r) for r in records if r["model"] == "mean"}
  shown = [
    r
    for r in records
    if r["method"] != summary.BLIND
    and r["model"] != summary.REFERENCE
    and (r["model"] == "mean" or summary.setting_of(r) not in means)
  ]
  header = ["method", "model", "distance", "t/T", "FPR", "TPR% (FPR%) on ROC", "ties"]
  header += ["TPR% (FPR%) cut on dev", "n dev"]
  header += [f"precision at {b:.0%} >=" for b in summary.BASE_RATES]
  cells = [_operating_cells(r, target) for r in shown for target in r["tpr"]]
  lines = align([header, *cells])
  flagged = any(flag for r in shown for flag in r["flagged"].values())
  lines += [
    "(FPR%): realised on the test clips; ties: clips at the cut, one a model is none.",
    "cut on dev: fixed beforehand on development non-members, 'not estimable' where"
    " the target is below 1 / n dev of a model; on ROC, where it is below"
    " 1 / (n non-members + 1).",
    "precision at a base rate of members: 95% lower bound, by the lower end of TPR's"
    " interval and the upper bounds on each model's FPR.",
  ]
  lines += ["* fewer than 10 false positives expected: read with care."] * flagged
  return "\n".join(lines)


def share(hits: int, of: int) -> str:
  """A share in percent with its exact (Clopper-Pearson) 95% interval."""
  low, high = stats.binomtest(hits, of).proportion_ci(method="exact")
  return f"{100 * hits / of:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def align(cells: list[list[str]]) -> list[str]:
  """Lines of a fixed-width table, a rule below the first, its header."""
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  lines = [
    "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
    for row in cells
  ]
  return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def setting_cells(record: dict) -> list[str]:
  """Method, model, distance and t/T of a record, as a table shows them."""
  t_ratio = record["t_ratio"]
  return [
    record["method"]
    + (" by ref" if record["difficulty_calibration"] == "reference" else ""),
    record["model"],
    record["distance"] or "-",
    "-" if t_ratio is None else f"{t_ratio:g}",
  ]


def _gate(gate: dict) -> str:
  record = gate["record"]
  if gate["kind"] == summary.BLIND:
    name, failure = "blind baseline, A against B", "THE SPLIT LEAKS"
  else:
    name, failure = f"null control, {_setting(record)}", "THE NULL CONTROL FAILS"
  line = f"{name} ({record['corpus']}): AUC {record['auc']:.3f}"
  if gate["holds"] is None:
    return f"{line}, no interval (a side has a single track): NOT ESTABLISHED"
  line += f" {_bounds(record['auc_ci'])} by track, "
  line += "contains 0.5" if gate["holds"] else f"does not contain 0.5: {failure}"
  of = "this classifier" if gate["kind"] == summary.BLIND else "this method"
  return f"{line}; an AUC of {of} within {gate['leak']:.3f} of 0.5 would not be seen"


def _setting(record: dict) -> str:
  parts = [record["method"], record["distance"]]
  if record["t_ratio"] is not None:
    parts.append(f"t = {record['t_ratio']:g} T")
  return " ".join(part for part in parts if part)


def _cells(record: dict, targets: list[str]) -> list[str]:
  reached = record["reached"]
  passes = [record["nfe_forward"], record["nfe_backward"]]
  return [
    *setting_cells(record),
    f"{record['n_member']}/{record['n_nonmember']}",
    f"{record['auc']:.3f} {_bounds(record['auc_ci'])}",
    _bounds(record["auc_ci_delong"]),
    *(_tpr(record, target) for target in targets),
    "/".join(f"{100 * record['fpr_realised'][t]:.1f}" for t in targets),
    "/".join(str(record["false_positives"][t]) for t in targets),
    "/".join("-" if p is None else f"{p:g}" for p in passes),
    "-" if reached is None else f"{reached:.0%}",
  ]


def _operating_cells(record: dict, target: str) -> list[str]:
  rate = record["tpr_dev_cutoff"][target]
  realised = f"({100 * record['fpr_realised'][target]:.1f})"
  precisions = record["precision"][target].values()
  return [
    *setting_cells(record),
    f"{float(target):.1%}",
    "not estimable"
    if record["tpr"][target] is None
    else f"{100 * record['tpr'][target]:.1f} {realised}"
    f"{'*' * record['flagged'][target]}",
    str(record["ties"][target]),
    "not estimable"
    if rate is None
    else f"{100 * rate:.1f} ({100 * record['fpr_dev_cutoff'][target]:.1f})",
    str(record["n_dev"]),
    *("-" if value is None else f"{value:.1%}" for value in precisions),
  ]


def _tpr(record: dict, target: str) -> str:
  if record["tpr"][target] is None:
    return "not estimable"
  text = f"{100 * record['tpr'][target]:.1f}"
  if record["tpr_ci"][target] is not None:
    low, high = record["tpr_ci"][target]
    text += f" [{100 * low:.0f}, {100 * high:.0f}]"
  return text + ("*" if record["flagged"][target] else "")


def _bounds(interval: list[float] | None) -> str:
  return "[-]" if interval is None else f"[{interval[0]:.3f}, {interval[1]:.3f}]"
