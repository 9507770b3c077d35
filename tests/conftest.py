"""What many tests share: fixtures, and how programs are compiled."""

import os
import tempfile

import compiling
import pytest


def pytest_configure(config):
  """Sets up a process, before anything imports JAX or NumPy."""
  worker = os.environ.get("PYTEST_XDIST_WORKER", "")
  if worker:
    _pin(int(worker.removeprefix("gw")))
  # Live parity is looked at in programs compiled as users compile them.
  if config.option.markexpr != "parity":
    os.environ.setdefault("XLA_FLAGS", compiling.FAST)
  # Kept over a worker's whole session, as modules compile the same programs; .ci/run
  # names a folder that all its workers and sessions share.
  cache = tempfile.TemporaryDirectory(prefix="lsaprobe-xla-")
  config.add_cleanup(cache.cleanup)
  os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", cache.name)
  os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def _pin(worker: int) -> None:
  """Keeps a worker on a core of its own, with one thread; sharing slows both."""
  os.environ.setdefault("OMP_NUM_THREADS", "1")
  cores = sorted(os.sched_getaffinity(0))
  os.sched_setaffinity(0, {cores[worker % len(cores)]})


@pytest.fixture(scope="session")
def real_audio():
  """`real_audio(samples, rate)`: real music from the shipped corpus, [-1, 1]."""
  import numpy as np

  from lsaprobe_jax.data import audio as audio_files
  from lsaprobe_jax.data import corpus as corpora

  clips = corpora.open_corpus(
    "multigenre", sample_rate=16000, clip_seconds=4.0, clips_per_track=1, groups=["dev"]
  )

  def cut(samples: int, rate: int, clip: int = 0):
    audio = audio_files.resample(clips.audio[clip], 16000, rate)
    return np.ascontiguousarray(audio[:samples], np.float32)

  return cut
