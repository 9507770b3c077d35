"""A small folder of music-like files, and launchers as processes of their own."""

import json
import multiprocessing
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import forkserver

import jax
import numpy as np
import pytest
import scipy.signal
import soundfile

from lsaprobe_jax.models import generator as generators

RATE = 8000
# A DiffWave that compiles in seconds.
MODEL = {
  "family": "diffwave",
  "network": dict(channels=4, layers=2, dilation_cycle=2, embedding_width=8),
  "schedule": dict(name="linear", num_steps=20, beta_start=0.0001, beta_end=0.2),
  "sample_rate": 8000,
  "scale": 4.0,
}
ROOT = pathlib.Path(__file__).parents[2]
TRACKS = {"a": 4, "b": 4, "dev": 7, "reference": 2}


def write_track(path: pathlib.Path, seed: int, rate: int = RATE, seconds=2.0):
  """Filtered noise and a tone of its own."""
  rng = np.random.default_rng(seed)
  time_axis = np.arange(round(seconds * rate)) / rate
  low = rng.uniform(0.05, 0.6)
  taps = scipy.signal.butter(2, [low, low + 0.3], "band", output="sos")
  noise = scipy.signal.sosfilt(taps, rng.normal(size=time_axis.size))
  tone = np.sin(2 * np.pi * rng.uniform(100, 1500) * time_axis)
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, 0.2 * tone + 0.3 * noise / np.std(noise), rate, "FLOAT")


def write_corpus(folder: pathlib.Path, tracks=TRACKS) -> pathlib.Path:
  """`folder/<group>/<group>NN.wav`."""
  seed = 0
  for group, count in tracks.items():
    for i in range(count):
      write_track(folder / group / f"{group}{i:02d}.wav", seed)
      seed += 1
  return folder


BAD_FILES = ("corrupt", "empty", "silent", "nan", "short")


def write_bad_files(folder: pathlib.Path) -> None:
  """One file of each kind that no score can be had from, and one at another rate."""
  (folder / "corrupt.wav").write_bytes(b"RIFF this is no audio")
  (folder / "empty.wav").touch()
  soundfile.write(folder / "silent.wav", np.zeros(2 * RATE), RATE)
  nan = np.full(2 * RATE, 0.1, np.float32)
  nan[100] = np.nan
  soundfile.write(folder / "nan.wav", nan, RATE, "FLOAT")
  write_track(folder / "short.wav", 100, seconds=0.1)
  write_track(folder / "odd_rate.wav", 101, rate=11025)


# No flags are defined in these, and with them comes nearly all that launchers import.
PRELOADED = (
  "launch.evaluation", "launch.studies", "lsaprobe_jax.report.page", "launching",
)  # fmt: skip


class Launcher:
  """Runs launchers; what one compiles is there for the next."""

  def __init__(self, cache: pathlib.Path):
    self._env = dict(
      os.environ,
      # Compiling takes most of the time of these tests.
      XLA_FLAGS="--xla_backend_optimization_level=0"
      " --xla_llvm_disable_expensive_passes=true",
      JAX_COMPILATION_CACHE_DIR=str(cache),
      JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
      JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
    )
    # Importing takes most of what is left: `run` forks a process that has done it.
    paths = (str(ROOT), str(pathlib.Path(__file__).parent))
    with pytest.MonkeyPatch.context() as patch:
      for name, value in self._env.items():
        patch.setenv(name, value)
      patch.setenv("PYTHONPATH", os.pathsep.join(paths))
      forkserver.set_forkserver_preload(list(PRELOADED))
      forkserver.ensure_running()

  def start(self, name: str, *args: str, env=None) -> subprocess.Popen:
    """Starts `python -m launch.<name>`; stdout and stderr are pipes."""
    return subprocess.Popen(
      [sys.executable, "-m", f"launch.{name}", *args],
      cwd=ROOT, env=self._env | (env or {}), text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

  def run(self, name: str, *args: str) -> subprocess.CompletedProcess:
    """Runs launch.<name> to its end as `python -m` does, but for its imports."""
    with tempfile.TemporaryDirectory() as folder:
      streams = [pathlib.Path(folder) / stream for stream in ("stdout", "stderr")]
      process = multiprocessing.get_context("forkserver").Process(
        target=_launch, args=(name, args, *streams)
      )
      process.start()
      process.join(timeout=500)
      if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"launch.{name} {args}: {streams[1].read_text()}")
      texts = [path.read_text() for path in streams]
    return subprocess.CompletedProcess(args, process.exitcode, *texts)

  def run_and_kill(self, when, name: str, *args: str) -> None:
    """Starts it and sends SIGKILL as soon as `when()` holds, which must be in time."""
    self.kill(self.start(name, *args), when)

  def kill(self, process: subprocess.Popen, when) -> None:
    """Sends SIGKILL as soon as `when()` holds, which must be in time."""
    try:
      while process.poll() is None and not when():
        time.sleep(0.002)
    finally:
      process.kill()
      _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before the kill:\n{err}"


