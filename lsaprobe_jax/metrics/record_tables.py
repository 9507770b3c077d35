"""Records (`summary`) as tables: calibrations side by side, operating points."""

from collections.abc import Callable, Sequence

from lsaprobe_jax.metrics import pivot, tables

SIDE_BY_SIDE = """\
AUC with its 95% interval by track; 0.5 is guessing, and the best AUC of a line decides
its place. By reference: less the score under a reference model, which must have seen
neither half. By twins: less the mean score of the clip's twins under the same model,
which needs nothing but the clip. By both: less both. NFE: network function evaluations
a clip of the raw score, forward/backward; each twin spends as many again, and so does
a reference model."""

# The same in two lines of a screen.
IN_SHORT = """\
AUC, 95% interval by track; 0.5 is guessing. By reference: less the score under a model
that saw neither half. By twins: less that of the clip's twins under the same model."""

NOT_ESTIMABLE = (
  "not estimable: n non-members say nothing of a rate below 1 / (n + 1) of a model."
)
_FEW = "* fewer than 10 false positives expected: read with care."
_SHOWN = ("0.01", "0.05")  # FPRs of the main table
_WIDEST = 100  # columns of a screen


def format_side_by_side(records: list[dict]) -> str:
  """A fixed-width table of AUCs, one line a method, one column a calibration.

  It has cross-over means or, where there is one target only, its own records; the line
  whose best AUC is the highest comes first. It is at most 100 columns wide for names of
  up to 18 letters. `SIDE_BY_SIDE` says what the columns are.

  Args:
    records: see `summary.summarise`.

  Returns:
    Lines of text: a header and one line a method, with a dash for a calibration that
    is missing.
  """
  header = ["method", "t/T", "distance", "NFE", *tables.CALIBRATIONS.values()]
  cells = [[*_line(own), *_columns(own, _narrow_auc)] for own in _side_by_side(records)]
  for row in cells:
    row[0] = row[0].replace(pivot.NFE_MATCHED, " at equal NFE")
  lines = tables.align([header, *cells])
  if max(map(len, lines)) > _WIDEST:
    lines = tables.align([header, *cells], " ")
  return "\n".join(lines)


def markdown_side_by_side(
  records: list[dict], methods: Sequence[str] | None = None
) -> str:
  """The table of `format_side_by_side` in Markdown, with whole intervals.

  Args:
    records: see `summary.summarise`.
    methods: those to show; all by default.
  """
  lines = _side_by_side(
    [r for r in records if methods is None or r["method"] in methods]
  )
  header = ["method", "t/T", "distance", "NFE", *tables.CALIBRATIONS.values()]
  cells = [[*_line(own), *_columns(own, tables.auc)] for own in lines]
  shown = [record for own in lines for record in own.values()]
  return _with_notes(tables.markdown([header, *cells]), tables.readings(shown))


def format_table(records: list[dict]) -> str:
  """A fixed-width table of all records but the null control's.

  Args:
    records: see `summary.summarise`.

  Returns:
    Lines of text: a header, one line a record, and what the columns mean.
  """
  shown = tables.in_order(r for r in records if r["model"] != pivot.REFERENCE)
  targets = list(shown[0]["tpr"]) if shown else []
  header = ["method", "model", "distance", "t/T", "n m/n", "AUC [95% by track]"]
  header += ["[DeLong]", *(f"TPR% at {float(t):.1%} FPR" for t in targets)]
  header += ["FPR%", "FP", "NFE", "reached"]
  lines = tables.align([header, *(_cells(r, targets) for r in shown)])
  lines.append(
    "FPR%, FP: realised rate and false positives at each target; NFE: network function"
    " evaluations a clip, forward/backward, median."
  )
  lines += [_FEW] * any(flag for r in shown for flag in r["flagged"].values())
  lines += [NOT_ESTIMABLE] * any(v is None for r in shown for v in r["tpr"].values())
  return "\n".join(lines + tables.readings(shown))


