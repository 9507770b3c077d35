"""What many tests share: fixtures, and how programs are compiled."""

import collections
import os
import tempfile

import compiling
import pytest

# Files of which one test, or what it needs, takes more than a minute of a core.
LONGEST = [
  "test_reproduce", "test_soak", "test_hosts", "test_notebooks", "test_bench",
  "test_accelerator", "test_long_files", "test_precision", "test_sweep", "test_api",
  "test_swept_rows",
]  # fmt: skip


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


def pytest_collection_modifyitems(items):
  """Puts the files that take longest first, so that none is left alone at the end."""
  tests = collections.Counter(item.path for item in items)
  place = lambda path: [*LONGEST, path.stem].index(path.stem)
  items.sort(key=lambda item: (place(item.path), -tests[item.path], str(item.path)))


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