def _launch(name, args, *streams: pathlib.Path) -> None:
  """In a fork: what `python -m launch.<name>` does, with its streams in files."""
  for number, path in enumerate(streams, start=1):
    with path.open("wb") as file:
      os.dup2(file.fileno(), number)
  os.chdir(ROOT)
  sys.argv = [f"launch.{name}", *args]
  runpy.run_module(f"launch.{name}", run_name="__main__", alter_sys=True)


def read_rows(path: pathlib.Path) -> list[dict]:
  """Whole lines of a JSON-lines file, none if there is no file yet."""
  text = path.read_text() if path.exists() else ""
  return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def sorted_rows(path: pathlib.Path) -> list[str]:
  """The rows of a file in an order of their own, without the time they took."""
  rows = read_rows(path)
  for row in rows:
    assert row.pop("seconds") >= 0
  return sorted(json.dumps(row, sort_keys=True) for row in rows)


def complaint(done: subprocess.CompletedProcess) -> str:
  """The one line with which a launcher that refused its flags ended."""
  assert done.returncode == 1, done.stderr
  assert "Traceback" not in done.stderr
  return done.stderr.strip().splitlines()[-1]


def eval_flags(workdir: pathlib.Path, settings: dict, *more: str) -> list[str]:
  """Flags of launch.eval: changes in configs/mini.py, and others."""
  changes = [f"--config.{name}={value}" for name, value in settings.items()]
  return ["--config=configs/mini.py", f"--workdir={workdir}", *changes, *more]


def tiny_weights(model, seed):
  """Random weights of a model that model.json describes."""
  rng = np.random.default_rng(seed)
  draw = lambda leaf: rng.normal(scale=0.3, size=leaf.shape).astype(np.float32)
  return jax.tree.map(draw, generators.abstract_params(model))


MODEL_FLAGS = (
  "--config.model.network.channels=4",
  "--config.model.network.layers=2",
  "--config.model.network.dilation_cycle=2",
  "--config.model.network.embedding_width=8",
  "--config.model.schedule.num_steps=20",
  "--config.model.schedule.beta_end=0.2",
)


def train_flags(corpus: pathlib.Path) -> tuple[str, ...]:
  """A training of seconds: 24 epochs of two steps, a checkpoint every four."""
  return (
    "--config=configs/train_diffwave.py:multigenre,a",
    f"--config.corpus.path={corpus}",
    "--config.corpus.clip_seconds=0.256",
    *MODEL_FLAGS,
    "--config.batch_size=3",
    "--config.epochs=24",
    "--config.warmup_steps=5",
    "--config.log_every=1",
    "--config.eval_epochs=6",
    "--config.save_epochs=4",
    "--config.snapshot_epochs=(12,24)",
  )
