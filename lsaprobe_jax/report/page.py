"""From results to one dictionary: all that the page and the static figures show.

Nothing is drawn at random and nothing is estimated here: figures are those of the
records, points those of the rows, sounds and images those of the recording. A part
whose data is missing is None, and the page says which command would make it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lsaprobe_jax.metrics import (
  comparisons,
  difficulty,
  gates,
  pivot,
  roc,
  study,
  summary,
  tables,
)
from lsaprobe_jax.report import media
from lsaprobe_jax.report.reading import Recording, Results

Rows = list[dict[str, Any]]
Records = list[dict[str, Any]]

TARGETS = [str(target) for target in summary.TARGETS]

_PANELS = ("noisy", "clean", "attacked")
_DIGITS = 5


def build(results: Results) -> dict[str, Any]:
  """The page's data.

  Args:
    results: see `reading.read`.

  Returns:
    JSON-able values by section; see the functions below.

  Raises:
    ValueError: there are no rows of the probe.
  """
  probe = _probe_record(results.records)
  about = results.recording.index["about"] if results.recording else {}
  budgets = ablation(results, "eta_max", (study.PROBE,))
  return {
    "corpus": probe["corpus"],
    "targets": TARGETS,
    "probe": probe,
    "verdict": verdict(results.records, probe),
    "methods": methods(results.records),
    "comparisons": comparisons.against(results.rows),
    "walk": walk(results, probe),
    "curves": curves(results.rows, about),
    # Of those that a distance makes another.
    "distances": ablation(results, "distance", (study.PROBE, "random_stability")),
    "times": ablation(results, "t_ratio"),
    "budgets": budgets,
    "budget_targets": estimable(budgets or []),
    "explorer": explorer(results),
    "clips": clips(results, probe),
    "sets": results.sets,
    "run": run(results),
  }


def estimable(records: Records) -> list[str]:
  """Target FPRs at which some record has a TPR."""
  return [t for t in TARGETS if any(r["tpr"][t] is not None for r in records)]


def _probe_record(records: Records) -> dict[str, Any]:
  """The line that the page is about: the probe's, raw, mean or of the only target."""
  found = [
    r
    for r in pivot.headline([r for r in records if r["method"] == study.PROBE])
    if r["difficulty_calibration"] == "none"
  ]
  if not found:
    raise ValueError(
      f"has no scores of {study.PROBE}; run launch.eval with it in --config.methods"
    )
  return found[0]


def verdict(records: Records, probe: dict[str, Any]) -> dict[str, Any]:
  """The gates, and what the probe's interval allows one to say.

  Returns:
    `gates` (`gates.read`), `blind` and `control`, those of the split and of the
    probe itself (None where not run), `failed`, the null controls whose interval does
    not contain 0.5, and `reading`: `leak`, `ungated`, `unknown`, `apart`, `reverse` or
    `guessing`.
  """
  gates = gates.read(records)
  blind = next((g for g in gates if g["kind"] == pivot.BLIND), None)
  null = [g for g in gates if g["kind"] == pivot.REFERENCE]
  same = ("method", "distance", "t_ratio")
  control = next(
    (g for g in null if all(g["record"][k] == probe[k] for k in same)), None
  )
  return {
    "gates": gates,
    "blind": blind,
    "control": control,
    "null": len(null),
    "failed": [g for g in null if g["holds"] is False],
    "reading": _reading(blind, control, probe["auc_ci"]),
  }


def _reading(blind, control, interval) -> str:
  own = [gate["holds"] for gate in (blind, control) if gate is not None]
  if False in own:
    return "leak"
  if None in own or len(own) < 2:
    return "ungated"
  if interval is None:
    return "unknown"
  low, high = interval
  return "apart" if low > 0.5 else "reverse" if high < 0.5 else "guessing"


def methods(records: Records) -> list[dict[str, Any]]:
  """Every method's headline record, best AUC first, with its `label`."""
  shown = [r for r in pivot.headline(records) if r["method"] != pivot.BLIND]
  return [
    r | {"label": tables.label(r["method"], r["difficulty_calibration"])}
    for r in sorted(shown, key=lambda r: -r["auc"])
  ]


def ablation(
  results: Results, name: str, methods: Sequence[str] | None = None
) -> list[dict[str, Any]] | None:
  """Headline records of an ablation, of all methods or some, with `label`, or None."""
  if name not in results.ablations:
    return None
  return [
    r | {"label": tables.label(r["method"], r["difficulty_calibration"])}
    for r in pivot.headline(results.ablations[name][1])
    if methods is None or r["method"] in methods
  ]


