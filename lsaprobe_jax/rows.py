"""Rows of results: their fields, and the one check that every reader and writer makes.

A row is one clip under one model by one method. Its identity says which; its figures
say what was found. A row whose score is null was tried in vain: it has an identity and
no figures.
"""

import json
import math
import numbers
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np

from lsaprobe_jax import strict_json
from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.text import printable

# What makes a row the only one of its kind.
ROW_KEY = ("clip", "model", "corpus", "method", "distance", "t_ratio", "seed")

# Rows of these methods are read for costs at any tau; no budget of them may be missing.
# The second is anchored at the clip.
CURVE, ANCHORED_CURVE = CURVES = ("degradation_curve", "anchored_degradation_curve")

# Whether the difficulty of a clip was taken off its score, and by what: a model that
# did not see it, its twins, or both.
DIFFICULTY_CALIBRATIONS = ("none", "reference", "twins", "both")
_SPLITS = ("member", "nonmember", "dev")
# Larger numbers, whose squares overflow, are no scores of anything.
_MOST = 1e100
# What a row with twins has of them, all or nothing.
_OF_TWINS = ("twins", "twin_scores", "twin_nfe_forward", "twin_nfe_backward")
# More than any method gives: rungs, or norms by time.
_LONGEST = 1_000_000


class Row(TypedDict):
  """One clip under one model by one method, as JSON has it.

  Attributes:
    clip: id of the clip (`data.clips.Clip`).
    track: id of its recording or piece; clips of a track are not independent.
    group: `a`, `b`, `dev` or `reference`.
    split: what the clip is to the model.
    model: name of the model in the experiment.
    corpus: name of the corpus.
    method: name of the attack.
    distance: name of its distance, None where it has none.
    t_ratio: its time over T, None where it has none.
    difficulty_calibration: by what the clip's difficulty was taken off its score.
    seed: of the draws of noise.
    score: higher = member; None where the clip was tried in vain.
    cost: C_adv; None where a method has none, or where tau was not reached.
    reached: whether tau was reached within eta_max; None where a method has no tau.
    nfe_forward: network function evaluations, those of rematerialisation counted.
    nfe_backward: network function evaluations that were differentiated.
    seconds: wall-clock time of the clip's share of its batch.
    tau: the perceptual target of a search.
    margin: tau less D at eta_max.
    descents: budgets whose D lies below that of a smaller one.
    budgets: budgets that a search tried, None where it was over.
    degradations: D found at each of them.
    value: of an ablation, what was varied.
    log_snr: of the state at t_ratio (`Schedule.log_snr`), by which times of different
      models compare. Rows of a state that is noise alone, of no time or of several, and
      of versions before it have none.
    made_by: hash of the model, the attack and the clip (`models.fingerprint`), where
      `score` kept the row in a file; rows of another hash are not taken for these.
    channels: of the clip's audio, where it has more than one.
    magnitude: True where the score is minus a magnitude, so that ratios tell how two of
      them differ.
    twins: names of the clip's twins, with commas (`twins`).
    twin_scores: scores of the twins, in that order; higher = member.
    twin_nfe_forward: as `nfe_forward`, of all twins together.
    twin_nfe_backward: likewise.
    twin_seconds: likewise.
    rest: D at no perturbation, which is not 0 where the probe is anchored at the clip.
    twin_degradations: `degradations` of each twin.
    twin_rest: `rest` of each twin.
  """

  clip: str
  track: str
  group: str | None
  split: Literal["member", "nonmember", "dev"]
  model: str
  corpus: str
  method: str
  distance: str | None
  t_ratio: float | None
  difficulty_calibration: Literal["none", "reference", "twins", "both"]
  seed: int
  score: float | None
  cost: NotRequired[float | None]
  reached: NotRequired[bool | None]
  nfe_forward: NotRequired[float]
  nfe_backward: NotRequired[float]
  seconds: NotRequired[float]
  tau: NotRequired[float]
  margin: NotRequired[float]
  descents: NotRequired[int]
  budgets: NotRequired[list[float | None]]
  degradations: NotRequired[list[float | None]]
  value: NotRequired[str | float | None]
  log_snr: NotRequired[float]
  made_by: NotRequired[str]
  channels: NotRequired[int]
  magnitude: NotRequired[bool]
  twins: NotRequired[str]
  twin_scores: NotRequired[list[float]]
  twin_nfe_forward: NotRequired[float]
  twin_nfe_backward: NotRequired[float]
  twin_seconds: NotRequired[float]
  rest: NotRequired[float]
  twin_degradations: NotRequired[list[list[float]]]
  twin_rest: NotRequired[list[float]]


