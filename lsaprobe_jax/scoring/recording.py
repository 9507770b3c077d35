"""What a report shows of single clips: sounds, spectrograms, searches step by step.

Runs after the scoring and touches none of it. For a few clips of each side, chosen by
`choose`, and one model it keeps x_0, x_t, R_t(x_t) and R_t(x_t + sigma_t delta~) at
several t, as short sounds and log-mel images, and every ascent step of the searches.
A clip is one file, written whole when it is done; what is there is not made again.
"""

import functools
import hashlib
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from tqdm import tqdm

from lsaprobe_jax import strict_json
from lsaprobe_jax.data.clips import Clip, Corpus
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.scoring.experiment import Evaluation
from lsaprobe_jax.scoring.factories import PROBE, make_distance, make_search
from lsaprobe_jax.scoring.record_media import (
  RANGE_DB,
  log_mel_images,
  save_arrays,
  to_int16,
)
from lsaprobe_jax.scoring.record_programs import (
  RecordSettings,
  Walk,
  check_repeats,
  one_trace,
  reconstruction_distance,
  trace_search,
  walk,
)
from lsaprobe_jax.scoring.scorer import clip_number
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.strict_json import to_json

FOLDER, INDEX = "records", "index.json"
# What mends one that is damaged.
AGAIN = "delete it, and it is made again"

# Its two loops are what the report replays, beside the evaluation's own search.
PAPER_SEARCH = "bisection"

RULE = (
  "clips at evenly spaced ranks of the probe's score within each side, ties in the"
  " order of their names: of one the median, of three the least stable, the typical and"
  " the most stable"
)

# Sounds of clips that are only listed are kept while they are few.
_MOST_SOUND_BYTES = 4_000_000


def choose(rows: Sequence[Mapping], count: int) -> list[dict[str, Any]]:
  """Clips to record, by `RULE`.

  Args:
    rows: of the probe under one model; only members and non-members count.
    count: clips of each side, at least 1; all of a side that has fewer.

  Returns:
    One dict a clip: its `row`, its `rank` within the side from 0 (least stable) to 1,
    and `label`.
  """
  chosen = []
  for split in ("member", "nonmember"):
    side = sorted(
      (row for row in rows if row["split"] == split),
      key=lambda row: (row["score"], row["clip"]),
    )
    # More than there are would only take memory.
    few = min(count, len(side))
    ranks = np.linspace(0, 1, few) if few > 1 else np.array([0.5])
    places = sorted({int(rank * (len(side) - 1) + 0.5) for rank in ranks if side})
    for place in places:
      rank = place / max(len(side) - 1, 1)
      chosen.append({"row": side[place], "rank": rank, "label": _label(rank)})
  return chosen


def _label(rank: float) -> str:
  names = {0.0: "least stable", 1.0: "most stable"}
  typical = "typical" if abs(rank - 0.5) < 0.1 else f"rank {rank:.0%}"
  return names.get(rank, typical)


def record(
  folder: pathlib.Path,
  settings: RecordSettings,
  halves: Corpus,
  development: Corpus,
  rows: Sequence[Mapping],
  count: int,
) -> None:
  """Records some clips of each side into a folder.

  Args:
    folder: `index.json`, `sounds.npz` and one file a clip go here.
    settings: see RecordSettings.
    halves: the clips that were judged.
    development: clips that no model was trained on; they set the threshold of the
      reconstruction's distance at each t.
    rows: of the probe under the target, with `tau`.
    count: clips of each side.

  Raises:
    ValueError: a traced search does not come to what its row says.
  """
  folder.mkdir(parents=True, exist_ok=True)
  chosen = choose(rows, count)
  _write_index(folder / INDEX, settings, halves, development, chosen)
  _keep_sounds(folder / "sounds.npz", halves, {item["row"]["clip"] for item in chosen})
  new = [i["row"] for i in chosen if not (folder / _file(i["row"])).exists()]
  search, eta = next(iter(settings.searches.values())), np.float32(settings.eta_ref)
  walks = settings.program(
    lambda g, d, key, audio, t: walk(g, d, search, key, audio, t, eta)
  )
  traces = {
    name: settings.program(functools.partial(trace_search, search))
    for name, search in settings.searches.items()
  }
  width = len(jax.local_devices())
  with tqdm(total=len(new), unit="clip", desc="record") as bar:
    for start in range(0, len(new), width):
      part = new[start : start + width]
      for row, arrays in _record_clips(settings, halves, part, walks, traces):
        save_arrays(folder / _file(row), **arrays)
        bar.update()
  logging.info("%s: %d clips", folder, len(chosen))