def curves(rows: Rows, about: dict[str, dict]) -> list[dict[str, Any]] | None:
  """D against eta by model, as the probe's rows hold it.

  Args:
    rows: of the main table.
    about: title and author of clips, by id.

  Returns:
    One dict a model: `model`, `tau`, and `clips` with `clip`, `title`, `split`,
    `cost`, `score`, `reached` and `points`, [eta, D] by growing eta.
  """
  found: dict[str, dict[str, Any]] = {}
  for row in _probe_rows(rows):
    if not row.get("budgets") or row["model"] == pivot.REFERENCE:
      continue
    model = found.setdefault(
      row["model"],
      {"model": row["model"], "tau": row["tau"], "clips": []},
    )
    tried = [
      (eta, value)
      for eta, value in zip(row["budgets"], row["degradations"], strict=True)
      if eta is not None and value is not None
    ]
    model["clips"].append(
      {
        **{k: row[k] for k in ("clip", "split", "cost", "score", "reached")},
        "title": _title(row, about),
        "points": [[_short(eta), _short(value)] for eta, value in sorted(tried)],
      }
    )
  return list(found.values()) or None


def _probe_rows(rows: Rows) -> Rows:
  """Judged rows of the probe, raw."""
  return [
    row
    for row in rows
    if row["method"] == study.PROBE
    and row["difficulty_calibration"] == "none"
    and row["split"] in pivot.JUDGED
  ]


def _title(row: dict[str, Any], about: dict[str, dict]) -> str:
  return about.get(row["clip"], {}).get("title") or row["track"]


def _short(value: float) -> float:
  return float(f"{value:.{_DIGITS}g}")


def explorer(results: Results) -> list[dict[str, Any]]:
  """Scores, ROC and records by method and time.

  Returns:
    One dict a setting with a t: `label`, `method`, `difficulty_calibration`, `t_ratio`,
    `is_cost` (the score is a budget), `models`: by name `record`, `member` and
    `nonmember` scores, `censored` counts of both, `roc` as [fpr, tpr] points. `mean`
    pools the scores of A and B and averages their curves at equal FPR.
  """
  rows, records = list(results.rows), list(results.records)
  seen = {_setting(record) for record in records}
  if "t_ratio" in results.ablations:
    raw, tidy = results.ablations["t_ratio"]
    more = list(raw)
    # A value is a time of its own, so that no clip is there twice.
    for value in {row["value"] for row in raw}:
      own = [row for row in raw if row["value"] == value]
      more += difficulty.by_reference(own)
    rows += [row for row in more if _setting(row) not in seen]
    records += [record for record in tidy if _setting(record) not in seen]
  by_setting: dict[tuple, dict[str, Rows]] = {}
  for row in rows:
    judged = row["split"] in pivot.JUDGED
    if judged and row["model"] != pivot.REFERENCE and row["t_ratio"] is not None:
      by_setting.setdefault(_setting(row), {}).setdefault(row["model"], []).append(row)
  found = [
    _explored(setting, tables, [r for r in records if _setting(r) == setting])
    for setting, tables in by_setting.items()
  ]
  order = lambda e: (
    e["method"] != study.PROBE,
    e["difficulty_calibration"],
    e["method"],
  )
  return sorted(found, key=lambda e: (*order(e), e["t_ratio"]))


def _setting(item: dict[str, Any]) -> tuple:
  return tuple(
    item[k] for k in ("method", "distance", "t_ratio", "difficulty_calibration")
  )


def _explored(setting, tables: dict[str, Rows], records: Records) -> dict[str, Any]:
  method, distance, t_ratio, calibrated = setting
  named = {record["model"]: record for record in records}
  models = {}
  for name in sorted(tables.keys() | ({"mean"} & named.keys())):
    parts = (
      [tables[m] for m in pivot.CROSS_OVER] if name == "mean" else [tables[name]]
    )
    own = [row for part in parts for row in part]
    side = lambda split, own=own: [row for row in own if row["split"] == split]
    models[name] = {
      "record": named[name],
      "roc": roc_points(parts),
      "censored": {
        s: sum(r["reached"] is False for r in side(s)) for s in pivot.JUDGED
      },
      **{s: sorted(_short(row["score"]) for row in side(s)) for s in pivot.JUDGED},
    }
  return {
    "method": method,
    "label": tables.label(method, calibrated),
    "distance": distance,
    "t_ratio": t_ratio,
    "difficulty_calibration": calibrated,
    "is_cost": method.startswith(study.PROBE) and calibrated == "none",
    "models": models,
  }


