"""Comparisons (`comparisons`) as tables: with the probe, of twins with a reference."""

from collections.abc import Sequence

from lsaprobe_jax.metrics import comparisons, pivot, tables

# Behind a figure of a method that has not the probe's evaluations, after all.
_OFF = "(!)"


def format_comparisons(
  records: list[dict], family: str = "their number", probe: str = "probe"
) -> str:
  """A fixed-width table of the records of `comparisons.against`.

  Args:
    records: those of one evaluation, or of an ablation, with the `ablation` and `value`
      of their rows.
    family: what Holm's correction is over, in words.
    probe: what they are compared with, in words.

  Returns:
    Lines of text: a header, one line a record, and what the columns mean.
  """
  header = ["method", "model", "distance", "t/T", "AUC", probe]
  header += [f"minus {probe} [95% by track]", "p", "p Holm", "clips/tracks"]
  lines = tables.align(_with_values(records, [header, *map(_cells, records)]))
  lines.append(
    "Paired on the clips that both scored. Raw scores are compared with the raw"
    f" {probe}, and those by ref, by twins and by both with the {probe} calibrated"
    f" alike. p Holm: corrected for {family}."
  )
  return "\n".join(lines)


def format_twins(records: list[dict], family: str = "their number") -> str:
  """A fixed-width table of the records of `comparisons.twins_against_reference`.

  Args:
    records: those of one evaluation, or of an ablation, with the `ablation` and `value`
      of their rows.
    family: what Holm's correction is over, in words.

  Returns:
    Lines of text: a header, one line a record, and what the columns mean.
  """
  header = ["method", "model", "distance", "t/T", "by twins", "by ref"]
  header += ["twins minus ref [95% by track]", "p", "p Holm", "clips/tracks"]
  cells = [header]
  for record in records:
    aucs = record["auc_twins"], record["auc_reference"]
    # The calibrations have columns of their own.
    setting = tables.setting_cells(record | {"difficulty_calibration": "none"})
    cells.append([*setting, *(f"{auc:.3f}" for auc in aucs), *_difference(record)])
  lines = tables.align(_with_values(records, cells))
  lines.append(
    "Difficulty taken off by the clip's twins, against by the reference model: paired"
    " on the clips that have both, and positive where twins are the better. p Holm:"
    f" corrected for {family}."
  )
  return "\n".join(lines)


def format_side_by_side(
  records: list[dict], twins: list[dict], methods: Sequence[str] | None = None
) -> str:
  """Both kinds of comparisons in one narrow table, a line a method.

  Args:
    records: those of `comparisons.against`, of one evaluation.
    twins: those of `comparisons.twins_against_reference` of the same rows.
    methods: those to show; all by default. All count in the correction.

  Returns:
    Lines of text: a header, one line a method, and what the columns mean.
  """
  there = {record["difficulty_calibration"] for record in records}
  columns = {k: v for k, v in tables.CALIBRATIONS.items() if k in there}
  header = ["minus the probe:", *columns.values(), *["twins minus ref"] * bool(twins)]
  key = ("corpus", "method", "distance", "t_ratio", "model")
  against = pivot.pivot(records, key, "difficulty_calibration")
  own = pivot.pivot(twins, key)
  cells = []
  for setting in dict.fromkeys([*against, *own]):
    if methods is not None and setting[1] not in methods:
      continue
    found = against.get(setting, {})
    row = [_narrow(found.get(name)) for name in columns]
    row += [_narrow(own.get(setting))] * bool(twins)
    model = "" if setting[-1] == "mean" else f" ({setting[-1]})"
    name = setting[1].replace(pivot.NFE_MATCHED, " at equal NFE")
    cells.append([name + model, *row])
  lines = tables.align([header, *cells])
  lines.append(
    "Differences of AUCs, paired by clip and clustered by track, with p after Holm's"
    f"\ncorrection over all {len(records)} differences from the probe, which is"
    " calibrated alike,"
    f"\nand over the {len(twins)} of twins from the reference model." * bool(twins)
  )
  return "\n".join(lines)


