"""Launchers as processes of their own, and the flags of small ones."""

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

ROOT = pathlib.Path(__file__).parents[2]


def module_of(name: str) -> str:
  """The module that a command's name stands for."""
  return name if "." in name else f"launch.{name}"


class Launcher:
  """Runs launchers; what one compiles is there for the next, and for the tests."""

  def __init__(self):
    self._env = dict(
      os.environ,
      XLA_FLAGS=compiling.FAST,
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


def complaint(done: subprocess.CompletedProcess) -> str:
  """The one line with which a launcher that refused its flags ended."""
  assert done.returncode == 1, done.stderr
  assert "Traceback" not in done.stderr
  return done.stderr.strip().splitlines()[-1]


def eval_flags(workdir: pathlib.Path, settings: dict, *more: str) -> list[str]:
  """Flags of launch.eval: changes in configs/mini.py, and others."""
  changes = [f"--config.{name}={value}" for name, value in settings.items()]
  return ["--config=configs/mini.py", f"--workdir={workdir}", *changes, *more]


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
