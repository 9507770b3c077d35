"""Sets of a study: all members, and those of each album, against all non-members."""

from collections import Counter
from typing import Any

from lsaprobe_jax.metrics import comparisons, pivot, sets, study, tables
from lsaprobe_jax.rows import Row

# Methods, and by what their difficulty is taken off, that sets are tested by.
_METHODS = (
  (study.PROBE, "none"),
  (study.LOSS, "none"),
  (study.LOSS, "reference"),
  (study.LOSS, "twins"),
)
_ALBUM_TRACKS = 5
# With 199 divisions a rejection at 5% takes a p-value of at most ten of them.
_NULL_PERMUTATIONS = 199


def format_sets(rows: list[Row]) -> str:
  """Tests of all members as one set, and of each album, against all non-members.

  An album is tracks that are called alike up to the first hyphen, as those of a Debian
  package are. Its tracks among the non-members, against the others of these, are its
  control: what its music alone does.

  Args:
    rows: rows of a main table, raw and difficulty-calibrated (`study.main_rows`).
  """
  found = pivot.groups(pivot.targets_only(rows), ("method", "difficulty_calibration"))
  parts = []
  for key in _METHODS:
    for model, judged in sorted(pivot.groups(found.get(key, ()), "model").items()):
      if text := _tests_of_model([row for row in judged if row["score"] is not None]):
        parts.append(f"{tables.label(*key)}, {model}:\n{text}")
  return "\n\n".join(parts) or "too few tracks"


def _tests_of_model(rows: list[Row]) -> str:
  """Tests of the sets of one model by one method; nothing where tracks are too few."""
  members, others = (
    [row for row in rows if row["split"] == split] for split in pivot.JUDGED
  )
  found = {"members": _track_means(members)}
  # One that holds all members is no set of its own.
  sizes = range(_ALBUM_TRACKS, len(found["members"]))
  for album in _albums(members, sizes):
    own = [row for row in members if _album(row) == album]
    found[f"{album}-*"] = _track_means(own)
  if min(len(means) for means in (*found.values(), _track_means(others))) < 4:
    return ""
  tests = sets.compare_sets(found, _track_means(others)) | unseen_albums(others)
  rejections = sets.null_rejections(
    [row["score"] for row in others],
    [row["track"] for row in others],
    permutations=_NULL_PERMUTATIONS,
  )
  return sets.format_tests(tests, rejections)


def unseen_albums(rows: list[Row]) -> dict[str, sets.SetTest]:
  """Albums of non-members, each against the other non-members, corrected by Holm."""
  tests = {}
  for album in _albums(rows, range(_ALBUM_TRACKS, len(rows) + 1)):
    own, rest = (
      _track_means([row for row in rows if (_album(row) == album) == among])
      for among in (True, False)
    )
    if len(rest) > 3:
      name = f"{album}-*, not trained on"
      tests |= sets.compare_sets({name: own}, rest)
  p_holm = comparisons.holm([test.p_value for test in tests.values()])
  return {
    name: test._replace(p_holm=float(p))
    for (name, test), p in zip(tests.items(), p_holm, strict=True)
  }


def _albums(rows: list[Row], sizes: range) -> list[str]:
  """Albums that have as many tracks, by name."""
  counts = Counter(album for album, _ in {(_album(r), r["track"]) for r in rows})
  return sorted(album for album, count in counts.items() if count in sizes)


def _album(row: dict[str, Any]) -> str:
  # Ids of the corpus `dose` have its name in front of the package's.
  return row["track"].removeprefix("dose-").split("-")[0]


def _track_means(rows: list[Row]):
  return sets.track_means([r["score"] for r in rows], [r["track"] for r in rows])