def _write_index(
  path: pathlib.Path,
  settings: RecordSettings,
  halves: Corpus,
  development: Corpus,
  chosen: list[dict[str, Any]],
) -> None:
  before = {}
  if path.exists():
    before = strict_json.read(path, dict, AGAIN)
  index = {
    "rule": RULE,
    "model": settings.target.name,
    "times": settings.times,
    "t_ratio": settings.t_ratio,
    "eta_ref": settings.eta_ref,
    "quantile": settings.quantile,
    "distance": settings.distance_name,
    "sample_rate": halves.sample_rate,
    **({"channels": halves.channels} if halves.channels > 1 else {}),
    "clip_seconds": halves.clip_seconds,
    "n_development": len(development),
    "thresholds": before.get("thresholds") or _thresholds(settings, development),
    "clips": [
      {"file": _file(item["row"]), "rank": item["rank"], "label": item["label"]}
      for item in chosen
    ],
    "about": {clip.id: _about(clip) for clip in halves.clips},
  }
  write_whole(path, json.dumps(index, indent=1) + "\n")


def _file(row: Mapping) -> str:
  name = f"{row['model']} {row['clip']}".encode("utf-8", "surrogatepass")
  stem = hashlib.sha256(name).hexdigest()[:16]
  return f"{stem}.npz"


def _about(clip: Clip) -> dict[str, str]:
  return {name: getattr(clip, name) for name in ("title", "author", "licence")}


def _thresholds(settings: RecordSettings, development: Corpus) -> list[float]:
  """By time, a quantile of the reconstruction's distance over development clips."""
  numbers = [clip_number(clip.id) for clip in development.clips]
  repeat = len(settings.times)
  found = settings.program(reconstruction_distance)(
    np.repeat(development.audio[:], repeat, axis=0),
    np.repeat(numbers, repeat),
    np.tile(settings.times, len(development)),
  )
  by_time = found.reshape(len(development), repeat)
  return np.quantile(by_time, settings.quantile, axis=0).tolist()


def _keep_sounds(path: pathlib.Path, halves: Corpus, always: set[str]) -> None:
  """Sounds of all judged clips, or of those recorded where all would be too much."""
  all_fit = 2 * math.prod(halves.audio.shape) <= _MOST_SOUND_BYTES
  kept = [i for i, c in enumerate(halves.clips) if all_fit or c.id in always]
  save_arrays(
    path,
    clips=np.array([halves.clips[i].id for i in kept]),
    audio=to_int16(halves.audio[kept]),
  )


def _record_clips(
  settings: RecordSettings,
  halves: Corpus,
  rows: list[Mapping],
  walks: Callable[..., Walk],
  traces: Mapping[str, Callable[..., dict]],
) -> Iterator[tuple[Mapping, dict[str, np.ndarray]]]:
  """(row, arrays to keep) of a few clips, run side by side."""
  place = {clip.id: i for i, clip in enumerate(halves.clips)}
  audio = halves.audio[[place[row["clip"]] for row in rows]]
  numbers = [clip_number(row["clip"]) for row in rows]
  tau = np.array([row["tau"] for row in rows], np.float32)
  own_t = [settings.t_ratio] * len(rows)
  found = {name: run(audio, numbers, own_t, tau) for name, run in traces.items()}
  traced = [
    {name: one_trace(of_search, i) for name, of_search in found.items()}
    for i in range(len(rows))
  ]
  for row, searches in zip(rows, traced, strict=True):
    check_repeats(row, next(iter(searches.values())))
  repeat = len(settings.times)
  states = walks(
    np.repeat(audio, repeat, axis=0),
    np.repeat(numbers, repeat),
    np.tile(settings.times, len(rows)),
  )
  for i, row in enumerate(rows):
    own = jax.tree.map(lambda x, i=i: x[i * repeat : (i + 1) * repeat], states)
    yield row, _arrays(settings, row, audio[i], own, traced[i])


