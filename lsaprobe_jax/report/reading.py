"""What a working folder holds, read whole and checked: rows, records, recordings."""

import collections
import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lsaprobe_jax import strict_json
from lsaprobe_jax.metrics import difficulty, pivot, study, summary
from lsaprobe_jax.rows import ROW_KEY
from lsaprobe_jax.scoring.row_store import read_rows
from lsaprobe_jax.text import first_line, printable, printable_leaves

Rows = list[dict[str, Any]]
Records = list[dict[str, Any]]
Summarise = Callable[[Rows], Records]

_DIGITS = 5
# Scores of two runs of the same thing, on machines that round otherwise.
_SAME = 1e-3
# What every record of a summary has, of what is shown of it.
_RECORD = (
  *pivot.SETTING, "model", "n_member", "n_nonmember",
  "auc", "auc_ci", "tpr", "tpr_ci", "flagged",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recording:
  """What `launch.eval --record` kept.

  Attributes:
    index: `index.json`.
    clips: one dict a recorded clip: what the index says of it, `about`, `audio` int16
      [1 + 3 times, samples] and `images` uint8 [1 + 3 times, mels, frames]: x_0, then
      x_t, clean and attacked reconstructions by time.
    missing: clips chosen and not recorded yet.
    sounds: int16 [samples] of judged clips, by their ids.
  """

  index: dict[str, Any]
  clips: list[dict[str, Any]]
  missing: int
  sounds: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Results:
  """An evaluation, a sweep, or both.

  Attributes:
    workdir: the folder.
    rows: rows of the main table, raw and difficulty-calibrated.
    records: `summary.summarise` of them.
    ablations: (rows, records) by the name of the ablation.
    run: settings and hashes, run.json; empty where there is none.
    environments: commands and versions, environment.json.
    sets: sets.json of launch.sets, or None.
    recording: see Recording, or None.
  """

  workdir: pathlib.Path
  rows: Rows
  records: Records
  ablations: dict[str, tuple[Rows, Records]]
  run: dict[str, Any]
  environments: list[dict[str, Any]]
  sets: dict[str, Any] | None
  recording: Recording | None


def read(workdir: pathlib.Path, summarise: Summarise) -> Results:
  """The folder of launch.eval or of launch.sweep, or a study in results/.

  All text comes back as it may stand in a page or a figure (`text.printable`).

  Args:
    workdir: see above.
    summarise: makes the records that a study of stored rows comes without.

  Raises:
    ValueError: there is nothing to report in the folder, a file in it is damaged, or
      the summary is not of its rows; the message says which command to run.
    OSError: a file cannot be read.
  """
  if not workdir.is_dir():
    raise ValueError("no such folder; give one that launch.eval or launch.sweep wrote")
  with explained("a file of the folder"):
    found = _read(workdir, summarise)
    fields = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    texts = ("rows", "records", "ablations", "run", "environments", "sets")
    found = dataclasses.replace(
      found, **{name: printable_leaves(fields[name]) for name in texts}
    )
    _check_summaries(found)
  return found


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
  """Makes what damaged data does to the code that reads it a ValueError, in one line.

  Files are checked as they are read. Of what is as deep as in a summary or a recording
  only shapes are, and this stands for the rest.

  Args:
    what: the data, for the message.
  """
  try:
    yield
  except (
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
  ) as error:
    raise ValueError(
      f"{what} does not hold what its command writes ({type(error).__name__}:"
      f" {printable(first_line(error)):.200}); run that command again"
    ) from error


def _read(workdir: pathlib.Path, summarise: Summarise) -> Results:
  if (workdir / "scores.jsonl").exists():
    return _read_evaluation(workdir)
  if (workdir / "main.jsonl").exists() or (workdir / "main.jsonl.gz").exists():
    return _read_study(workdir, summarise)
  raise ValueError(
    "has neither scores.jsonl nor main.jsonl; run launch.eval or launch.sweep there"
  )


def _check_summaries(found: Results) -> None:
  summary.check(found.rows, found.records)
  for rows, records in found.ablations.values():
    of_value = study.with_reference(rows)
    for value, own in pivot.groups(records, "value").items():
      summary.check(of_value.get(value, []), own)


def combine(main: Results, sweep: Results) -> Results:
  """An evaluation with the further methods and the ablations of a sweep of it.

  Raises:
    ValueError: the two scored other clips, or scored them differently.
  """
  ours, theirs = _judged(main.rows), _judged(sweep.rows)
  shared = ours.keys() & theirs.keys()
  clips = [{(key[0], key[1]) for key in table} for table in (ours, theirs)]
  if not shared or clips[0] != clips[1]:
    raise ValueError("holds scores of other clips or models than --workdir does")
  for key in shared:
    if not math.isclose(ours[key], theirs[key], rel_tol=_SAME, abs_tol=1e-12):
      raise ValueError(
        f"scores {key} at {theirs[key]:g} where --workdir has {ours[key]:g}: not the"
        " same weights, data or settings"
      )
  _check_probe(main, sweep)
  settings = {pivot.setting_of(record) for record in main.records}
  return dataclasses.replace(
    main,
    rows=main.rows
    + [row for row in sweep.rows if pivot.setting_of(row) not in settings],
    records=main.records
    + [r for r in sweep.records if pivot.setting_of(r) not in settings],
    ablations=sweep.ablations,
    environments=main.environments + sweep.environments,
    run=main.run or sweep.run,
    sets=main.sets or sweep.sets,
    recording=main.recording or sweep.recording,
  )


def _check_probe(main: Results, sweep: Results) -> None:
  """Refuses a sweep around a probe of another distance or time."""
  own, other = (
    {
      f"{record['distance']} at {record['t_ratio']:g} T"
      for record in part.records
      if record["method"] == study.PROBE
    }
    for part in (main, sweep)
  )
  if own and other - own:
    raise ValueError(
      f"its {study.PROBE} is by {min(other - own)} where that of --workdir is by"
      f" {min(own)}; give a sweep around the same settings"
    )


def _read_evaluation(workdir: pathlib.Path) -> Results:
  rows = read_rows(workdir / "scores.jsonl")
  records = _read_records(workdir / "summary.json")
  if records is None:
    raise ValueError("has no summary.json; let launch.eval finish")
  return Results(
    workdir=workdir,
    rows=rows + difficulty.calibrated(rows),
    records=records,
    ablations={},
    run=_read_json(workdir / "run.json", dict) or {},
    environments=_read_json(workdir / "environment.json", list) or [],
    sets=_read_json(workdir / "sets.json", dict),
    recording=_read_recording(workdir / "records"),
  )


def _read_study(workdir: pathlib.Path, summarise: Summarise) -> Results:
  parts = study.read(workdir)
  study.check_ablations(parts)
  rows = study.main_rows(parts)
  tidy = _read_records(workdir / "ablations.json", ("ablation", "value"))
  ablations = {
    name: (
      own,
      study.ablation_records(name, own, summarise)
      if tidy is None
      else [record for record in tidy if record["ablation"] == name],
    )
    for name, own in parts.items()
    if name not in (study.MAIN, study.TUNE)
  }
  return Results(
    workdir=workdir,
    rows=rows,
    records=_read_records(workdir / "summary.json") or summarise(rows),
    ablations=ablations,
    run=_read_json(workdir / "runs" / "main" / "run.json", dict) or {},
    environments=_read_json(workdir / "environment.json", list) or [],
    sets=_read_json(workdir / "sets.json", dict),
    recording=None,
  )


def _read_recording(folder: pathlib.Path) -> Recording | None:
  index = _read_json(folder / "index.json", dict)
  if index is None:
    return None
  clips, missing = [], 0
  for item in index["clips"]:
    if pathlib.PurePath(item["file"]).name != item["file"]:
      raise ValueError(f"{folder / 'index.json'}: {item['file']} is not in its folder")
    path = folder / item["file"]
    if not path.exists():
      missing += 1
      continue
    arrays = _load(path, ("about", "audio", "images"))
    about = strict_json.loads(str(arrays["about"]))
    clips.append(
      printable_leaves(item | {"about": about})
      | {name: arrays[name] for name in ("audio", "images")}
    )
  path = folder / "sounds.npz"
  sounds = _load(path, ("clips", "audio")) if path.exists() else None
  return Recording(
    index=printable_leaves(index),
    clips=clips,
    missing=missing,
    sounds={}
    if sounds is None
    else dict(
      zip(printable_leaves(sounds["clips"].tolist()), sounds["audio"], strict=True)
    ),
  )


def _load(path: pathlib.Path, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
  """Arrays of an archive by their names, by default all."""
  try:
    # Pickles could run what they like; no array here needs one.
    with np.load(path, allow_pickle=False) as file:
      return {name: file[name] for name in names or file.files}
  # Degradation ends in whatever zip, zlib and NumPy's own header raise on it.
  except Exception as error:
    raise ValueError(
      f"{path}: damaged ({first_line(error)}); delete it and run launch.eval --record"
      " again"
    ) from error


def _read_json(path: pathlib.Path, kind: type) -> Any:
  return strict_json.read(path, kind, "write it again") if path.exists() else None


def _read_records(path: pathlib.Path, more: Sequence[str] = ()) -> Records | None:
  """Records of a summary, checked as far as figures and tables need; None without."""
  records = _read_json(path, list)
  for number, record in enumerate(records or ()):
    if lacking := [name for name in (*_RECORD, *more) if name not in record]:
      raise ValueError(
        f"{path}: damaged (record {number} has no {lacking[0]}); write it again"
      )
    if not isinstance(record["auc"], int | float):
      raise ValueError(
        f"{path}: damaged (the AUC of record {number} is no number); write it again"
      )
  return records


def probe_rows(rows: Rows) -> Rows:
  """Judged rows of the probe, raw."""
  return [
    row
    for row in rows
    if row["method"] == study.PROBE
    and row["difficulty_calibration"] == "none"
    and row["split"] in pivot.JUDGED
  ]


def title(row: dict[str, Any], about: dict[str, dict]) -> str:
  """What a clip is called in the page: its title where it is known, else its track."""
  return about.get(row["clip"], {}).get("title") or row["track"]


def titles(rows: Rows, about: dict[str, dict]) -> dict[str, str]:
  """Titles by clip; where several clips have one, with the second each begins at."""
  named = {row["clip"]: title(row, about) for row in rows}
  count = collections.Counter(named.values())
  return {
    clip: f"{name}, at {_begin(clip)} s" if count[name] > 1 else name
    for clip, name in named.items()
  }


def _begin(clip: str) -> str:
  """The second at which a clip begins, as its id says."""
  begin = clip.rpartition("@")[2].partition("+")[0]
  return f"{int(begin) / 1000:.1f}" if begin.isdecimal() else clip


def shortened(value: float) -> float:
  """A figure to as many digits as a drawing needs."""
  return float(f"{value:.{_DIGITS}g}")


def _judged(rows: Rows) -> dict[tuple, float]:
  return {
    tuple(row[name] for name in ROW_KEY): row["score"]
    for row in rows
    if row["split"] in pivot.JUDGED
    and row["difficulty_calibration"] == "none"
    and row["model"] != pivot.REFERENCE
  }
