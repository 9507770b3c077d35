"""Many devices: the rows of one, no communication, one trace for everything."""

import os
import pathlib
import re
import subprocess
import sys

import compiling
import numpy as np
import on_devices
import pytest

from lsaprobe_jax import parallel
from lsaprobe_jax.attacks.loss import Loss


@pytest.fixture(scope="module")
def by_devices(tmp_path_factory):
  """What one device finds, and what eight do, each in a process of its own."""
  folder = tmp_path_factory.mktemp("devices")
  path = lambda count: folder / f"{count}.npz"
  started = {
    count: subprocess.Popen(
      [sys.executable, pathlib.Path(on_devices.__file__), path(count)],
      env=os.environ
      | {
        "JAX_NUM_CPU_DEVICES": str(count),
        "XLA_FLAGS": compiling.FAST,
        # One each: processes that write one side by side can spoil it.
        "JAX_COMPILATION_CACHE_DIR": str(folder / f"programs-{count}"),
      },
    )
    for count in (1, 8)
  }
  assert {count: run.wait(timeout=500) for count, run in started.items()} == {
    1: 0,
    8: 0,
  }
  found = {count: dict(np.load(path(count))) for count in started}
  assert {count: int(of["devices"]) for count, of in found.items()} == {1: 1, 8: 8}
  return found


def names(found, case):
  return sorted(name for name in found if name.startswith(case))


def test_eight_devices_give_the_rows_of_one_exactly_on_a_toy(by_devices):
  assert len(names(by_devices[1], "toy")) >= 8
  for name in names(by_devices[1], "toy"):
    np.testing.assert_array_equal(by_devices[8][name], by_devices[1][name], name)
  assert np.ptp(by_devices[1]["toy.score"]) > 0


def test_eight_devices_give_the_rows_of_one_on_diffwave(by_devices):
  # Threads are shared out otherwise among eight devices, and sums round otherwise.
  for name in names(by_devices[1], "diffwave"):
    np.testing.assert_allclose(
      by_devices[8][name], by_devices[1][name], rtol=1e-4, err_msg=name
    )
  assert np.ptp(by_devices[1]["diffwave.score"]) > 0


def test_the_program_of_eight_devices_has_no_collective(by_devices):
  text = str(by_devices[8]["program"])
  assert "num_partitions=8" in text
  assert not re.findall(on_devices.COLLECTIVES, text)
  # It would have been found: a sum over devices has one.
  assert re.findall(on_devices.COLLECTIVES, str(by_devices[8]["sum"]))


def test_times_clips_models_and_ragged_batches_share_one_trace():
  traces = 0

  def counted(*args):
    nonlocal traces
    traces += 1
    return on_devices.score(*args)

  run = parallel.over_examples(counted, batch_size=4)
  for seed in (0, 1):
    model, _ = on_devices.diffwave(seed)
    for length, times in ((5, (40,)), (3, (80,)), (4, (40, 80))):
      examples = on_devices.examples(length, times)
      done = list(run((model, Loss(draws=1)), *examples))
      assert sum(len(part.score) for _, part in done) == length
  assert traces == 1


def test_cores_are_counted_where_no_affinity_is_known(monkeypatch):
  """As on macOS and Windows."""
  assert parallel.usable_cores() == len(os.sched_getaffinity(0))
  monkeypatch.delattr(os, "sched_getaffinity")
  assert parallel.usable_cores() == os.cpu_count()


@pytest.mark.parametrize(
  ("text", "cores"),
  [("200000 100000", 2), ("50000 100000", 1), ("max 100000", 64), ("", 64)],
)
def test_a_containers_quota_counts(monkeypatch, tmp_path, text, cores):
  monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
  monkeypatch.setattr(parallel, "_CPU_QUOTA", tmp_path / "cpu.max")
  assert parallel.usable_cores() == 64
  (tmp_path / "cpu.max").write_text(text)
  assert parallel.usable_cores() == cores
