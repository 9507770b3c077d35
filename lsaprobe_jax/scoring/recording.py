"""What a report shows of single clips: sounds, spectrograms, searches step by step.

Runs after the scoring and touches none of it. For a few clips of each side, chosen by
`choose`, and one model it keeps x_0, x_t, R_t(x_t) and R_t(x_t + sigma_t delta~) at
several t, as short sounds and log-mel images, and every ascent step of the searches.
A clip is one file, written whole when it is done; what is there is not made again.
"""

import dataclasses
import functools
import hashlib
import io
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from flax import struct
from tqdm import tqdm

from lsaprobe_jax import parallel, probe, strict_json
from lsaprobe_jax.data.clips import Clip, Corpus
from lsaprobe_jax.diffusion import timestep
from lsaprobe_jax.distances.spectral import LogMel
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.scoring.experiment import Evaluation
from lsaprobe_jax.scoring.factories import PROBE, make_distance, make_search
from lsaprobe_jax.scoring.scorer import clip_number
from lsaprobe_jax.scoring.settings import Experiment
from lsaprobe_jax.strict_json import to_json

FOLDER, INDEX = "records", "index.json"
# What mends one that is damaged.
AGAIN = "delete it, and it is made again"

# Its two loops are what the report replays, beside the evaluation's own search.
PAPER_SEARCH = "bisection"

# Fractions of T; the evaluation's own is added.
TIMES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)

RULE = (
  "clips at evenly spaced ranks of the probe's score within each side, ties in the"
  " order of their names: of one the median, of three the least stable, the typical and"
  " the most stable"
)

# Log-mel images: bands, frames, and decibels below the loudest bin of a clip's panels.
_MELS, _FRAMES, _RANGE_DB = 64, 96, 80.0

# Sounds of clips that are only listed are kept while they are few.
_MOST_SOUND_BYTES = 4_000_000

# How near a traced search comes to the row it repeats; programs compiled for another
# batch round otherwise.
_REPEATS = 0.01


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


class Walk(struct.PyTreeNode):
  """One clip at one time.

  Attributes:
    noisy: [samples] x_t, decoded.
    clean: [samples] R_t(x_t).
    attacked: [samples] R_t(x_t + sigma_t delta~), delta~ from the search's ascent.
    reconstruction: distance of `clean` from the clip.
    degradation: distance of `attacked` from `clean`.
  """

  noisy: jax.Array
  clean: jax.Array
  attacked: jax.Array
  reconstruction: jax.Array
  degradation: jax.Array


def walk(model, distance, search, key, audio, t, eta) -> Walk:
  """States and reconstructions of one clip; args as of `probe.max_degradation`."""
  x_t = _noisy(model, key, audio, t)
  clean = model.reconstruct(x_t, t)
  worst = probe.max_degradation(model, distance, search, key, audio, t, eta)
  attacked = probe.attacked(model, x_t, t, worst.delta)
  return Walk(
    noisy=model.decode(x_t),
    clean=clean,
    attacked=attacked,
    reconstruction=distance(audio, clean),
    degradation=distance(clean, attacked),
  )


def reconstruction_distance(model, distance, key, audio, t) -> jax.Array:
  """Distance of R_t(x_t) from the clip, a scalar."""
  return distance(audio, model.reconstruct(_noisy(model, key, audio, t), t))


def _noisy(model, key, audio, t):
  return probe.noisy_state(model, key, model.encode(audio), t)[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What a recording works with, as the evaluation did.

  Attributes:
    target: the model.
    distance: a distance (`distances.get`), called `distance_name` in rows.
    distance_name: see there.
    searches: by name; the first is the evaluation's own.
    t_ratio: of the probe.
    eta_ref: budget at which tau is set; the attacked sounds are made with it.
    quantile: of development clips that sets thresholds.
    seed: of the evaluation.
  """

  target: TrainedModel
  distance: Any
  distance_name: str
  searches: Mapping[str, Any]
  t_ratio: float
  eta_ref: float
  quantile: float
  seed: int

  @property
  def times(self) -> list[float]:
    """Fractions of T, rising."""
    return sorted({*TIMES, self.t_ratio})

  def program(self, fn) -> Callable[..., Any]:
    """Compiles `fn(model, distance, key, audio, t, *more)` for n examples.

    Args:
      fn: of one example.

    Returns:
      A function of `audio` float32 [n, samples], `numbers` [n] of the clips
      (`evaluating.clip_number`), `t_ratios` [n] and `more` [n, ...]. It returns what
      `fn` does with a leading axis of n, as NumPy arrays.
    """

    def one(shared, audio, number, t, *more):
      seed, model, distance = shared
      key = jax.random.fold_in(jax.random.key(seed), number)
      return fn(model, distance, key, audio, t, *more)

    # As many at once as there are devices: few examples, none of them padding.
    over = parallel.over_examples(one, 1)
    shared = (np.int32(self.seed), self.target.model, self.distance)

    def run(audio, numbers, t_ratios, *more):
      times = [timestep(self.target.model.schedule, ratio) for ratio in t_ratios]
      arrays = (np.array(numbers, np.uint32), np.array(times, np.int32), *more)
      parts = [part for _, part in over(shared, audio, *arrays)]
      return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    return run


def record(
  folder: pathlib.Path,
  settings: Settings,
  halves: Corpus,
  development: Corpus,
  rows: Sequence[Mapping],
  count: int,
) -> None:
  """Records some clips of each side into a folder.

  Args:
    folder: `index.json`, `sounds.npz` and one file a clip go here.
    settings: see Settings.
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
    name: settings.program(functools.partial(_trace, search))
    for name, search in settings.searches.items()
  }
  width = len(jax.local_devices())
  with tqdm(total=len(new), unit="clip", desc="record") as bar:
    for start in range(0, len(new), width):
      part = new[start : start + width]
      for row, arrays in _record_clips(settings, halves, part, walks, traces):
        _save(folder / _file(row), **arrays)
        bar.update()
  logging.info("%s: %d clips", folder, len(chosen))