def roc_points(parts: Iterable[Rows]) -> list[list[float]]:
  """[fpr, tpr] of the ROC's corners; of several models the mean at equal FPR."""
  found = []
  for rows in parts:
    labels = [row["split"] == "member" for row in rows]
    found.append(roc.roc_curve([row["score"] for row in rows], labels))
  grid = np.unique(np.concatenate([curve.fpr for curve in found]))
  # Nothing is interpolated between operating points.
  steps = [c.tpr[np.searchsorted(c.fpr, grid, side="right") - 1] for c in found]
  tpr = np.mean(steps, axis=0)
  return [[_short(x), _short(y)] for x, y in zip(grid, tpr, strict=True)]


def walk(results: Results, probe: dict[str, Any]) -> dict[str, Any] | None:
  """The recorded clips at several times, and their searches.

  Returns:
    What the index says, `taus` by time where a sweep calibrated them, and `clips`:
    `x_0` and by time `panels` as {image, sound}, `reconstruction` and `degradation` by time,
    `searches` by name. None without a recording.
  """
  recording = results.recording
  if recording is None or not recording.clips:
    return None
  index = {k: v for k, v in recording.index.items() if k not in ("clips", "about")}
  return index | {
    "missing": recording.missing,
    "taus": _taus(results, probe, index),
    "clips": [_walked(item, recording) for item in recording.clips],
  }


def _taus(results: Results, probe, index) -> list[float | None]:
  """tau of the recorded model at each time of the recording, where it is known."""
  rows = results.rows + results.ablations.get("t_ratio", ([], []))[0]
  known = {
    row["t_ratio"]: row["tau"]
    for row in _probe_rows(rows)
    if (row["model"], row["distance"]) == (index["model"], probe["distance"])
  }
  return [known.get(time) for time in index["times"]]


def _walked(item: dict[str, Any], recording: Recording) -> dict[str, Any]:
  about, rate = item["about"], recording.index["sample_rate"]
  row = about["row"]
  panel = lambda i: {
    "image": media.png_uri(item["images"][i]),
    "sound": media.wav_uri(item["audio"][i], rate),
  }
  times = len(recording.index["times"])
  return {
    **{k: row[k] for k in ("clip", "track", "split", "score", "cost", "reached")},
    "tau": row["tau"],
    **recording.index["about"][row["clip"]],
    "title": _title(row, recording.index["about"]),
    "label": item["label"],
    "rank": item["rank"],
    "x_0": panel(0),
    "panels": {
      name: [panel(1 + n * times + i) for i in range(times)]
      for n, name in enumerate(_PANELS)
    },
    "reconstruction": about["reconstruction"],
    "degradation": about["degradation"],
    "searches": about["searches"],
    "range_db": about["range_db"],
  }


def clips(results: Results, probe: dict[str, Any]) -> list[dict[str, Any]]:
  """Judged clips under each model: costs of the probe, credits.

  Returns:
    One dict a clip and model: `clip`, `title`, `author`, `licence`, `track`, `model`,
    `split`, `score`, `cost` and `reached`. Sounds that were kept are apart, by clip.
  """
  recording = results.recording
  about = recording.index["about"] if recording else {}
  found = []
  for row in _probe_rows(results.rows):
    if row["model"] == pivot.REFERENCE:
      continue
    credits = about.get(row["clip"], {})
    found.append(
      {
        **{k: row[k] for k in ("clip", "track", "model", "split")},
        **{k: row[k] for k in ("score", "cost", "reached")},
        "title": _title(row, about),
        "author": credits.get("author", ""),
        "licence": credits.get("licence", ""),
      }
    )
  return sorted(found, key=lambda r: (-r["score"], r["model"], r["clip"]))


def sounds(results: Results) -> dict[str, str]:
  """Sounds of the judged clips that were kept, as data URIs by the clip's id."""
  if results.recording is None:
    return {}
  rate = results.recording.index["sample_rate"]
  return {
    clip: media.wav_uri(samples, rate)
    for clip, samples in results.recording.sounds.items()
  }


def run(results: Results) -> dict[str, Any]:
  """Settings flattened, hashes, versions and commands; what is not known is empty."""
  return settings_of(results.run) | {
    "environments": results.environments,
    "rows": len(results.rows),
  }


def settings_of(known: dict[str, Any]) -> dict[str, Any]:
  """`settings` and `hashes` of run.json, flattened; empty where it is."""
  return {
    "settings": dict(_flat(known.get("config", {}))),
    "hashes": dict(
      _flat({"weights": known.get("weights", {}), "data": known.get("data", {})})
    ),
  }


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, Any]]:
  """Dotted names and leaves of nested dicts, in their order."""
  if isinstance(value, dict):
    for key, item in value.items():
      yield from _flat(item, f"{name}.{key}" if name else str(key))
  else:
    yield name, value
