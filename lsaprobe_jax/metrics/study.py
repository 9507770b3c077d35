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
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from lsaprobe_jax.metrics import combination, difficulty, gates, pivot
from lsaprobe_jax.rows import Row, has_score, parse_rows, row_lines

MAIN, TUNE = "main", "tune"

# What a logistic regression fitted on tune tracks puts together, by its name.
PROBE, GRADIENT_NORM, LOSS = "lsa_probe", "gradient_norm", "loss"
GSA_CLASSIFIER, COMBINATION = "gsa_classifier", "combination"
_COMBINED = (LOSS, "pia", "sima", "random_stability", PROBE)


def read(folder: pathlib.Path, *, whole: bool = True) -> dict[str, list[Row]]:
  """Rows by the name of their file.

  Args:
    folder: of row files.
    whole: whether a study without `main` is refused.

  Raises:
    ValueError: no such folder, no rows or no `main` in it, or a line that is not a row.
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
    # At each value of an ablation, and difficulty-calibrated too, a row is another.
    rows = parse_rows(path, text, more=("value", "difficulty_calibration")).values()
    parts[path.name.split(".")[0]] = [row for row in rows if has_score(row)]
  if not parts or (whole and MAIN not in parts):
    raise ValueError(f"{folder}: has no {MAIN}.jsonl(.gz); give a folder of rows")
  return parts


def check_ablations(parts: dict[str, list[Row]]) -> None:
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


def pack(rows: Iterable[Row]) -> bytes:
  """Rows as the bytes of a .jsonl.gz, the same for the same rows."""
  return gzip.compress(row_lines(list(rows)).encode(), mtime=0)


def pool(rows: Iterable[Row], over: str) -> list[Row]:
  """Mean score of a clip over the values of a field (`seed`, `t_ratio`).

  Args:
    rows: rows of one method and distance under any models, each value once a clip.
    over: the field that goes; the pooled row keeps its first value. With the time its
      log-SNR goes altogether.

  Returns:
    One row a clip and model: mean scores, evaluations and seconds summed, no cost,
    `reached` where all were.
  """
  gone = ("log_snr",) if over == "t_ratio" else ()
  pooled = []
  for group in pivot.groups(rows, ("model", "method", "clip")).values():
    if len({row[over] for row in group}) < len(group):
      raise ValueError(f"{group[0]['clip']}: two rows of the same {over}")
    found = [row["reached"] for row in group if row["reached"] is not None]
    spent = ["nfe_forward", "nfe_backward", "seconds"]
    spent += [f"twin_{name}" for name in spent if f"twin_{name}" in group[0]]
    scores = {"score": float(np.mean([row["score"] for row in group]))}
    if "twin_scores" in group[0]:
      of_twins = np.mean([row["twin_scores"] for row in group], axis=0)
      scores["twin_scores"] = of_twins.tolist()
    pooled.append(
      {name: value for name, value in group[0].items() if name not in gone}
      | {name: sum(row[name] for row in group) for name in spent}
      | scores
      | {
        "cost": None,
        "reached": all(found) if found else None,
      }
    )
  return pooled


def main_rows(parts: dict[str, list[Row]]) -> list[dict]:
  """Rows of the main table: as scored, fitted on tune tracks, by reference.

  Where there are tune rows, two classifiers are fitted on them: on the norms of
  gradients (GSA), and on several methods together. Where there are rows of a
  reference, every method comes difficulty-calibrated too (docs/evaluation.md, rule 9).
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
  return rows + fitted + difficulty.calibrated(rows)


def _complete(rows: list[Row], methods: list[str]) -> list[dict]:
  """Rows of clips that every method has scored: one that failed must not end all."""
  scored = {
    clip: {row["method"] for row in own}
    for clip, own in pivot.groups(rows, ("model", "clip")).items()
  }
  return [row for row in rows if scored[row["model"], row["clip"]].issuperset(methods)]


def records_by_value(
  name: str,
  by_value: Mapping[Any, list[Row]],
  summarise: Callable[[list[Row]], list[dict]],
) -> list[dict]:
  """Records of an ablation: those of each value, raw and by reference, and its gates'.

  Args:
    name: name of the ablation.
    by_value: its rows (`with_reference`).
    summarise: `summary.summarise` with its settings.
  """
  records = []
  for value, own in by_value.items():
    records += [
      {"ablation": name, "value": value} | record for record in summarise(own)
    ]
  return records


def with_reference(rows: Iterable[Row]) -> dict[Any, list[Row]]:
  """Rows of an ablation by value, difficulty-calibrated ones behind the raw ones."""
  found = pivot.groups(rows, "value")
  return {value: own + difficulty.calibrated(own) for value, own in found.items()}


def ablation_records(
  name: str, rows: list[Row], summarise: Callable[[list[Row]], list[dict]]
) -> list[dict]:
  """Those of `records_by_value` that are tabulated and drawn."""
  return gates.without(records_by_value(name, with_reference(rows), summarise))