def _write_index(
  path: pathlib.Path,
  settings: Settings,
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


def _thresholds(settings: Settings, development: Corpus) -> list[float]:
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
  _save(
    path,
    clips=np.array([halves.clips[i].id for i in kept]),
    audio=to_int16(halves.audio[kept]),
  )


def _record_clips(
  settings: Settings,
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
    {name: _one_trace(of_search, i) for name, of_search in found.items()}
    for i in range(len(rows))
  ]
  for row, searches in zip(rows, traced, strict=True):
    _check_repeats(row, next(iter(searches.values())))
  repeat = len(settings.times)
  states = walks(
    np.repeat(audio, repeat, axis=0),
    np.repeat(numbers, repeat),
    np.tile(settings.times, len(rows)),
  )
  for i, row in enumerate(rows):
    own = jax.tree.map(lambda x, i=i: x[i * repeat : (i + 1) * repeat], states)
    yield row, _arrays(settings, row, audio[i], own, traced[i])


def _trace(search, model, distance, key, audio, t, tau) -> dict[str, jax.Array]:
  """What a search tried for one clip, step by step."""
  found = probe.probe(model, distance, search, key, audio, t, tau)
  kept = ("cost", "reached", "budgets", "degradations", "history")
  return {name: getattr(found, name) for name in kept}


def _one_trace(found: Mapping[str, np.ndarray], i: int) -> dict[str, Any]:
  tried = ~np.isnan(found["budgets"][i])
  history = found["history"][i][tried]
  return {
    "cost": found["cost"][i],
    "reached": found["reached"][i],
    "budgets": found["budgets"][i][tried].tolist(),
    "degradations": found["degradations"][i][tried].tolist(),
    "steps": [steps[~np.isnan(steps)].tolist() for steps in history],
  }


def _check_repeats(row: Mapping, trace: Mapping) -> None:
  """ValueError unless a traced search comes to the curve in the row."""
  for name in ("budgets", "degradations"):
    scored = [value for value in row[name] if value is not None]
    if len(scored) != len(trace[name]) or not np.allclose(
      scored, trace[name], rtol=_REPEATS, atol=0
    ):
      raise ValueError(
        f"{row['clip']}: the search does not repeat the {name} of its row; was it"
        " scored on another machine? Score again in a new folder"
      )


def _arrays(
  settings: Settings, row: Mapping, audio: np.ndarray, walks: Walk, traces: Mapping
) -> dict[str, np.ndarray]:
  """Everything kept of one clip, small: 16-bit sounds, 8-bit images, JSON."""
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
    "range_db": _RANGE_DB,
  }
  return {
    "about": np.array(json.dumps(to_json(about))),
    "audio": to_int16(gain * panels),
    "images": images,
  }


def log_mel_images(audio: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float]:
  """Log-mel spectrograms of signals on one scale of decibels.

  Args:
    audio: float32 [n, samples].
    sample_rate: in Hz.

  Returns:
    (uint8 [n, mels, frames], lowest band first, 255 at the loudest bin of all and 0 at
    `_RANGE_DB` dB below or less; that loudest bin in dB).
  """
  hop = max(1, audio.shape[-1] // _FRAMES)
  fft_size = 1 << int(np.ceil(np.log2(max(0.05 * sample_rate, 2 * hop))))
  mel = LogMel.create(sample_rate=sample_rate, fft_size=fft_size, hop=hop, mels=_MELS)
  nepers = np.stack([np.asarray(_embed(mel, signal)) for signal in audio])
  decibels = 20 / np.log(10) * np.swapaxes(nepers, 1, 2)
  top = float(decibels.max())
  scaled = np.clip(1 + (decibels - top) / _RANGE_DB, 0, 1)
  return np.round(255 * scaled).astype(np.uint8), top


_embed = jax.jit(lambda mel, signal: mel.embed(signal))


def to_int16(audio: np.ndarray) -> np.ndarray:
  """Samples in [-1, 1] as 16-bit integers, clipped."""
  return np.round(32767 * np.clip(audio, -1, 1)).astype(np.int16)


def _save(path: pathlib.Path, **arrays: np.ndarray) -> None:
  """Writes an .npz at once: a kill leaves all of it or none."""
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  write_whole(path, buffer.getvalue())


def check(settings: Experiment, folder: pathlib.Path | None, count: int) -> None:
  """Refuses, before anything is scored, records that could not be gone on with.

  Args:
    settings: of the evaluation.
    folder: of the evaluation, which need not be there yet.
    count: clips of each side to record; 0 for none.

  Raises:
    ArgumentError: the probe is not among the methods, the paper's search has no
      settings, there is no folder, or the records there are damaged.
  """
  if not count:
    return
  if folder is None:
    raise ArgumentError(f"record={count}: needs a folder")
  if PROBE not in settings.methods:
    raise ArgumentError(f"record: needs {PROBE} in methods")
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
  target, settings = run.targets[0], run.settings
  names = {"method": PROBE, "model": target.name}
  rows = [row for row in run.scores.asked if names.items() <= row.items()]
  # Beside the evaluation's own search the paper's, whose two loops the report replays.
  searches_used = dict.fromkeys((settings.search.name, PAPER_SEARCH))
  of_recording = Settings(
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