class RowError(LsaProbeError):
  """What was read or is to be written is not a row of results; one line says why."""


def check_row(row: Any) -> None:
  """Refuses what is not a row.

  Args:
    row: as JSON gives it, or as it is to be written: NaN counts as null there.

  Raises:
    RowError: names the field.
  """
  if not isinstance(row, Mapping):
    raise RowError(f"a {type(row).__name__} where an object is wanted")
  _check_fields(row, _IDENTITY)
  if "score" not in row:
    raise RowError("has no score")
  if _missing(row["score"]):
    return
  _check_fields(row, _FIGURES)
  for name, value in row.items():
    if name not in _IDENTITY and name not in _FIGURES:
      _check_detail(name, value)
  if "log_snr" in row and row["t_ratio"] is None:
    raise RowError("has a log_snr of no t_ratio")
  _check_curve(row)
  _check_twins(row)


def has_score(row: Mapping[str, Any]) -> bool:
  """Whether a row says what was found, and not only that it was tried."""
  return not _missing(row["score"])


def failed_row(row: Mapping[str, Any]) -> dict[str, Any]:
  """Returns what is kept of a row that came to no score: its identity."""
  return {name: row[name] for name in _IDENTITY if name in row} | {"score": None}


def key_of(row: Mapping[str, Any], more: Sequence[str] = ()) -> tuple:
  """Returns the values that make a row the only one of its kind.

  Args:
    row: a row.
    more: further fields, None where the row lacks them.
  """
  return tuple(row[name] for name in ROW_KEY) + tuple(row.get(name) for name in more)


def parse_rows(
  path: pathlib.Path, data: bytes, first: int = 0, more: Sequence[str] = ()
) -> dict[tuple, Row]:
  """Reads lines of JSON, all of them whole, as rows by their keys.

  Args:
    path: for the error.
    data: of the file, from the beginning of a line.
    first: the byte of the file at which `data` begins.
    more: see `key_of`.

  Raises:
    RowError: names the file, the line and what to do.
  """
  rows: dict[tuple, Row] = {}
  for number, line in enumerate(data.split(b"\n"), 1):
    if not line and number > data.count(b"\n"):
      break
    try:
      row = strict_json.loads(line)
      check_row(row)
      key = key_of(row, more)
      if key in rows:
        raise RowError(f"a second row for {row['clip']} by {row['method']}")
    except ValueError as error:
      after = f" after byte {first}" if first else ""
      raise RowError(
        f"{path}: line {number}{after} is not a result row ({printable(error):.300});"
        " mend or remove it"
      ) from error
    rows[key] = row
  return rows


def row_lines(rows: Sequence[Mapping[str, Any]]) -> str:
  """Returns rows as lines of JSON."""
  return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def _missing(value: Any) -> bool:
  return value is None or (isinstance(value, float) and math.isnan(value))


def _is_number(value: Any) -> bool:
  # A float32 would take the bound for infinity.
  value = value.item() if isinstance(value, np.generic) else value
  # A comparison, as `math.isfinite` cannot take an integer of 400 digits.
  real = isinstance(value, numbers.Real) and not isinstance(value, bool)
  return real and -_MOST <= value <= _MOST


def _is_count(value: Any) -> bool:
  return _is_number(value) and value >= 0


def _is_text(value: Any) -> bool:
  return isinstance(value, str) and value != ""