def _arrays(
  settings: RecordSettings,
  row: Mapping,
  audio: np.ndarray,
  walks: Walk,
  traces: Mapping,
) -> dict[str, np.ndarray]:
  """Everything kept of one clip, small: 16-bit sounds, 8-bit images, JSON."""
  # A model of several channels may be given clips of one.
  audio = np.broadcast_to(audio, walks.clean.shape[1:])
  panels = np.concatenate([audio[None], walks.noisy, walks.clean, walks.attacked])
  # One gain for all panels of a clip, so that they can be compared by ear.
  gain = min(1.0, 0.99 / np.max(np.abs(panels)))
  images, top_db = log_mel_images(panels, settings.target.model.sample_rate)
  about = {
    "row": {k: v for k, v in row.items() if k not in ("budgets", "degradations")},
    "reconstruction": walks.reconstruction.tolist(),
    "degradation": walks.degradation.tolist(),
    "searches": traces,
    "gain": gain,
    "top_db": top_db,
    "range_db": RANGE_DB,
  }
  return {
    "about": np.array(json.dumps(to_json(about))),
    "audio": to_int16(gain * panels),
    "images": images,
  }


def check(settings: Experiment, folder: pathlib.Path | None, count: int) -> None:
  """Refuses, before anything is scored, records that could not be gone on with.

  Args:
    settings: of the evaluation.
    folder: of the evaluation, which need not be there yet.
    count: clips of each side to record; 0 for none.

  Raises:
    ArgumentError: the probe is not among the methods, the paper's search has no
      settings, there is no folder or no waveform, or the records there are damaged.
  """
  if not count:
    return
  if folder is None:
    raise ArgumentError(f"record={count}: needs a folder")
  if PROBE not in settings.methods:
    raise ArgumentError(f"record: needs {PROBE} in methods")
  if settings.stop_at == "mel":
    raise ArgumentError("record: needs waveforms, and stop_at=mel makes none")
  if PAPER_SEARCH not in settings.search.options:
    raise ArgumentError(f"record: needs search.{PAPER_SEARCH}, settings")
  path = folder / FOLDER / INDEX
  try:
    if path.exists():
      strict_json.read(path, dict, AGAIN)
  except (OSError, ValueError) as error:
    raise ArgumentError(f"record={count}: {error}") from error


def record_evaluation(run: Evaluation, folder: pathlib.Path, count: int) -> None:
  """Records some clips of each side under the first target, in FOLDER/records.

  Args:
    run: a finished evaluation by the probe among others.
    folder: where its rows are.
    count: clips of each side.

  Raises:
    ArgumentError: it cannot be recorded.
  """
  target, settings = run.first_target, run.settings
  names = {"method": PROBE, "model": target.name}
  rows = [row for row in run.scores.asked if names.items() <= row.items()]
  # Beside the evaluation's own search the paper's, whose two loops the report replays.
  searches_used = dict.fromkeys((settings.search.name, PAPER_SEARCH))
  of_recording = RecordSettings(
    target=target,
    distance=make_distance(settings.distance, run.halves),
    distance_name=settings.distance,
    searches={name: make_search(settings.search, name) for name in searches_used},
    t_ratio=settings.t_ratio,
    eta_ref=settings.tau.eta_ref,
    quantile=settings.tau.quantile,
    seed=settings.seed,
  )
  try:
    record(folder / FOLDER, of_recording, run.halves, run.development, rows, count)
  except (OSError, ValueError) as error:
    raise ArgumentError(f"record={count}: {folder / FOLDER}: {error}") from error
