"""Several scores as one: a logistic regression fitted on tune tracks.

Where membership of some tracks is known, a classifier can read several methods' scores
together, or what one method has to say besides its score: the norms of each layer's
gradient (Pang et al. 2024, GSA). It is fitted on tune tracks alone, and nothing of a
test track enters but its features (docs/evaluation.md, rule 1). Its rows are rows like
others, with log-odds as score, so that everything else here takes them.

What it needs is more than a score does: tracks of known membership in the target.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from lsaprobe_jax.metrics import pivot
from lsaprobe_jax.rows import Row

# A method that has one setting, or which of its settings: method, distance, t_ratio.
Setting = str | tuple[str, str | None, float | None]

_IDENTITY = ("clip", "track", "group", "split", "model", "corpus", "seed")
_SPENT = ("nfe_forward", "nfe_backward", "seconds")

# A clip's rows, one for each feature or the only one.
_Clip = tuple[Row, ...]
_Clips = dict[tuple[str, str], _Clip]


def from_scores(
  tune: Iterable[Row], test: Iterable[Row], settings: Sequence[Setting], *, name: str
) -> list[Row]:
  """Rows of a logistic regression on the scores of several settings.

  It is fitted on the judged clips of all targets in `tune`, pooled: on a cross-over
  every clip is in it as a member and as a non-member, and what is only hard about it
  tells nothing. Scores are standardised by model, on the model's development clips in
  `test`, or on its clips in `tune` where there are fewer than two of the former;
  neither uses a label. The regression is scikit-learn's with its L2 penalty, C = 1,
  which nothing is chosen for.

  Args:
    tune: raw rows (see `summary`) of tune tracks; splits other than member and
      nonmember are passed over.
    test: raw rows to score, of other tracks; a development clip that lacks a feature
      is passed over. The null control is scored too where `tune` has it; it teaches
      nothing.
    settings: the features.
    name: `method` of the new rows.

  Returns:
    Rows of the clips in `test`: score the log-odds of membership, passes and seconds
    of all features together, no distance, t_ratio, cost or `reached`.

  Raises:
    ValueError: saying what to mend: a track in tune and test, a setting that is not
      there or is ambiguous, a clip that lacks a feature, one that is NaN, no members
      or no non-members to learn from.
  """
  if not settings:
    raise ValueError("no features: name at least one setting")
  read = lambda clip: [row["score"] for row in clip]
  return _combine(tune, test, settings, read, name)


def from_details(
  tune: Iterable[Row], test: Iterable[Row], method: Setting, detail: str, *, name: str
) -> list[Row]:
  """Rows of a logistic regression on a vector that one method left in its rows.

  Args:
    tune: see `from_scores`.
    test: see `from_scores`.
    method: whose rows hold the vector.
    detail: its key, e.g. `norms` of gradient_norm: GSA's classifier.
    name: `method` of the new rows.

  Returns:
    See `from_scores`; passes and seconds are the method's.

  Raises:
    ValueError: see `from_scores`, or vectors of different lengths.
  """

  def read(clip: _Clip):
    if clip[0].get(detail) is None:
      raise ValueError(f"{_of(clip[0])} has no {detail!r}; score {method} again")
    return clip[0][detail]

  return _combine(tune, test, [method], read, name)


def _combine(tune, test, settings, read: Callable[[_Clip], Sequence], name: str):
  from sklearn.linear_model import LogisticRegression

  tune, test = _clips(tune, settings, "tune"), _clips(test, settings, "test")
  tune = {key: rows for key, rows in tune.items() if _split(rows) in pivot.JUDGED}
  _check_apart(tune, test)
  taught = [key for key in tune if key[0] != pivot.REFERENCE]
  labels = [_split(tune[key]) == "member" for key in taught]
  if len(set(labels)) < 2:
    raise ValueError("tune rows of members and of non-members are needed to learn from")
  known, new = _features(tune, read), _features(test, read)
  widths = sorted({x.size for x in (*known.values(), *new.values())})
  if len(widths) > 1:
    raise ValueError(
      f"vectors of {widths} features; score tune and test tracks with the same"
      " settings, under models of one architecture"
    )
  scalers = _scalers(known, new, test)
  classifier = LogisticRegression(max_iter=10_000)
  classifier.fit(_scaled(taught, known, scalers), labels)
  keys = [key for key in test if key[0] in scalers]
  scores = classifier.decision_function(_scaled(keys, new, scalers))
  return [
    _row(test[key], float(score), name) for key, score in zip(keys, scores, strict=True)
  ]


def _clips(rows: Iterable[Row], settings, part: str) -> _Clips:
  """Rows of every (model, clip), one for each setting, in their order."""
  raw = (row for row in rows if row["difficulty_calibration"] == "none")
  try:
    found = pivot.pivot(raw, ("method", "distance", "t_ratio"), ("model", "clip"))
  except ValueError as error:
    raise ValueError(f"{error} among the {part} rows") from error
  tables = [found[_only(setting, found, part)] for setting in settings]
  clips = {}
  for key in dict.fromkeys(key for table in tables for key in table):
    own = [table.get(key) for table in tables]
    if None not in own:
      clips[key] = tuple(own)
      continue
    there = next(row for row in own if row is not None)
    if there["split"] in pivot.JUDGED:
      lacking = settings[own.index(None)]
      raise ValueError(
        f"{_of(there)} has no {lacking} among the {part} rows; score it, or leave the"
        " clip out"
      )
  return clips


def _only(setting: Setting, found, part: str) -> tuple:
  """The full name of a setting among those that are there."""
  if isinstance(setting, str):
    matching = [key for key in found if key[0] == setting]
  else:
    matching = [key for key in found if key == tuple(setting)]
  if len(matching) != 1:
    which = (
      f"several of {matching}"
      if matching
      else f"none; there are {sorted(found, key=str)}"
    )
    raise ValueError(
      f"{setting} names {which} among the {part} rows; give one (method, distance,"
      " t_ratio)"
    )
  return matching[0]


def _check_apart(tune: _Clips, test: _Clips) -> None:
  known = {rows[0]["track"] for rows in tune.values()}
  judged = {rows[0]["track"] for rows in test.values() if _split(rows) in pivot.JUDGED}
  if both := known & judged:
    raise ValueError(
      f"{len(both)} tracks are in tune and test, e.g. {min(both)}; take them out of one"
    )


def _features(clips: _Clips, read) -> dict[tuple[str, str], np.ndarray]:
  features = {key: np.asarray(read(rows), float) for key, rows in clips.items()}
  for key, x in features.items():
    if not np.isfinite(x).all():
      bad = int(np.flatnonzero(~np.isfinite(x))[0])
      raise ValueError(
        f"{_of(clips[key][0])}: feature {bad} is {x[bad]}; score the clip again or"
        " leave it out"
      )
  return features


def _scalers(known, new, test: _Clips) -> dict[str, Any]:
  """One a model; a null control without tune rows has none, and gets no rows."""
  from sklearn.preprocessing import StandardScaler

  scalers = {}
  for model in dict.fromkeys(model for model, _ in (*known, *new)):
    own = [x for key, x in known.items() if key[0] == model]
    if not own and model == pivot.REFERENCE:
      continue
    if not own:
      raise ValueError(f"{model} has no tune rows; score the tune tracks under it too")
    dev = [
      x for key, x in new.items() if key[0] == model and _split(test[key]) == "dev"
    ]
    scalers[model] = StandardScaler().fit(dev if len(dev) > 1 else own)
  return scalers


def _scaled(keys, features, scalers) -> np.ndarray:
  scale = lambda x, by: (x - by.mean_) / by.scale_
  return np.array([scale(features[key], scalers[key[0]]) for key in keys])


def _split(rows: _Clip) -> str:
  return rows[0]["split"]


def _of(row: dict) -> str:
  return f"{row['clip']} under {row['model']}"


def _row(rows: _Clip, score: float, name: str) -> dict:
  return (
    {key: rows[0][key] for key in _IDENTITY}
    | {
      "method": name,
      "distance": None,
      "t_ratio": None,
      "difficulty_calibration": "none",
    }
    | {"score": score, "cost": None, "reached": None}
    | {key: sum(row[key] for row in rows) for key in _SPENT}
  )
