"""Sets of tracks in the rows of an evaluation: which are the suspects, and their tests.

`sets` tests scores of tracks. Here are the choices before it: whose scores, under which
model, which tracks are suspects, and which are the reference.
"""

import dataclasses
import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.metrics import difficulty, pivot, sets
from lsaprobe_jax.rows import Row
from lsaprobe_jax.text import short

_NAMES = (*pivot.SETTING, "model", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetComparison:
  """Sets of suspects under one model by one method, each against one reference.

  Attributes:
    setting: corpus, method, distance, t_ratio, difficulty_calibration, model and seed
      of the scores.
    suspects: names of the tracks of each set, sorted.
    tests: the test of each set.
    null_rejections: how often the same test rejects between random halves of the
      reference.
  """

  setting: dict[str, Any]
  suspects: dict[str, list[str]]
  tests: dict[str, sets.SetTest]
  null_rejections: sets.NullRejections

  def __str__(self) -> str:
    """The tests as a table, with a line on the level they keep."""
    return sets.format_tests(self.tests, self.null_rejections)

  def to_dict(self) -> dict[str, Any]:
    """The content of sets.json."""
    tests = {
      name: test._asdict() | {"names": self.suspects[name]}
      for name, test in self.tests.items()
    }
    rejections = self.null_rejections._asdict()
    return self.setting | {"sets": tests, "null_rejections": rejections}


def compare_tracks(
  rows: Iterable[Row],
  *,
  method: str = "lsa_probe",
  model: str | None = None,
  distance: str | None = None,
  t_ratio: float | None = None,
  difficulty_calibration: str = "none",
  suspects: Mapping[str, str] | None = None,
  permutations: int = 9_999,
  draws: int = 200,
  alpha: float = 0.05,
  seed: int = 0,
) -> SetComparison:
  """Tests sets of tracks against those that the model was surely not trained on.

  The reference is the tracks of the model's non-members, less all suspects.

  Args:
    rows: rows of an evaluation, raw.
    method: the method whose scores to read.
    model: the model under audit; A by default, or the only one.
    distance: the method's distance, where it has several.
    t_ratio: the method's time, where it has several.
    difficulty_calibration: `reference` reads scores less those under the model named
      `reference`.
    suspects: a glob on the names of tracks by the name of the set; by default the one
      set `members`, all tracks that the model was trained on.
    permutations: see `sets.compare_sets`.
    draws: see `sets.null_rejections`.
    alpha: see `sets.null_rejections`.
    seed: seed of all divisions.

  Raises:
    ArgumentError: names the argument that cannot be used: no such method, model or
      track, several settings of the method, too few tracks.
  """
  own = _choose(rows, method, model, distance, t_ratio, difficulty_calibration)
  tracks = _suspect_tracks(own, suspects)
  taken = set().union(*tracks.values())
  others = [r for r in own if r["split"] == "nonmember" and r["track"] not in taken]
  chosen = {name: [r for r in own if r["track"] in of] for name, of in tracks.items()}
  try:
    tests = sets.compare_sets(
      {name: _track_means(found) for name, found in chosen.items()},
      _track_means(others),
      permutations=permutations,
      seed=seed,
    )
    rejections = sets.null_rejections(
      *_scores(others), draws=draws, alpha=alpha, seed=seed
    )
  except ValueError as error:
    raise ArgumentError(f"suspects: {error}") from error
  return SetComparison(
    setting={name: own[0][name] for name in _NAMES},
    suspects={name: sorted(of) for name, of in tracks.items()},
    tests=tests,
    null_rejections=rejections,
  )


def _choose(rows, method, model, distance, t_ratio, calibration) -> list[Row]:
  """Judged rows of the one method, setting and model that are named."""
  rows = list(rows)
  if calibration not in ("none", "reference"):
    raise ArgumentError(
      f"difficulty_calibration={short(calibration)}: 'none' or 'reference'"
    )
  if calibration != "none":
    rows = difficulty.by_reference(rows)
    if not rows:
      raise ArgumentError(
        "difficulty_calibration: nothing was scored under a reference model"
      )
  targets = [row for row in rows if row["model"] != pivot.REFERENCE]
  scored = [row for row in targets if row["method"] == method]
  if not scored:
    raise ArgumentError(f"method={method}: known: {_known(targets, 'method')}")
  model = _model(scored, method, model)
  wanted = {"distance": distance, "t_ratio": t_ratio}
  wanted = {name: value for name, value in wanted.items() if value is not None}
  own = [r for r in scored if r["model"] == model and wanted.items() <= r.items()]
  settings = {(r["corpus"], r["distance"], r["t_ratio"], r["seed"]) for r in own}
  if len(settings) != 1:
    there = settings or {(r["corpus"], r["distance"], r["t_ratio"]) for r in scored}
    raise ArgumentError(
      f"method={method}: choose one by distance and t_ratio:"
      f" {'; '.join(sorted(map(str, there)))}"
    )
  return [row for row in own if row["split"] in pivot.JUDGED]


def _model(rows: list[Row], method: str, model: str | None) -> str:
  known = {row["model"] for row in rows}
  model = model or (min(known) if len(known) == 1 else "A")
  if model not in known:
    raise ArgumentError(
      f"model={model}: {method} has scored under {_known(rows, 'model')}"
    )
  return model


def _known(rows: list[Row], key: str) -> str:
  return ", ".join(sorted({row[key] for row in rows})) or "none"


def _suspect_tracks(
  rows: list[Row], suspects: Mapping[str, str] | None
) -> dict[str, set[str]]:
  """Tracks of each set that is named."""
  tracks = {row["track"] for row in rows}
  if not suspects:
    return {"members": {row["track"] for row in rows if row["split"] == "member"}}
  found = {}
  for name, glob in suspects.items():
    found[name] = {track for track in tracks if fnmatch.fnmatchcase(track, glob)}
    if not found[name]:
      raise ArgumentError(
        f"suspects={name}={glob}: no such track, of {len(tracks)} such as {min(tracks)}"
      )
  return found


def _scores(rows: list[Row]) -> tuple[list[float], list[str]]:
  return [row["score"] for row in rows], [row["track"] for row in rows]


def _track_means(rows: list[Row]):
  return sets.track_means(*_scores(rows))
