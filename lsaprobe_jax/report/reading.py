"""What a working folder holds, read whole and checked: rows, records, recordings."""

import dataclasses
import json
import math
import pathlib
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from lsaprobe_jax.evaluation import calibration, roc, study, summary
from lsaprobe_jax.results import ROW_KEY

Rows = list[dict[str, Any]]
Records = list[dict[str, Any]]
Summarise = Callable[[Rows], Records]

# Scores of two runs of the same thing, on machines that round otherwise.
_SAME = 1e-3
# Of an archive whose bytes are cut short or changed.
_DAMAGED = (zipfile.BadZipFile, zlib.error)


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
    rows: of the main table, raw and calibrated.
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

  Args:
    workdir: see above.
    summarise: makes the records that a study of stored rows comes without.

  Raises:
    ValueError: there is nothing to report in the folder, or a summary that is not of
      its rows; the message says which command to run.
  """
  if not workdir.is_dir():
    raise ValueError("no such folder; give one that launch.eval or launch.sweep wrote")
  if (workdir / "scores.jsonl").exists():
    found = _read_evaluation(workdir)
  elif (workdir / "main.jsonl").exists() or (workdir / "main.jsonl.gz").exists():
    found = _read_study(workdir, summarise)
  else:
    raise ValueError(
      "has neither scores.jsonl nor main.jsonl; run launch.eval or launch.sweep there"
    )
  _check_summary(found.rows, found.records)
  for rows, records in found.ablations.values():
    for value in {record["value"] for record in records}:
      own = [row for row in rows if row["value"] == value]
      _check_summary(
        own + calibration.by_reference(own),
        [record for record in records if record["value"] == value],
      )
  return found


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
  settings = {summary.setting_of(record) for record in main.records}
  return dataclasses.replace(
    main,
    rows=main.rows
    + [row for row in sweep.rows if summary.setting_of(row) not in settings],
    records=main.records
    + [r for r in sweep.records if summary.setting_of(r) not in settings],
    ablations=sweep.ablations,
    environments=main.environments + sweep.environments,
    run=main.run or sweep.run,
    sets=main.sets or sweep.sets,
    recording=main.recording or sweep.recording,
  )


def _read_evaluation(workdir: pathlib.Path) -> Results:
  text = (workdir / "scores.jsonl").read_bytes()
  if not text.endswith(b"\n"):
    raise ValueError("scores.jsonl ends in half a row; let launch.eval finish")
  rows = [row for row in map(_json, text.splitlines()) if row["score"] is not None]
  records = _read_json(workdir / "summary.json")
  if records is None:
    raise ValueError("has no summary.json; let launch.eval finish")
  return Results(
    workdir=workdir,
    rows=rows + calibration.by_reference(rows),
    records=records,
    ablations={},
    run=_read_json(workdir / "run.json") or {},
    environments=_read_json(workdir / "environment.json") or [],
    sets=_read_json(workdir / "sets.json"),
    recording=_read_recording(workdir / "records"),
  )


def _read_study(workdir: pathlib.Path, summarise: Summarise) -> Results:
  parts = study.read(workdir)
  rows = study.main_rows(parts)
  tidy = _read_json(workdir / "ablations.json")
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
    records=_read_json(workdir / "summary.json") or summarise(rows),
    ablations=ablations,
    run=_read_json(workdir / "runs" / "main" / "run.json") or {},
    environments=_read_json(workdir / "environment.json") or [],
    sets=_read_json(workdir / "sets.json"),
    recording=None,
  )


def _read_recording(folder: pathlib.Path) -> Recording | None:
  index = _read_json(folder / "index.json")
  if index is None:
    return None
  clips, missing = [], 0
  for item in index["clips"]:
    path = folder / item["file"]
    if not path.exists():
      missing += 1
      continue
    arrays = _load(path)
    about = json.loads(str(arrays["about"]))
    clips.append(
      item | {"about": about} | {name: arrays[name] for name in ("audio", "images")}
    )
  sounds = _load(folder / "sounds.npz") if (folder / "sounds.npz").exists() else None
  return Recording(
    index=index,
    clips=clips,
    missing=missing,
    sounds={}
    if sounds is None
    else dict(zip(sounds["clips"].tolist(), sounds["audio"], strict=True)),
  )


def _load(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    # Pickles could run what they like; no array here needs one.
    with np.load(path, allow_pickle=False) as file:
      return dict(file)
  except (*_DAMAGED, OSError, ValueError, KeyError, EOFError) as error:
    raise ValueError(
      f"{path}: damaged ({error}); delete it and run launch.eval --record again"
    ) from error


def _json(line: bytes) -> dict[str, Any]:
  try:
    return json.loads(line)
  except ValueError as error:
    raise ValueError(f"scores.jsonl: a line is not a row ({error})") from error


def _read_json(path: pathlib.Path) -> Any:
  if not path.exists():
    return None
  try:
    return json.loads(path.read_text())
  except ValueError as error:
    raise ValueError(f"{path}: damaged ({error}); write it again") from error


def _check_summary(rows: Rows, records: Records) -> None:
  """ValueError where a record's AUC or counts are not those of the rows."""
  tables: dict[tuple, Rows] = {}
  for row in rows:
    if row["split"] in summary.JUDGED and row["model"] != summary.REFERENCE:
      tables.setdefault((*summary.setting_of(row), row["model"]), []).append(row)
  for record in records:
    if record["model"] in ("mean", summary.REFERENCE):
      continue
    own = tables.get((*summary.setting_of(record), record["model"]), [])
    labels = [row["split"] == "member" for row in own]
    counts = (sum(labels), len(labels) - sum(labels))
    fits = counts == (record["n_member"], record["n_nonmember"])
    if not fits or abs(roc.auc([r["score"] for r in own], labels) - record["auc"]) > (
      1e-9
    ):
      raise ValueError(
        f"the summary's {record['method']} under {record['model']} is not of these"
        " rows; run the command that wrote them again"
      )


def _judged(rows: Rows) -> dict[tuple, float]:
  return {
    tuple(row[name] for name in ROW_KEY): row["score"]
    for row in rows
    if row["split"] in summary.JUDGED
    and not row["calibrated"]
    and row["model"] != summary.REFERENCE
  }
