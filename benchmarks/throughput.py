"""Clips a second of the default search against the batch size, and the largest batch.

python -m benchmarks.throughput --output=FILE [--sizes=lmnt,published_musicldm]

Ours alone. Each row is kept in FILE.jsonl as it ends; a batch that the machine has no
memory for is a row that says so. The largest batch is what `parallel.examples_that_fit`
counts by a program compiled for one clip; it is run once to show that it fits.
"""

import concurrent.futures
import dataclasses
import functools
import json
import pathlib
import shlex
import statistics
import sys
import time
from typing import Any

import jax
import numpy as np
from absl import flags

from benchmarks import our_programs, problems
from launch import command, devices
from lsaprobe_jax import parallel
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.files import write_whole

_OUTPUT = flags.DEFINE_string("output", None, "The table, in Markdown.")
_SIZES = flags.DEFINE_list("sizes", ["lmnt", "published_musicldm"], "Networks.")
_BATCHES = flags.DEFINE_list("batches", ["1", "8", "32"], "Clips in a call.")
_PRECISIONS = flags.DEFINE_list(
  "precisions", ["float32", "tf32", "bfloat16"], "What networks compute in."
)
_RUNGS = flags.DEFINE_integer("rungs", 16, "Budgets of the default search.")
_RUNS = flags.DEFINE_integer("runs", 3, "Runs of each; the median counts.")
_MOST = flags.DEFINE_integer("most", 256, "The largest batch that is tried.")
_LARGEST = flags.DEFINE_list(
  "largest", ["lmnt", "published_musicldm"], "Networks whose largest batch is run."
)
_DEVICE_BYTES = flags.DEFINE_integer(
  "device_bytes", 0, "A device's memory; 0 for what JAX may use of it."
)
_COMPILE_ONLY = flags.DEFINE_bool(
  "compile_only", False, "Fill --compilation_cache with the programs, and end."
)
_THREADS = flags.DEFINE_integer("threads", 6, "Programs compiled at once.")

_TABLE = """
| network | precision | clips a call | clips a second | s a call [least, most] | of compute | of memory |
|---|---|---|---|---|---|---|
"""  # noqa: E501


@dataclasses.dataclass(frozen=True)
class Case:
  """A program to time."""

  size: str
  precision: str
  batch: int


def make_search(case: Case) -> our_programs.OurSearch:
  """The case's search."""
  precision = our_programs.model_precision(case.precision)
  problem = problems.make(case.size, case.batch, precision, None)
  return our_programs.OurSearch(
    problem,
    search_name="continuation",
    distance="waveform",
    rungs=_RUNGS.value,
    precision=case.precision,
    batch=case.batch,
  )


def compile_all(cases: list[Case]) -> None:
  """Compiles several programs at once, into the cache of compiled programs."""
  count = jax.local_device_count()
  searches = [
    lambda case=case: make_search(case).compiled(case.batch + -case.batch % count)
    for case in cases
  ]
  kinds = {(c.size, our_programs.model_precision(c.precision)) for c in cases}
  counts = [lambda kind=kind: work(*kind) for kind in sorted(kinds)]
  with concurrent.futures.ThreadPoolExecutor(_THREADS.value) as pool:
    for done in [pool.submit(one) for one in searches + counts]:
      if done.exception() is not None:  # It comes again where the case is timed.
        print(f"compiling: {done.exception()}"[:200], flush=True)


@functools.cache
def work(size: str, precision: str) -> dict[str, our_programs.Work]:
  """XLA's count of one clip's gradient and value."""
  return our_programs.count(problems.make(size, 1, precision, None), "waveform")


def time_case(case: Case) -> list[float]:
  """Seconds of each run; the first, which may compile, does not count."""
  search, seconds = make_search(case), []
  for _ in range(_RUNS.value + 1):
    start = time.perf_counter()
    search(tau=1.0)
    seconds.append(time.perf_counter() - start)
  return seconds[1:]


def measured_roofs(precision: str) -> dict[str, float]:
  """Operations and bytes a second that the machine does at best."""
  found = {}
  for name, (run, amount) in our_programs.roofs(precision).items():
    run()
    seconds = []
    for _ in range(3):
      start = time.perf_counter()
      run()
      seconds.append(time.perf_counter() - start)
    found[name] = amount / statistics.median(seconds)
  return found


def shares(case: Case, each: float, roofs: dict[str, float]) -> dict[str, float]:
  """The shares of the roofs at so many seconds a clip."""
  counts = work(case.size, our_programs.model_precision(case.precision))
  gradients = len(
    problems.budgets(our_programs.make_search("continuation", _RUNGS.value))
  )
  whole = our_programs.search_work(counts, gradients)
  return {
    "compute": whole.flops / each / roofs["matrix product"],
    "memory": whole.bytes / each / roofs["copy"],
  }


