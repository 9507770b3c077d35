"""Which settings are chosen by what was tried on tune tracks (`benchmarks.choose`)."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from lsaprobe_jax.scoring.factories import ANCHORED, PROBE

_MODELS = "targets."
_BY_ETA_REF = ", eta_ref="


def choose(lines: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
  """The changes that were chosen, dotted, and figures of all settings by method.

  Args:
    lines: of `tried.jsonl`, of a tuning that came to its end.

  Raises:
    ValueError: there are no lines, a line is not one of a tuning, or not every setting
      was tried under every model: no average compares them.
  """
  found: dict[str, dict[str, dict[tuple, float]]] = defaultdict(dict)
  for line in lines:
    for method, setting, under, auc in _figures(line):
      found[method].setdefault(setting, {})[under] = auc
  if not found:
    raise ValueError("nothing was tried")
  chosen, figures = {}, {}
  everything = {u for by in found.values() for aucs in by.values() for u, _ in aucs}
  for method, settings in found.items():
    whole = all({models for models, _ in a} == everything for a in settings.values())
    if not whole or len({frozenset(aucs) for aucs in settings.values()}) > 1:
      raise ValueError(
        f"{method}: some settings were tried under other models than others; let the"
        " tuning come to its end"
      )
    means = {name: float(np.mean([*aucs.values()])) for name, aucs in settings.items()}
    # The first that was tried is taken of equals.
    chosen |= json.loads(max(means, key=means.get))
    figures[method] = {name: round(value, 4) for name, value in means.items()}
  return chosen, figures


def _figures(line: dict[str, Any]) -> Iterator[tuple[str, str, tuple, float]]:
  """(method, setting, (models, calibration), AUC) of the means of a line."""
  try:
    changes = {k: v for k, v in line["changes"].items() if k != "methods"}
    models = tuple(sorted((k, v) for k, v in changes.items() if k.startswith(_MODELS)))
    changes = {k: v for k, v in changes.items() if not k.startswith(_MODELS)}
    for record in line["records"]:
      if record["model"] == "mean":
        method, own = _setting(record["method"], changes)
        under = (models, record["difficulty_calibration"])
        yield method, json.dumps(own, sort_keys=True), under, record["auc"]
  except (LookupError, TypeError, AttributeError) as error:
    raise ValueError(f"a line is not one of a tuning: {error!r}") from error


def _setting(method: str, changes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
  """A method's name, and its changes with the eta_ref that its name holds."""
  name, _, eta_ref = method.partition(_BY_ETA_REF)
  if not eta_ref:
    return name, changes
  setting = {PROBE: "tau.eta_ref", ANCHORED: "anchored.tau.eta_ref"}[name]
  return name, changes | {setting: float(eta_ref)}


def nested(changes: dict[str, Any]) -> dict[str, Any]:
  """Changes by dotted names as dictionaries in one another."""
  made: dict[str, Any] = {}
  for name, value in changes.items():
    *path, last = name.split(".")
    inner = made
    for part in path:
      inner = inner.setdefault(part, {})
    inner[last] = value
  return made