def _or_null(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
  return lambda value: _missing(value) or holds(value)


# Field -> (what holds of it, what is wanted).
_Fields = dict[str, tuple[Callable[[Any], bool], str]]

_IDENTITY: _Fields = {
  "clip": (_is_text, "text"),
  "track": (_is_text, "text"),
  "group": (_or_null(_is_text), "text or null"),
  "split": (lambda value: value in _SPLITS, f"one of {', '.join(_SPLITS)}"),
  "model": (_is_text, "text"),
  "corpus": (_is_text, "text"),
  "method": (_is_text, "text"),
  "distance": (_or_null(_is_text), "text or null"),
  "t_ratio": (
    _or_null(lambda value: _is_number(value) and 0 <= value <= 1),
    "a number from 0 to 1, or null",
  ),
  "difficulty_calibration": (
    lambda value: value in DIFFICULTY_CALIBRATIONS,
    f"one of {', '.join(DIFFICULTY_CALIBRATIONS)}",
  ),
  "seed": (
    lambda value: isinstance(value, numbers.Integral) and _is_count(value),
    "a whole number from 0",
  ),
}
_FIGURES: _Fields = {
  "score": (_is_number, "a finite number or null"),
  "cost": (_or_null(_is_number), "a finite number or null"),
  "reached": (
    lambda value: value is None or isinstance(value, bool),
    "true, false or null",
  ),
  "nfe_forward": (_is_count, "a number from 0"),
  "nfe_backward": (_is_count, "a number from 0"),
  "seconds": (_is_count, "a number from 0"),
}


def _check_fields(row: Mapping[str, Any], fields: _Fields) -> None:
  for name, (holds, wanted) in fields.items():
    if name not in row:
      raise RowError(f"has no {name}")
    if not holds(row[name]):
      raise RowError(f"{name} is {_shown(row[name])}, not {wanted}")


def _check_detail(name: str, value: Any) -> None:
  """Refuses a further field that is no number, text, or list of numbers."""
  if name == "log_snr" and not _is_number(value):
    raise RowError(f"log_snr is {_shown(value)}, not a finite number")
  if name == "tau" and not (_is_number(value) and value > 0):
    raise RowError(f"tau is {_shown(value)}, not a number above 0")
  if name in ("budgets", "degradations"):
    # Null where a search has not tried as many budgets as it may.
    holds = isinstance(value, list) and all(map(_or_null(_is_number), value))
  elif isinstance(value, list):
    # One list a twin where there are several.
    nested = all(isinstance(item, list) for item in value)
    flat = [number for item in value for number in item] if nested else value
    holds = len(flat) <= _LONGEST and all(map(_is_number, flat))
  else:
    # The `value` of an ablation may be null.
    holds = value is None or isinstance(value, (str, bool)) or _is_number(value)
  if not holds:
    raise RowError(f"{name} is {_shown(value)}, not finite numbers or text")


def _check_curve(row: Mapping[str, Any]) -> None:
  """Refuses budgets and degradations that do not belong together."""
  if row["method"] in CURVES and not ("budgets" in row and "degradations" in row):
    raise RowError("has no budgets and degradations")
  if "budgets" not in row and "degradations" not in row:
    return
  budgets, degradations = row.get("budgets"), row.get("degradations")
  if not isinstance(budgets, list) or not isinstance(degradations, list):
    raise RowError("has one of budgets and degradations without the other")
  tried = [not _missing(value) for value in budgets]
  if tried != [not _missing(value) for value in degradations]:
    raise RowError("budgets and degradations do not have a value each")
  if not any(tried) or (row["method"] in CURVES and not all(tried)):
    raise RowError("D is not finite along the curve")
  if not any(value for value in degradations if not _missing(value)):
    raise RowError("D is 0 at every budget, so that nothing was perturbed")


def _check_twins(row: Mapping[str, Any]) -> None:
  """Refuses twins without scores, names or NFE, or with too many of them."""
  own = [name for name in _OF_TWINS if name in row]
  if own and len(own) < len(_OF_TWINS):
    missing = next(name for name in _OF_TWINS if name not in row)
    raise RowError(f"has {own[0]} without {missing}")
  if own and len(row["twins"].split(",")) != len(row["twin_scores"]):
    raise RowError(f"has not one of twin_scores for each of twins={row['twins']}")


def _shown(value: Any) -> str:
  try:
    return printable(repr(value))[:60]
  except ValueError:  # An integer of more digits than Python prints.
    return "a number of thousands of digits"