def format_operating_points(records: list[dict]) -> str:
  """A fixed-width table of what the scores are worth at each target FPR.

  It has cross-over means, and the targets of settings without one; the blind baseline
  and the null control are gates and have no line.

  Args:
    records: see `summary.summarise`.

  Returns:
    Lines of text: a header, one line a record and target, and what the columns mean.
  """
  means = {pivot.setting_of(r) for r in records if r["model"] == "mean"}
  shown = tables.in_order(
    r
    for r in records
    if r["method"] != pivot.BLIND
    and r["model"] != pivot.REFERENCE
    and (r["model"] == "mean" or pivot.setting_of(r) not in means)
  )
  header = ["method", "model", "distance", "t/T", "FPR", "TPR% (FPR%) on ROC", "ties"]
  header += ["TPR% (FPR%) cut on dev", "n dev"]
  rates = list(next(iter(shown[0]["precision"].values()))) if shown else []
  header += [f"precision at {float(rate):.0%} >=" for rate in rates]
  cells = [_operating_cells(r, target) for r in shown for target in r["tpr"]]
  lines = tables.align([header, *cells])
  lines += [
    "(FPR%): realised on the test clips; ties: clips at the cut, one a model is none.",
    "cut on dev: fixed beforehand on the n dev development tracks, 'not estimable'"
    " where the target is below 1 / (n dev + 1) of a model; on ROC, where it is below"
    " 1 / (n non-member tracks + 1).",
    "precision at a base rate of members: 95% lower bound, by the lower end of TPR's"
    " interval and the upper bounds on each model's FPR.",
  ]
  lines += [_FEW] * any(flag for r in shown for flag in r["flagged"].values())
  return "\n".join(lines)


def markdown_main(records: list[dict]) -> str:
  """The main table, cross-over means (or single targets), best AUC first.

  It has the TPR at 1% and 5% FPR where some record's non-members are enough for that.
  """
  shown = [r for r in pivot.headline(records) if r["method"] != pivot.BLIND]
  shown.sort(key=lambda r: -r["auc"])
  targets = [t for t in _SHOWN if any(r["tpr"][t] is not None for r in shown)]
  columns = ["method", "distance", "t/T", "AUC [95% by track]"]
  columns += [f"TPR at {float(t):.0%} FPR" for t in targets]
  cells = [[*columns, "NFE, forward/backward"]]
  for r in shown:
    name = tables.label(r["method"], r["difficulty_calibration"])
    time = "" if r["t_ratio"] is None else f"{r['t_ratio']:g}"
    cells.append([name, r["distance"] or "", time, tables.auc(r)])
    cells[-1] += [*(tables.tpr(r, target) for target in targets), tables.nfe(r)]
  return _with_notes(tables.markdown(cells), tables.readings(shown))


def markdown_ablation(records: list[dict], tpr_at: str | None = None) -> str:
  """AUC of every method (rows) at every value of an ablation (columns).

  A method that the ablation leaves alone, with the same figure at every value, has no
  row and is named once below the table.

  Args:
    records: `study.ablation_records`.
    tpr_at: where given, the TPR at this FPR instead: '0.001', '0.01' or '0.05'.
  """
  show = tables.auc if tpr_at is None else lambda record: tables.tpr(record, tpr_at)
  shown = pivot.headline(records)
  values = list(dict.fromkeys(r["value"] for r in shown))
  cells, same = [[records[0]["ablation"], *map(str, values)]], []
  method_of = lambda r: tables.label(r["method"], r["difficulty_calibration"])
  for name, own in pivot.groups(tables.in_order(shown), method_of).items():
    # Where several settings share a value, the last is shown.
    at = {r["value"]: show(r) for r in own}
    if len(values) > 1 and len(at) == len(values) and len(set(at.values())) == 1:
      same.append(f"{name} {at[values[0]]}")
    else:
      cells.append([name, *(at.get(value, "") for value in values)])
  notes = [f"The same at every value: {'; '.join(same)}."] if same else []
  return _with_notes(tables.markdown(cells), notes + tables.readings(shown))


