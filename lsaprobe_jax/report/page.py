"""From results to one dictionary: all that the page and the static figures show.

Nothing is drawn at random and nothing is estimated here: figures are those of the
records, points those of the rows, sounds and images those of the recording. A part
whose data is missing is None, and the page says which command would make it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from lsaprobe_jax.metrics import comparisons, gates, pivot, study, summary, tables
from lsaprobe_jax.report import doses, explorer, headline, walk
from lsaprobe_jax.report.reading import Results, probe_rows, shortened, titles

Rows = list[dict[str, Any]]
Records = list[dict[str, Any]]

TARGETS = [str(target) for target in summary.TARGETS]


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
    "calibrations": calibrations(results.records),
    "comparisons": [labelled(r) for r in comparisons.against(results.rows)],
    "twins": comparisons.twins_against_reference(results.rows),
    "walk": walk.walk(results, probe),
    "curves": curves(results.rows, about),
    # Methods that compare by a distance are other methods at each.
    "distances": ablation(results, "distance", (study.PROBE, "random_stability")),
    "times": ablation(results, "t_ratio"),
    "lengths": lengths(results),
    "doses": doses_of(results),
    "budgets": budgets,
    "budget_targets": estimable(budgets or []),
    "explorer": explorer.explorer(results),
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
  found = gates.read(records)
  blind = next((g for g in found if g["kind"] == pivot.BLIND), None)
  null = [g for g in found if g["kind"] == pivot.REFERENCE]
  same = ("method", "distance", "t_ratio")
  control = next(
    (g for g in null if all(g["record"][k] == probe[k] for k in same)), None
  )
  return {
    "gates": found,
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


def labelled(record: dict[str, Any]) -> dict[str, Any]:
  """A record with `label`, its method and calibration in words."""
  by = record["difficulty_calibration"]
  return record | {"label": tables.label(record["method"], by)}


def calibrations(records: Records) -> dict[str, str]:
  """Difficulty calibrations that are there, with what they are called."""
  there = {record["difficulty_calibration"] for record in records}
  return {name: text for name, text in tables.CALIBRATIONS.items() if name in there}


def methods(records: Records) -> list[dict[str, Any]]:
  """Every method's headline record, best AUC first, with its `label`."""
  shown = [r for r in pivot.headline(records) if r["method"] != pivot.BLIND]
  return [labelled(r) for r in sorted(shown, key=lambda r: -r["auc"])]


def lengths(results: Results) -> list[dict[str, Any]] | None:
  """Records by length of training in all calibrations (`headline.by_length`)."""
  for name, (_, records) in results.ablations.items():
    if found := headline.by_length(name, records):
      return [labelled(record) for record in found]
  return None


def doses_of(results: Results) -> list[dict[str, Any]] | None:
  """What is shown of each ablation over doses (`doses.explored`), or None.

  That of the most methods comes first, as a page opens with it.
  """
  found = [doses.explored(name, *own) for name, own in results.ablations.items()]
  there = [one for one in found if one is not None]
  return sorted(there, key=lambda one: -len(one["methods"])) or None


def ablation(
  results: Results, name: str, methods: Sequence[str] | None = None
) -> list[dict[str, Any]] | None:
  """Headline records of an ablation, of all methods or some, with `label`, or None."""
  if name not in results.ablations:
    return None
  return [
    labelled(r)
    for r in pivot.headline(results.ablations[name][1])
    if methods is None or r["method"] in methods
  ]


def curves(rows: Rows, about: dict[str, dict]) -> list[dict[str, Any]] | None:
  """D against eta by model, as the probe's rows hold it.

  Args:
    rows: rows of the main table.
    about: title and author of clips, by id.

  Returns:
    One dict a model: `model`, `tau`, and `clips` with `clip`, `title`, `split`,
    `cost`, `score`, `reached` and `points`, [eta, D] by growing eta.
  """
  found: dict[str, dict[str, Any]] = {}
  named = titles(probe_rows(rows), about)
  for row in probe_rows(rows):
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
        "title": named[row["clip"]],
        "points": [[shortened(eta), shortened(value)] for eta, value in sorted(tried)],
      }
    )
  return list(found.values()) or None


def clips(results: Results, probe: dict[str, Any]) -> list[dict[str, Any]]:
  """Judged clips under each model: costs of the probe, credits.

  Returns:
    One dict a clip and model: `clip`, `title`, `author`, `licence`, `track`, `model`,
    `split`, `score`, `cost` and `reached`. Sounds that were kept are apart, by clip.
  """
  recording = results.recording
  about = recording.index["about"] if recording else {}
  named = titles(probe_rows(results.rows), about)
  found = []
  for row in probe_rows(results.rows):
    if row["model"] == pivot.REFERENCE:
      continue
    credits = about.get(row["clip"], {})
    found.append(
      {
        **{k: row[k] for k in ("clip", "track", "model", "split")},
        **{k: row[k] for k in ("score", "cost", "reached")},
        "title": named[row["clip"]],
        "author": credits.get("author", ""),
        "licence": credits.get("licence", ""),
      }
    )
  return sorted(found, key=lambda r: (-r["score"], r["model"], r["clip"]))


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
