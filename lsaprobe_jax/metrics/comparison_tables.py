"""Comparisons with the probe (`comparisons.against`) as tables."""

from collections.abc import Sequence

from lsaprobe_jax.metrics import comparisons, pivot, tables

# Behind a figure of a method that has not the probe's evaluations, after all.
_OFF = "(!)"


def format_comparisons(records: list[dict], family: str = "their number") -> str:
  """A fixed-width table of the records of `comparisons.against`.

  Args:
    records: those of one evaluation, or of an ablation, with the `ablation` and `value`
      of their rows.
    family: what Holm's correction is over, in words.

  Returns:
    Lines of text: a header, one line a record, and what the columns mean.
  """
  ablation = records[0].get("ablation") if records else None
  header = ["method", "model", "distance", "t/T", "AUC", "probe"]
  header += ["minus probe [95% by track]", "p", "p Holm", "clips/tracks"]
  cells = [header, *map(_cells, records)]
  if ablation is not None:
    values = [ablation, *(str(record["value"]) for record in records)]
    cells = [[value, *row] for value, row in zip(values, cells, strict=True)]
  lines = tables.align(cells)
  lines.append(
    "Paired on the clips that both scored. Raw scores are compared with the raw probe,"
    " and those 'by ref' with the probe calibrated by the reference model. p Holm:"
    f" corrected for {family}."
  )
  return "\n".join(lines)


def format_advantage(records: list[dict], baselines: Sequence[str]) -> str:
  """How far the probe is above the baselines, as they are and at equal compute.

  Args:
    records: those of `comparisons.against`, with the `ablation` and `value` of their
      rows. Values where no baseline has been scored both ways are passed over.
    baselines: methods to show; NAME_nfe_matched spends as much as the probe.

  Returns:
    Two Markdown tables, of raw scores and of those calibrated by a reference model, a
    row a value: the probe's AUC and how much less each baseline's is. Holm's correction
    is over all that is shown. Nothing where no value has such baselines.
  """
  names = [n for name in baselines for n in (name, f"{name}{pivot.NFE_MATCHED}")]
  shown = comparisons.corrected(_with_matched(records, names))
  if not shown:
    return ""
  parts = [
    _advantages(tables.label("lsa_probe", calibration), own, names)
    for calibration, own in sorted(
      pivot.groups(shown, "difficulty_calibration").items()
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
  bounds = "[-]"
  if record["ci"] is not None:
    bounds = f"[{record['ci'][0]:+.3f}, {record['ci'][1]:+.3f}]"
  return [
    *tables.setting_cells(record),
    f"{record['auc']:.3f}",
    f"{record['auc_probe']:.3f}",
    f"{record['difference']:+.3f} {bounds}",
    *map(tables.p_value, (record["p_value"], record["p_holm"])),
    f"{record['n']}/{record['n_tracks']}",
  ]