def narrow_ablation(records: list[dict]) -> str:
  """A fixed-width table of AUCs as `format_side_by_side` has them, a column a value.

  Args:
    records: headline records of an ablation, in the order of their lines.
  """
  values = sorted({r["value"] for r in records})
  label_of = lambda r: tables.label(r["method"], r["difficulty_calibration"])
  cells = [[records[0]["ablation"], *map(str, values)]]
  for name, own in pivot.groups(records, label_of).items():
    at = {r["value"]: _narrow_auc(r) for r in own}
    cells.append([name, *(at.get(value, "-") for value in values)])
  return "\n".join(tables.align(cells))


def by_value(
  records: Sequence[dict], show: Callable[[list[dict]], str], *, once: bool = False
) -> str:
  """The same table of the records of each value of an ablation.

  Args:
    records: with the `value` of each.
    show: makes the table of one value's records.
    once: whether lines that all values share stand once, in front.
  """
  found = pivot.groups(records, "value")
  texts = {value: show(own).splitlines() for value, own in found.items()}
  parts = []
  if once and len(texts) > 1:
    first = next(iter(texts.values()))
    shared = [line for line in first if all(line in own for own in texts.values())]
    texts = {v: [ln for ln in own if ln not in shared] for v, own in texts.items()}
    parts = ["\n".join(["at every value:", *shared])] if shared else []
  parts += ["\n".join([f"{value}:", *own]) for value, own in texts.items() if own]
  return "\n\n".join(parts)


def _side_by_side(records: list[dict]) -> list[dict[str, dict]]:
  """Headline records by calibration, one dictionary a method, best AUC first."""
  shown = [r for r in pivot.headline(records) if r["method"] != pivot.BLIND]
  key = (*pivot.SETTING[:-1], "model")
  lines = pivot.pivot(shown, key, "difficulty_calibration").values()
  return sorted(lines, key=lambda own: -max(r["auc"] for r in own.values()))


def _line(own: dict[str, dict]) -> list[str]:
  """Method, t/T, distance and the NFE of the raw score."""
  any_of = next(iter(own.values()))
  # Without a cross-over each target has a line.
  model = "" if any_of["model"] == "mean" else f" ({any_of['model']})"
  _, _, distance, t_ratio = tables.setting_cells(any_of)
  nfe = tables.nfe(own["none"]) if "none" in own else "-"
  return [any_of["method"] + model, t_ratio, distance, nfe]


def _columns(own: dict[str, dict], show: Callable[[dict], str]) -> list[str]:
  return [show(own[name]) if name in own else "-" for name in tables.CALIBRATIONS]


def _narrow_auc(record: dict) -> str:
  """An AUC and its interval in twelve columns: `.652 .58-.72`."""
  narrow = lambda value, digits: f"{value:.{digits}f}".removeprefix("0")
  # One of 1 has a digit before its point.
  text = narrow(record["auc"], 3)[:4]
  if record["auc_ci"] is None:
    return text
  return text + " " + "-".join(narrow(v, 2)[:3] for v in record["auc_ci"])


def _with_notes(lines: list[str], notes: list[str]) -> str:
  return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def _cells(record: dict, targets: list[str]) -> list[str]:
  reached = record["reached"]
  return [
    *tables.setting_cells(record),
    f"{record['n_member']}/{record['n_nonmember']}",
    f"{record['auc']:.3f} {tables.interval(record['auc_ci'])}",
    tables.interval(record["auc_ci_delong"]),
    *(_tpr(record, target) for target in targets),
    "/".join(f"{100 * record['fpr_realised'][t]:.1f}" for t in targets),
    "/".join(str(record["false_positives"][t]) for t in targets),
    tables.nfe(record),
    "-" if reached is None else f"{reached:.0%}",
  ]


def _operating_cells(record: dict, target: str) -> list[str]:
  rate = record["tpr_dev_cutoff"][target]
  realised = f"({100 * record['fpr_realised'][target]:.1f})"
  precisions = record["precision"][target].values()
  return [
    *tables.setting_cells(record),
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
