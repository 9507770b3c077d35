"""Kills evaluations at random moments and says whether it cost or doubled a row.

python -m tests.stress.soak --kills=30 [--processes=1,2] [--seed=0] [--workdir=DIR]

It makes a small corpus and small models, lets launch.eval finish undisturbed, then runs
it again and again, by one process or by several with --shard. Processes get SIGKILL at
moments drawn from the whole length of an undisturbed run and are started again: the one
that was killed, or all of them with another number of processes. Every run ends with
the rows of the undisturbed one, but for `seconds`, or this ends with 1.

About half a minute a kill on two CPU cores, one of them busy with something else.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import jax
import numpy as np
import soundfile
from absl import app, flags, logging
from tqdm import tqdm

from launch import command
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.rows import ROW_KEY

_KILLS = flags.DEFINE_integer("kills", 30, "How many processes to kill.", lower_bound=1)
_PROCESSES = flags.DEFINE_list(
  "processes", ["1", "2"], "Numbers of processes to run by, in turns."
)
_SEED = flags.DEFINE_integer("seed", 0, "Decides when to kill whom.", 0, 2**32 - 1)
_WORKDIR = flags.DEFINE_string(
  "workdir", None, "An empty folder to keep everything in (default: a temporary one)."
)

_ROOT = pathlib.Path(__file__).parents[2]
_KILLS_A_RUN = 4
_CLIP_SECONDS = 0.256
_TRACKS = {"a": 4, "b": 4, "dev": 7}
_MODEL = {
  "family": "diffwave",
  "network": {"channels": 4, "layers": 2, "dilation_cycle": 2, "embedding_width": 8},
  "schedule": {
    "name": "linear",
    "num_train_timesteps": 20,
    "beta_start": 1e-4,
    "beta_end": 0.2,
  },
  "sample_rate": 8000,
  "scale": 4.0,
}


class SoakError(Exception):
  """A run that a kill has spoiled."""


def prepare(folder: pathlib.Path) -> list[str]:
  """Makes corpus and models; returns the command of an evaluation less --workdir."""
  rng = np.random.default_rng(0)
  rate = _MODEL["sample_rate"]
  for group, tracks in _TRACKS.items():
    (folder / "corpus" / group).mkdir(parents=True)
    for i in range(tracks):
      path = folder / "corpus" / group / f"{group}{i}.wav"
      tone = np.sin(2 * np.pi * rng.uniform(100, 1500) * np.arange(2 * rate) / rate)
      noise = rng.normal(size=2 * rate)
      soundfile.write(path, 0.2 * tone + rng.uniform(0.02, 0.2) * noise, rate, "FLOAT")
  targets = []
  for seed, (name, group) in enumerate((("A", "a"), ("B", "b"), ("reference", None))):
    # Some of the first seeds give a network this small that answers to nothing.
    weights = registry.random_params(_MODEL, jax.random.key(8 + seed))
    training = {"group": group, "clips": _clips(folder / "corpus", group)}
    checkpoints.save_model(folder / name, weights, _MODEL, training)
    targets.append(f"--config.targets.{name}={folder / name}")
  return [
    *(sys.executable, "-m", "launch.eval", "--config=configs/mini.py"),
    f"--compilation_cache={folder / 'compiled'}",
    f"--config.corpus.path={folder / 'corpus'}",
    *targets,
    f"--config.corpus.clip_seconds={_CLIP_SECONDS}",
    "--config.corpus.dev_clips_per_track=3",
    "--config.part=all",
    "--config.distance=log_mel",
    "--config.bootstrap_resamples=50",
    # Rows come to disk often: many moments to be killed at.
    "--config.batch_size=2",
  ]


def _clips(corpus: pathlib.Path, group: str | None) -> list[dict[str, str]]:
  """The training record of a model that was trained on a group, or on none."""
  if group is None:
    return []
  clips = corpora.open_corpus(
    str(corpus),
    sample_rate=_MODEL["sample_rate"],
    clip_seconds=_CLIP_SECONDS,
    clips_per_track=1,
    groups=[group],
  ).clips
  return [{"id": clip.id, "sha256": clip.sha256} for clip in clips]


def start(
  command: Sequence[str], workdir: pathlib.Path, index: int, count: int
) -> subprocess.Popen:
  """Starts process `index` of `count`; what it says goes to a file by the workdir."""
  share = [f"--shard={index}/{count}"] if count > 1 else []
  with workdir.with_suffix(".log").open("a") as log:
    return subprocess.Popen(
      [*command, f"--workdir={workdir}", *share],
      cwd=_ROOT,
      # Processes on one accelerator have to share its memory.
      env={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} | os.environ,
      stdout=log,
      stderr=log,
    )


def alive(crew: Sequence[subprocess.Popen]) -> list[int]:
  """Positions of the processes that run; SoakError if one has failed."""
  for process in crew:
    if process.poll():
      raise SoakError(f"process {process.pid} ended with {process.returncode}")
  return [i for i, process in enumerate(crew) if process.returncode is None]


def wait(crew: Sequence[subprocess.Popen], seconds: float) -> list[int]:
  """Waits until all have ended, no longer than this; returns who has not."""
  end = time.monotonic() + seconds
  while (left := alive(crew)) and time.monotonic() < end:
    time.sleep(0.01)
  return left


def run_whole(command: Sequence[str], workdir: pathlib.Path, count: int) -> float:
  """An evaluation by `count` processes that nothing disturbs; returns its seconds."""
  begin = time.monotonic()
  crew = [start(command, workdir, k, count) for k in range(count)]
  finish(crew, workdir)
  return time.monotonic() - begin


def finish(crew: Sequence[subprocess.Popen], workdir: pathlib.Path) -> None:
  """Waits to the end of an evaluation; SoakError if there is no summary then."""
  wait(crew, float("inf"))
  if not (workdir / "summary.json").exists():
    raise SoakError("all processes have ended, and there is no summary")


def run_killed(
  command: Sequence[str],
  workdir: pathlib.Path,
  counts: Sequence[int],
  seconds: dict[int, float],
  kills: int,
  rng: np.random.Generator,
) -> int:
  """An evaluation with processes killed on the way; returns how many were.

  Args:
    command: of an evaluation.
    workdir: a new folder.
    counts: numbers of processes: of the first start, then of each start of all.
    seconds: of an undisturbed run, by number of processes.
    kills: at most so many.
    rng: says when whom.
  """
  done = 0
  for count in counts:
    crew = [start(command, workdir, k, count) for k in range(count)]
    try:
      while done < kills and (left := wait(crew, rng.uniform(0, seconds[count]))):
        everyone = rng.random() < 0.5
        for k in left if everyone else [rng.choice(left)]:
          rows = sum(len(_lines(path)) for path in _row_files(workdir))
          logging.info("kill process %d of %d, %d rows on disk", k, count, rows)
          crew[k].kill()
          crew[k].wait()
          done += 1
          if not everyone:
            crew[k] = start(command, workdir, k, count)
        if everyone:
          break
      else:
        finish(crew, workdir)
        return done
    finally:
      for process in crew:
        process.kill()
        process.wait()
  raise AssertionError("counts is endless")


def _row_files(workdir: pathlib.Path) -> list[pathlib.Path]:
  """All files of rows, merged and of shards."""
  return [*workdir.glob("*.jsonl"), *workdir.glob("shards/*.jsonl")]


def _lines(path: pathlib.Path) -> list[str]:
  text = path.read_text()
  return text[: text.rfind("\n") + 1].splitlines()


def _rows(paths: Sequence[pathlib.Path]) -> dict[tuple, dict]:
  """Rows of files by their keys, without seconds; SoakError on a double."""
  rows = {}
  for path in paths:
    for line in _lines(path):
      row = json.loads(line)
      for name in ("seconds", "twin_seconds"):
        row.pop(name, None)
      key = tuple(row[name] for name in ROW_KEY)
      if key in rows:
        raise SoakError(f"{path}: a second row for {key}")
      rows[key] = row
  return rows


def compare(workdir: pathlib.Path, expected: pathlib.Path) -> int:
  """Compares the rows of two finished evaluations; returns how many there are.

  Raises:
    SoakError: naming a row that is lost, doubled, new or changed.
  """
  total = 0
  for path in sorted(expected.glob("*.jsonl")):
    found, wanted = _rows([workdir / path.name]), _rows([path])
    for key in wanted.keys() | found.keys():
      if wanted.get(key) != found.get(key):
        raise SoakError(
          f"{workdir / path.name}: {key}\n  undisturbed: {wanted.get(key)}\n"
          f"  after kills: {found.get(key)}"
        )
    total += len(wanted)
  return total


def soak(folder: pathlib.Path, kills: int, processes: Sequence[int], seed: int) -> None:
  """Kills and compares until there were so many kills; SoakError on a difference."""
  evaluation, rng = prepare(folder), np.random.default_rng(seed)
  expected = folder / "undisturbed"
  # This one compiles; those that are measured find the programs compiled.
  run_whole(evaluation, expected, 1)
  seconds = {}
  for count in processes:
    workdir = folder / f"by-{count}"
    seconds[count] = run_whole(evaluation, workdir, count)
    rows = compare(workdir, expected)
    logging.info("%d rows by %d processes in %.1f s", rows, count, seconds[count])
  done, number = 0, 0
  with tqdm(total=kills, unit="kill") as bar:
    while done < kills:
      workdir = folder / f"killed-{number:03d}"
      # Numbers of processes take turns, between runs and within one.
      turns = (processes[i % len(processes)] for i in range(number, number + 10_000))
      some = min(_KILLS_A_RUN, kills - done)
      killed = run_killed(evaluation, workdir, turns, seconds, some, rng)
      compare(workdir, expected)
      logging.info("%s: the same rows after %d kills", workdir.name, killed)
      bar.update(killed)
      done, number = done + killed, number + 1


def main(argv):
  """Runs the soak in a folder of its own."""
  command.refuse_arguments(argv)
  try:
    processes = [int(count) for count in _PROCESSES.value]
  except ValueError as error:
    raise app.UsageError(f"--processes: {error}") from error
  if not processes or min(processes) < 1:
    raise app.UsageError(f"--processes={processes}: must be at least 1 each")
  # The accelerator, if there is one, is for the evaluations.
  jax.config.update("jax_platforms", "cpu")
  folder = pathlib.Path(_WORKDIR.value or tempfile.mkdtemp(prefix="soak-")).absolute()
  try:
    soak(folder, _KILLS.value, processes, _SEED.value)
  except SoakError as error:
    logging.error("%s\neverything is kept in %s", error, folder)
    sys.exit(1)
  logging.info("%d kills cost no row; everything is in %s", _KILLS.value, folder)


if __name__ == "__main__":
  command.run(main)
