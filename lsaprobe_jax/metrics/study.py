"""A study: rows of a main evaluation and of its ablations, to records.

A study is a folder of row files, NAME.jsonl or NAME.jsonl.gz. `main` holds the rows of
the main table, `tune` the same methods on tune tracks (for what must be fitted where
labels are known), and any other file an ablation, whose rows say under `value` at
which setting they were made. Records are those of `summary.summarise`; an ablation's
carry `ablation` and `value` besides, one tidy record a setting and method.
"""

import gzip
import pathlib
import zlib
from collections.abc import Callable, Iterable

import numpy as np

from lsaprobe_jax.metrics import combination, difficulty, summary
from lsaprobe_jax.rows import has_score, parse_rows, row_lines

MAIN, TUNE = "main", "tune"
_SHOWN = ("0.01", "0.05")  # FPRs of the main table

# What a logistic regression fitted on tune tracks puts together, by its name.
PROBE, GRADIENT_NORM, LOSS = "lsa_probe", "gradient_norm", "loss"
GSA_CLASSIFIER, COMBINATION = "gsa_classifier", "combination"
_COMBINED = (LOSS, "pia", "sima", "random_stability", PROBE)


def read(folder: pathlib.Path) -> dict[str, list[dict]]:
  """Rows by the name of their file.

  Raises:
    ValueError: no such folder, no `main` in it, or a line that is not a row.
  """
  if not folder.is_dir():
    raise ValueError(f"{folder}: no such folder; give one that launch.sweep wrote")
  parts = {}
  for path in sorted([*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")]):
    text = path.read_bytes()
    try:
      text = gzip.decompress(text) if path.suffix == ".gz" else text
    except (OSError, EOFError, zlib.error) as error:
      raise ValueError(f"{path}: damaged ({error}); write it again") from error
    if text and not text.endswith(b"\n"):
      raise ValueError(f"{path}: damaged (ends in half a row); write it again")
    # At each value of an ablation, and less a reference's score too, a row is another.
    rows = parse_rows(path, text, more=("value", "difficulty_calibration")).values()
    parts[path.name.split(".")[0]] = [row for row in rows if has_score(row)]
  if MAIN not in parts:
    raise ValueError(f"{folder}: has no {MAIN}.jsonl(.gz); give a folder of rows")
  return parts


def check_ablations(parts: dict[str, list[dict]]) -> None:
  """Refuses files of ablations whose rows do not say at which value they were made.

  Args:
    parts: see `read`.

  Raises:
    ValueError: names the file.
  """
  for name, rows in parts.items():
    for row in () if name in (MAIN, TUNE) else rows:
      if not isinstance(row.get("value"), str | int | float):
        raise ValueError(
          f"{name}.jsonl: a row of {row['clip']} says under no `value` at which"
          " setting it was made; remove the file or write it again"
        )


def pack(rows: Iterable[dict]) -> bytes:
  """Rows as the bytes of a .jsonl.gz, the same for the same rows."""
  return gzip.compress(row_lines(list(rows)).encode(), mtime=0)


def pool(rows: Iterable[dict], over: str) -> list[dict]:
  """Mean score of a clip over the values of a field (`seed`, `t_ratio`).

  Args:
    rows: of one method and distance under any models, each value once a clip.
    over: the field that goes; the pooled row keeps its first value.

  Returns:
    One row a clip and model: mean score, passes and seconds summed, no cost,
    `reached` where all were.
  """
  same: dict[tuple, list[dict]] = {}
  for row in rows:
    same.setdefault((row["model"], row["method"], row["clip"]), []).append(row)
  pooled = []
  for group in same.values():
    if len({row[over] for row in group}) < len(group):
      raise ValueError(f"{group[0]['clip']}: two rows of the same {over}")
    found = [row["reached"] for row in group if row["reached"] is not None]
    spent = ("nfe_forward", "nfe_backward", "seconds")
    pooled.append(
      group[0]
      | {name: sum(row[name] for row in group) for name in spent}
      | {
        "score": float(np.mean([row["score"] for row in group])),
        "cost": None,
        "reached": all(found) if found else None,
      }
    )
  return pooled


def main_rows(parts: dict[str, list[dict]]) -> list[dict]:
  """Rows of the main table: as scored, fitted on tune tracks, and less a reference's.

  Where there are tune rows, two classifiers are fitted on them: on the norms of
  gradients (GSA), and on several methods together. Where there are rows of a
  reference, every method comes calibrated too (BASELINES rule 9).
  """
  rows = list(parts[MAIN])
  tune = parts.get(TUNE, [])
  fitted = []
  if tune:
    names = {row["method"] for row in rows}
    if GRADIENT_NORM in names:
      fitted += combination.from_details(
        tune, rows, method=GRADIENT_NORM, detail="norms", name=GSA_CLASSIFIER
      )
    together = [method for method in _COMBINED if method in names]
    if len(together) > 1:
      fitted += combination.from_scores(
        _complete(tune, together), _complete(rows, together), together, name=COMBINATION
      )
  return rows + fitted + difficulty.by_reference(rows)


def _complete(rows: list[dict], methods: list[str]) -> list[dict]:
  """Rows of clips that every method has scored: one that failed must not end all."""
  scored: dict[tuple, set] = {}
  for row in rows:
    scored.setdefault((row["model"], row["clip"]), set()).add(row["method"])
  return [row for row in rows if scored[row["model"], row["clip"]].issuperset(methods)]


def records_by_value(
  name: str, rows: list[dict], summarise: Callable[[list[dict]], list[dict]]
) -> list[dict]:
  """Records of an ablation: those of each value, raw and calibrated, and its gates'.

  Args:
    name: of the ablation.
    rows: with the `value` at which they were made.
    summarise: `summary.summarise` with its settings.
  """
  values = list(dict.fromkeys(row["value"] for row in rows))
  records = []
  for value in values:
    own = [row for row in rows if row["value"] == value]
    own += difficulty.by_reference(own)
    records += [
      {"ablation": name, "value": value} | record for record in summarise(own)
    ]
  return records


def ablation_records(
  name: str, rows: list[dict], summarise: Callable[[list[dict]], list[dict]]
) -> list[dict]:
  """Those of `records_by_value` that are tabulated and drawn."""
  return without_gates(records_by_value(name, rows, summarise))


def without_gates(records: list[dict]) -> list[dict]:
  """Those that are no gate's: neither blind nor under a model that saw neither side."""
  gates = (summary.REFERENCE, summary.BLIND)
  return [r for r in records if r["model"] not in gates and r["method"] not in gates]


def markdown_main(records: list[dict]) -> str:
  """The main table, cross-over means (or single targets), best AUC first.

  It has the TPR at 1% and 5% FPR where some record's non-members are enough for that.
  """
  shown = [r for r in headline(records) if r["method"] != summary.BLIND]
  shown.sort(key=lambda r: -r["auc"])
  targets = [t for t in _SHOWN if any(r["tpr"][t] is not None for r in shown)]
  columns = ["method", "distance", "t/T", "AUC [95% by track]"]
  columns += [f"TPR at {float(t):.0%} FPR" for t in targets]
  columns += ["evaluations, forward/backward"]
  lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
  for r in shown:
    name = label(r["method"], r["difficulty_calibration"])
    time = "" if r["t_ratio"] is None else f"{r['t_ratio']:g}"
    cells = [name, r["distance"] or "", time, _auc(r)]
    cells += [_tpr(r, target) for target in targets]
    cells += [f"{r['nfe_forward']:g}/{r['nfe_backward']:g}"]
    lines.append(f"| {' | '.join(cells)} |")
  lines += [f"\n{line}" for line in summary.readings(shown)]
  return "\n".join(lines)


def markdown_ablation(records: list[dict], tpr_at: str | None = None) -> str:
  """AUC of every method (rows) at every value of an ablation (columns).

  Args:
    records: `ablation_records`.
    tpr_at: where given, the TPR at this FPR instead: '0.001', '0.01' or '0.05'.
  """
  show = _auc if tpr_at is None else lambda record: _tpr(record, tpr_at)
  shown = headline(records)
  values = list(dict.fromkeys(r["value"] for r in shown))
  lines = [
    f"| {records[0]['ablation']} | {' | '.join(map(str, values))} |",
    "|---" * (len(values) + 1) + "|",
  ]
  for method in dict.fromkeys(
    (r["method"], r["difficulty_calibration"]) for r in shown
  ):
    own = [r for r in shown if (r["method"], r["difficulty_calibration"]) == method]
    at = {r["value"]: show(r) for r in own}
    cells = [at.get(value, "") for value in values]
    lines.append(f"| {label(*method)} | {' | '.join(cells)} |")
  lines += [f"\n{line}" for line in summary.readings(shown)]
  return "\n".join(lines)


def label(method: str, difficulty_calibration: str) -> str:
  """A method's name in tables and figures."""
  return method if difficulty_calibration == "none" else f"{method} by reference"


def headline(records: list[dict]) -> list[dict]:
  """The cross-over means; where there is one target only, its own records."""
  means = [r for r in records if r["model"] == "mean"]
  return means or [r for r in records if r["model"] != summary.REFERENCE]


def _auc(record: dict) -> str:
  if record["auc_ci"] is None:
    return f"{record['auc']:.3f}"
  low, high = record["auc_ci"]
  return f"{record['auc']:.3f} [{low:.3f}, {high:.3f}]"


def _tpr(record: dict, target: str) -> str:
  if record["tpr"][target] is None:
    return "not estimable"
  flag = "*" if record["flagged"][target] else ""
  return f"{100 * record['tpr'][target]:.1f}%{flag}"