def largest(size: str, precision: str) -> dict[str, Any]:
  """Runs the largest batch that the compiler's count says fits."""
  one = make_search(Case(size, precision, 1))
  memory = one.compiled(jax.local_device_count()).memory_analysis()
  each = our_programs.device_bytes(_DEVICE_BYTES.value)
  fit = parallel.examples_that_fit(memory, one.shared_bytes(), one.own_bytes(), each)
  batch = min(fit, _MOST.value) * jax.local_device_count()
  start = time.perf_counter()
  found = make_search(Case(size, precision, batch))(tau=1.0)
  seconds = time.perf_counter() - start
  finite = bool(np.all(np.isfinite(found["degradations"])))
  return {"fit": fit, "batch": batch, "seconds": seconds, "finite": finite}


def line(row: dict[str, Any]) -> str:
  """A row of the table."""
  title = problems.SIZES[row["size"]].title
  begin = f"| {title} | {row['precision']} | {row['batch']} |"
  if "error" in row:
    return f"{begin} {row['error']} |  |  |  |"
  seconds = row["seconds"]
  middle = statistics.median(seconds)
  shown = [
    f"{row['batch'] / middle:.2f}",
    f"{middle:.3f} [{min(seconds):.3f}, {max(seconds):.3f}]",
    f"{row['shares']['compute']:.0%}" if "shares" in row else "",
    f"{row['shares']['memory']:.0%}" if "shares" in row else "",
  ]
  return f"{begin} {' | '.join(shown)} |"


def largest_line(row: dict[str, Any]) -> str:
  """A sentence about the largest batch."""
  title = f"{problems.SIZES[row['size']].title}, {row['precision']}"
  if "error" in row:
    return f"- {title}: the largest batch was not run, {row['error']}."
  outcome = "every D was finite" if row["finite"] else "some D was not finite"
  return (
    f"- {title}: the compiler's count lets {row['fit']} clips fit a device;"
    f" {row['batch']} were run in {row['seconds']:.1f} s, compiling included, and"
    f" {outcome}."
  )


class Page:
  """The rows so far, on the disk."""

  def __init__(self, output: pathlib.Path):
    """Begins anew."""
    self._output, self._kept = output, output.with_suffix(".jsonl")
    self._lines, self._roofs, self._largest = [], [], []
    self._kept.parent.mkdir(parents=True, exist_ok=True)
    self._kept.unlink(missing_ok=True)

  def keep(self, kind: str, row: dict[str, Any]) -> None:
    """Adds a `timed`, `roofs` or `largest` row."""
    with self._kept.open("a") as file:
      file.write(json.dumps({"kind": kind} | row) + "\n")
    if kind == "timed":
      self._lines.append(line(row))
    elif kind == "largest":
      self._largest.append(largest_line(row))
    else:
      self._roofs.append(
        f"- Roofs in {row['precision']}: {row['matrix product'] / 1e9:.0f} GFLOP/s"
        f" (matrix product), {row['copy'] / 1e9:.0f} GB/s (copy)."
      )
    self._write()

  def _write(self) -> None:
    device = jax.devices()[0].device_kind
    head = (
      f"# Throughput\n\n`python -m benchmarks.throughput {shlex.join(sys.argv[1:])}`"
      f"\n\n{device}, jax {jax.__version__}; the default search with"
      f" {_RUNGS.value} budgets, the median of {_RUNS.value} runs."
    )
    table = _TABLE + "\n".join(self._lines)
    parts = [head, table.strip(), "\n".join(self._roofs + self._largest)]
    write_whole(self._output, "\n\n".join(parts) + "\n")


def main(argv):
  """Compiles everything, then times it."""
  command.refuse_arguments(argv)
  devices.use_all()
  batches = [int(batch) for batch in _BATCHES.value]
  cases = [
    Case(size, precision, batch)
    for size in _SIZES.value
    for batch in batches
    for precision in _PRECISIONS.value
  ]
  if _COMPILE_ONLY.value:
    compile_all(cases)
    return
  page = Page(pathlib.Path(_OUTPUT.value))
  roofs = {precision: measured_roofs(precision) for precision in _PRECISIONS.value}
  for precision, found in roofs.items():
    page.keep("roofs", {"precision": precision} | found)
  for case in cases:
    _keep_timed(page, case, roofs[case.precision])
  for size in _LARGEST.value:
    row = {"size": size, "precision": _PRECISIONS.value[0]}
    try:
      row |= largest(size, row["precision"])
    except (RuntimeError, SettingError) as error:
      row["error"] = str(error).splitlines()[0][:150]
    page.keep("largest", row)
  print(pathlib.Path(_OUTPUT.value).read_text())


def _keep_timed(page: Page, case: Case, roofs: dict[str, float]) -> None:
  """Times a case, and keeps its row."""
  row = dataclasses.asdict(case)
  try:
    row["seconds"] = time_case(case)
    each = statistics.median(row["seconds"]) / case.batch
    row["shares"] = shares(case, each, roofs)
  except (RuntimeError, SettingError) as error:
    row["error"] = str(error).splitlines()[0][:150]
  page.keep("timed", row)


if __name__ == "__main__":
  flags.mark_flags_as_required(["output"])
  command.run(main)