def format_advantage(records: list[dict], baselines: Sequence[str]) -> str:
  """How far the probe is above the baselines, as they are and at equal compute.

  Args:
    records: those of `comparisons.against`, with the `ablation` and `value` of their
      rows. Values where no baseline has been scored both ways are passed over.
    baselines: methods to show; NAME_nfe_matched spends as much as the probe.

  Returns:
    Markdown tables, of raw scores and of those of each difficulty calibration, a row a
    value: the probe's AUC and how much less each baseline's is. Holm's correction is
    over all that is shown. Nothing where no value has such baselines.
  """
  names = [n for name in baselines for n in (name, f"{name}{pivot.NFE_MATCHED}")]
  shown = comparisons.corrected(_with_matched(records, names))
  if not shown:
    return ""
  parts = [
    _advantages(tables.label("lsa_probe", calibration), own, names)
    for calibration, own in sorted(
      pivot.groups(shown, "difficulty_calibration").items(),
      key=lambda item: list(tables.CALIBRATIONS).index(item[0]),
    )
  ]
  parts.append(
    "**Bold**: p < 0.05, paired by clip, clustered by track, corrected over all"
    f" {len(shown)} differences shown here. {_OFF}: not within 5% of the probe's"
    " NFE."
  )
  return "\n\n".join(parts)


def _advantages(title: str, records: list[dict], names: Sequence[str]) -> str:
  """A Markdown table: a row a value of an ablation, a column a baseline."""
  cells = [["ablation", "value", title, *(f"minus {name}" for name in names)]]
  found = pivot.pivot(records, ("ablation", "value", "model"), "method")
  for (ablation, value, model), own in found.items():
    label = value if model == "mean" else f"{value} ({model})"
    probe = next(iter(own.values()))["auc_probe"]
    cells.append([ablation, str(label), f"{probe:.3f}"])
    cells[-1] += [_advantage(own[name]) if name in own else "" for name in names]
  return "\n".join(tables.markdown(cells))


def _with_matched(records: list[dict], names: Sequence[str]) -> list[dict]:
  """Records of these methods at values where some are there in both forms."""
  named = [record for record in records if record["method"] in names]
  places = pivot.groups(named, ("ablation", "value")).values()
  is_matched = lambda record: record["method"].endswith(pivot.NFE_MATCHED)
  kept = [own for own in places if len(set(map(is_matched, own))) == 2]
  return [record for own in kept for record in own]


def _advantage(record: dict) -> str:
  # Adding 0 turns a -0 into 0.
  text = f"{round(-record['difference'], 3) + 0.0:+.3f}"
  off = abs(record["nfe"] / record["nfe_probe"] - 1) > 0.05
  text += _OFF * (record["method"].endswith(pivot.NFE_MATCHED) and off)
  significant = record["p_holm"] is not None and record["p_holm"] < 0.05
  return f"**{text}**" if significant else text


def _cells(record: dict) -> list[str]:
  aucs = record["auc"], record["auc_probe"]
  return [
    *tables.setting_cells(record),
    *(f"{auc:.3f}" for auc in aucs),
    *_difference(record),
  ]


def _difference(record: dict) -> list[str]:
  """A difference with its interval, both p-values, and clips over tracks."""
  bounds = "[-]"
  if record["ci"] is not None:
    bounds = f"[{record['ci'][0]:+.3f}, {record['ci'][1]:+.3f}]"
  return [
    f"{record['difference']:+.3f} {bounds}",
    *map(tables.p_value, (record["p_value"], record["p_holm"])),
    f"{record['n']}/{record['n_tracks']}",
  ]


def _narrow(record: dict | None) -> str:
  """A difference and its corrected p-value: `+0.047 (.021)`; a dash without."""
  if record is None:
    return "-"
  p = record["p_holm"]
  text = "-" if p is None else "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")
  return f"{record['difference']:+.3f} ({text})"


def _with_values(records: list[dict], cells: list[list[str]]) -> list[list[str]]:
  """Rows below a header, with the value of an ablation in front where it has one."""
  ablation = records[0].get("ablation") if records else None
  if ablation is None:
    return cells
  values = [ablation, *(str(record["value"]) for record in records)]
  return [[value, *row] for value, row in zip(values, cells, strict=True)]
