"""The within-clip contrast of a cross-over: how much signal raw AUCs hide.

Most of what a score says of a clip is how hard the clip is for any model. Between the
two models of a cross-over that cancels within the clip: what is left of its score under
A less that under B is who was trained on it, and noise.

It is no attack, and never to be reported as the power of one. It counts the effect
twice, since the model that is taken off was trained on the other half: the clips of one
half go up by what membership adds, and those of the other go down by it. And it needs
both models, of which an auditor has one. A high figure beside a raw AUC near 0.5 says
that there is something to find for a method that takes difficulty off
(docs/evaluation.md, rule 9), not that it was found.

A split that leaks shows here too: where the halves differ in kind, A is the better at
music of its own kind, heard or not. The gates come first (rule 5).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from lsaprobe_jax.metrics import difficulty, estimates, intervals, pivot, tables
from lsaprobe_jax.rows import Row


def within_clip(rows: Iterable[Row], confidence: float = 0.95) -> list[dict]:
  """The AUC of a clip's score under A less that under B, half a against half b.

  Half a are the members of A, half b those of B. An advantage of one model over the
  other at all clips alike changes nothing. Scores that are minus a magnitude are
  compared by their logarithms, as where difficulty is taken off
  (`difficulty.scale`). Where that is by the reference model, its score is in both and
  cancels: the figure is the raw one, on the clips that the reference has scored.

  Args:
    rows: result rows (see `summary`). Settings without rows under both A and B have no
      record; development clips, the blind baseline and other models are passed over.
    confidence: coverage asked for, in (0, 1).

  Returns:
    Records in the order of the rows: the names of `pivot.SETTING`, `auc` and its
    interval `auc_ci`, clustered by track (`intervals.interval`; None where a half has a
    single track), `auc_raw`, the cross-over mean of the same clips, `n` clips of
    `n_tracks` tracks, and `n_dropped` clips that only one of the models scored.

  Raises:
    ValueError: naming the setting: a clip scored twice, one that is not a member of
      exactly one model, a difference that is not a number, no clips that both models
      scored, or those of one half only.
  """
  judged = (r for r in pivot.targets_only(rows) if r["method"] != pivot.BLIND)
  records = []
  for setting, models in pivot.pivot(judged, pivot.SETTING, "model", "clip").items():
    if not models.keys() >= set(pivot.CROSS_OVER):
      continue
    named = dict(zip(pivot.SETTING, setting, strict=True))
    try:
      found = _contrast(*(models[name] for name in pivot.CROSS_OVER), confidence)
    except ValueError as error:
      raise ValueError(f"{named}: {error}") from error
    records.append(named | found)
  return records


def format_within_clip(records: list[dict]) -> str:
  """A fixed-width table of the records of `within_clip`.

  Those of an ablation go through `record_tables.by_value`.

  Args:
    records: see `within_clip`.

  Returns:
    Lines of text: a header, one line a record, and what the columns mean.
  """
  header = ["method", "distance", "t/T", "raw AUC", "within clip [95% by track]"]
  lines = tables.align([[*header, "clips/tracks", "dropped"], *map(_cells, records)])
  lines.append(
    "within clip: AUC of the score under A less that under B, half a against half b. It"
    " counts the effect twice and needs both models, so that it is no attack's power."
  )
  return "\n".join(lines + tables.readings(records))


def _contrast(first: Mapping[str, Row], second: Mapping[str, Row], confidence) -> dict:
  """What a record says of one setting; rows under A and under B by clip."""
  clips = sorted(first.keys() & second.keys())
  if not clips:
    raise ValueError("no clip was scored under both A and B; score the same clips")
  pairs = [(first[clip], second[clip]) for clip in clips]
  score = lambda row: difficulty.scale(row, row["score"])
  scores = np.array([list(map(score, pair)) for pair in pairs], float).T
  labels = np.array([list(map(estimates.is_member, pair)) for pair in pairs]).T
  tracks = [row["track"] for row, _ in pairs]
  _check_cross_over(clips, labels)
  difference = _difference(clips, scores)
  within = intervals.clustered_auc(difference[None], labels[0], tracks)
  bounds = intervals.interval(within, confidence=confidence)
  return {
    "auc": float(within.auc[0]),
    "auc_ci": None if math.isnan(bounds[0]) else list(map(float, bounds)),
    "auc_raw": float(intervals.clustered_auc(scores, labels, tracks).auc.mean()),
    "n": len(clips),
    "n_tracks": len(set(tracks)),
    "n_dropped": len(first.keys() ^ second.keys()),
  }


def _check_cross_over(clips: list[str], labels: np.ndarray) -> None:
  same = np.flatnonzero(labels[0] == labels[1])
  if same.size:
    raise ValueError(
      f"{same.size} clips have the same split under A and B, e.g. {clips[same[0]]}:"
      " in a cross-over a clip is a member of exactly one"
    )


def _difference(clips: list[str], scores: np.ndarray) -> np.ndarray:
  """Scores under A less those under B, [n]; NaN is refused."""
  with np.errstate(invalid="ignore"):
    difference = scores[0] - scores[1]
  if np.isnan(difference).any():
    bad = int(np.flatnonzero(np.isnan(difference))[0])
    raise ValueError(
      f"{clips[bad]}: no difference of scores {scores[0, bad]} and {scores[1, bad]}"
    )
  return difference


def _cells(record: Mapping[str, Any]) -> list[str]:
  t_ratio = record["t_ratio"]
  return [
    tables.label(record["method"], record["difficulty_calibration"], short=True),
    record["distance"] or "-",
    "-" if t_ratio is None else f"{t_ratio:g}",
    f"{record['auc_raw']:.3f}",
    tables.auc(record),
    f"{record['n']}/{record['n_tracks']}",
    str(record["n_dropped"]),
  ]
