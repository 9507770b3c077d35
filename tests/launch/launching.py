"""A small folder of music-like files, and launchers as processes of their own."""

import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import time

import compiling
import jax
import numpy as np
import scipy.signal
import soundfile

from lsaprobe_jax.models import registry

RATE = 8000
# A DiffWave that compiles in seconds.
MODEL = {
  "family": "diffwave",
  "network": dict(channels=4, layers=2, dilation_cycle=2, embedding_width=8),
  "schedule": dict(
    name="linear", num_train_timesteps=20, beta_start=0.0001, beta_end=0.2
  ),
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


def module_of(name: str) -> str:
  """The module that a command's name stands for."""
  return name if "." in name else f"launch.{name}"


class Launcher:
  """Runs launchers; what one compiles is there for the next."""

  def __init__(self, cache: pathlib.Path):
    self._env = dict(
      os.environ,
      XLA_FLAGS=compiling.FAST,
      JAX_COMPILATION_CACHE_DIR=str(cache),
      JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
      JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
    )
    self._zygote = subprocess.Popen(
      [sys.executable, pathlib.Path(__file__).with_name("zygote.py")],
      cwd=ROOT, env=self._env, text=True,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip

  def close(self) -> None:
    """Ends what `run` forks from, and a launcher that still runs."""
    with contextlib.suppress(ProcessLookupError):
      os.killpg(self._zygote.pid, signal.SIGKILL)
    self._zygote.communicate()

  def start(self, name: str, *args: str, env=None) -> subprocess.Popen:
    """Starts `python -m launch.<name>`; stdout and stderr are pipes.

    A name with a dot is that of a module elsewhere, as `benchmarks.samples`.
    """
    return subprocess.Popen(
      [sys.executable, "-m", module_of(name), *args],
      cwd=ROOT, env=self._env | (env or {}), text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

  def run(self, name: str, *args: str) -> subprocess.CompletedProcess:
    """Runs it to its end, forked from a process that has imported libraries."""
    with tempfile.TemporaryDirectory() as folder:
      streams = [pathlib.Path(folder) / stream for stream in ("stdout", "stderr")]
      request = json.dumps([module_of(name), args, *map(str, streams)])
      print(request, file=self._zygote.stdin, flush=True)
      ready, _, _ = select.select([self._zygote.stdout], [], [], 500)
      if not ready:
        self.close()
        raise TimeoutError(f"{module_of(name)} {args}: {streams[1].read_text()}")
      code = int(self._zygote.stdout.readline())
      texts = [path.read_text() for path in streams]
    return subprocess.CompletedProcess(args, code, *texts)

  def run_afresh(self, name: str, *args: str) -> subprocess.CompletedProcess:
    """Runs it in an interpreter of its own, which hashes strings in its own way."""
    process = self.start(name, *args)
    out, err = process.communicate(timeout=500)
    return subprocess.CompletedProcess(args, process.returncode, out, err)

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
  return jax.tree.map(draw, registry.abstract_params(model))


MODEL_FLAGS = (
  "--config.model.network.channels=4",
  "--config.model.network.layers=2",
  "--config.model.network.dilation_cycle=2",
  "--config.model.network.embedding_width=8",
  "--config.model.schedule.num_train_timesteps=20",
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
