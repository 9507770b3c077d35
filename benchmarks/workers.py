"""The processes of `benchmarks.fair`: started once, and released together."""

import contextlib
import dataclasses
import itertools
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

# Half an accelerator's memory each: neither side can see what the other leaves.
_MEMORY_SHARE = "0.45"
# Threads of PyTorch spin for a while before they sleep.
_PAUSE = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
  """A search of some clips by one program.

  Attributes:
    side: `jax`, `eager` or `compiled`.
    size: one of `problems.SIZES`.
    search: of a search; the peers know the default one alone.
    distance: of a distance.
    precision: `float32`, `tf32` or `bfloat16`.
    clips: how many.
    seconds: length of a clip; None for the size's own.
    rungs: budgets of the default search.
    tau: the target.
    batch: clips in one call.
    processes: whether each core has a process of one thread.
  """

  side: str
  size: str
  search: str = "continuation"
  distance: str = "waveform"
  precision: str = "float32"
  clips: int
  seconds: float | None = None
  rungs: int = 16
  tau: float = 1.0
  batch: int
  processes: bool = False

  def request(self, first: int, last: int) -> dict[str, Any]:
    """What a worker is asked that takes the clips from `first` to `last`."""
    found = dataclasses.asdict(self)
    del found["processes"]
    return found | {"op": "search", "first": first, "last": last}

  @property
  def arrangement(self) -> str:
    """How the clips are spread, in words."""
    if self.processes:
      return f"a process a core, {self.batch} a call"
    return f"{self.batch} a call"


class WorkerError(Exception):
  """Nothing has come of what a worker was asked."""


class WorkerRefusedError(WorkerError):
  """A worker could not do what it was asked, and said why."""


class WorkerLostError(WorkerError):
  """A worker took too long, or its process ended."""


class Worker:
  """One process that answers requests (`benchmarks.worker`)."""

  def __init__(self, *args: str):
    """Starts it with the arguments of its command line."""
    command = [sys.executable, "-m", "benchmarks.worker", *args]
    env = {"XLA_PYTHON_CLIENT_MEM_FRACTION": _MEMORY_SHARE} | os.environ
    self._process = subprocess.Popen(
      command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
    )
    self._rest = b""

  def post(self, request: dict[str, Any]) -> None:
    """Asks, without waiting."""
    self._process.stdin.write(json.dumps(request).encode() + b"\n")
    self._process.stdin.flush()

  def wait(self, timeout: float) -> dict[str, Any]:
    """Returns the answer.

    Raises:
      WorkerRefusedError: the worker could not do it.
      WorkerLostError: there is no answer in time.
    """
    end, out = time.monotonic() + timeout, self._process.stdout.fileno()
    while b"\n" not in self._rest:
      ready, _, _ = select.select([out], [], [], max(0.0, end - time.monotonic()))
      if not ready:
        raise WorkerLostError(f"not done within {timeout:.0f} s")
      part = os.read(out, 1 << 20)
      if not part:
        raise WorkerLostError(f"its process ended with {self._process.wait()}")
      self._rest += part
    line, self._rest = self._rest.split(b"\n", 1)
    found = json.loads(line)
    if "error" in found:
      raise WorkerRefusedError(found["error"])
    return found

  def close(self) -> None:
    """Ends the process, whatever it is doing."""
    self._process.kill()
    self._process.wait()


class Workers:
  """All processes: one of ours, one of PyTorch with all threads, and one a core."""

  def __init__(self, timeout: float):
    """Takes how many seconds a request may take; starts nothing yet."""
    self._timeout = timeout
    self._running: dict[str, list[Worker]] = {}

  def _get(self, kind: str) -> list[Worker]:
    if kind not in self._running:
      starts = {"jax": [("jax",)], "torch": [("torch",)]}
      cores = sorted(os.sched_getaffinity(0))
      starts["processes"] = [
        ("torch", "--threads=1", f"--core={core}") for core in cores
      ]
      self._running[kind] = [Worker(*args) for args in starts[kind]]
    return self._running[kind]

  def _kind(self, spec: Spec) -> str:
    if spec.side == "jax":
      return "jax"
    return "processes" if spec.processes else "torch"

  def ask(self, request: dict[str, Any], kind: str = "jax") -> dict[str, Any]:
    """Asks one worker; `took` is how many seconds it was at it."""
    return self._ask(kind, [request])[0]

  def run(self, spec: Spec) -> tuple[float, dict[str, Any]]:
    """Searches the clips; seconds from the release of all workers to the last answer.

    Raises:
      WorkerError: it could not be done, or not in time.
    """
    kind = self._kind(spec)
    parts = self._parts(spec, len(self._get(kind)))
    time.sleep(_PAUSE)
    start = time.perf_counter()
    found = self._ask(kind, parts)
    seconds = time.perf_counter() - start
    joined = {
      key: [clip for part in found for clip in part[key]]
      for key in ("cost", "degradations", "gradients")
    }
    return seconds, joined

  def at_start(self, spec: Spec) -> dict[str, list[float]]:
    """D and the size of its gradient where the default search starts, of each clip.

    Raises:
      WorkerError: it could not be done, or not in time.
    """
    request = spec.request(0, spec.clips) | {"op": "at_start"}
    return self.ask(request, self._kind(spec))

  def begin(self, specs: Sequence[Spec]) -> dict[Spec, float | WorkerError]:
    """Lets workers of different kinds load and search for the first time, all at once.

    Returns:
      By program the seconds of the first search, in which it was compiled, without
      those of loading; or why it could not be done.
    """
    posted, found = [], {}
    for spec in specs:
      kind = self._kind(spec)
      workers = self._get(kind)
      parts = self._parts(spec, len(workers))
      workers = workers[: len(parts)]
      for op in ("load", "search"):
        for worker, part in zip(workers, parts, strict=True):
          worker.post(part | {"op": op})
      posted.append((spec, kind, workers))
    for spec, kind, workers in posted:
      try:
        # Where loading fails the search does too, with the same error.
        with contextlib.suppress(WorkerRefusedError):
          self._answers(kind, workers)
        found[spec] = max(a["took"] for a in self._answers(kind, workers))
      except WorkerError as error:
        found[spec] = error
    return found

  def _parts(self, spec: Spec, count: int) -> list[dict[str, Any]]:
    """The requests of so many workers."""
    bounds = [spec.clips * i // count for i in range(count + 1)]
    return [spec.request(a, b) for a, b in itertools.pairwise(bounds) if a < b]

  def _ask(self, kind: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    workers = self._get(kind)[: len(requests)]
    for worker, request in zip(workers, requests, strict=True):
      worker.post(request)
    return self._answers(kind, workers)

  def _answers(self, kind: str, workers: list[Worker]) -> list[dict[str, Any]]:
    end, found, failed = time.monotonic() + self._timeout, [], None
    for worker in workers:
      try:
        found.append(worker.wait(max(0.0, end - time.monotonic())))
      except WorkerLostError:
        # It would answer the next question with this one's answer.
        self._end(kind)
        raise
      except WorkerRefusedError as error:
        failed = error
    if failed is not None:
      raise failed
    return found

  def _end(self, kind: str) -> None:
    for worker in self._running.pop(kind, []):
      worker.close()

  def close(self) -> None:
    """Ends all processes."""
    for kind in list(self._running):
      self._end(kind)
