"""Times whole searches of a clip: ours, and plain PyTorch programs of the same.

python -m benchmarks.fair --output=benchmarks/fair.md

A search is all that C_adv of a clip takes: the clean reconstruction, the gradients in
sequence, the distance. Both sides have the same weights, the same start and as many
gradients, and nothing is timed before D agrees along the climb; where D has kinks, it
and the size of its gradient agree at the start. Each side runs
in its best arrangement, which is tried first: clips in one call, and for PyTorch on a
CPU one process with all threads against one a core. What is measured is measured in
turns; ratios are taken within a round. Each row is kept in FILE.jsonl as it ends.
`--sizes=embedded,lmnt,small_musicldm,published_musicldm` runs all networks;
accelerators take `benchmarks/accelerator.sh`.
"""

import dataclasses
import json
import os
import pathlib
import shlex
import statistics
import sys
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks import fair_check, fair_table, problems, workers
from benchmarks.workers import Spec, WorkerError
from launch import command
from launch import devices as _devices  # noqa: F401 (it defines --compilation_cache)
from lsaprobe_jax import distances, search
from lsaprobe_jax.files import write_whole

_OUTPUT = flags.DEFINE_string("output", None, "The tables, in Markdown.")
_SIZES = flags.DEFINE_list("sizes", ["embedded", "small_musicldm"], "Networks.")
_DISTANCES = flags.DEFINE_list(
  "distances", ["waveform", "log_mel", "mr_stft", "cdpam"],
  "Distances of the default search, float32; waveform in any case.",
)  # fmt: skip
_SEARCHES = flags.DEFINE_list(
  "searches", list(search.names()), "Searches under waveform."
)
_PRECISIONS = flags.DEFINE_list("precisions", ["float32"], "float32, tf32, bfloat16.")
_PEERS = flags.DEFINE_list("peers", ["eager", "compiled"], "PyTorch's programs.")
_BATCHES = flags.DEFINE_list("batches", None, "Clips in a call; default by size.")
_CLIPS = flags.DEFINE_integer("clips", 0, "Clips in a round; default by size.")
_SECONDS = flags.DEFINE_float("seconds", None, "Of a clip; default by size.")
_RUNGS = flags.DEFINE_integer("rungs", 16, "Budgets of the default search.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds in turns.")
_LIMIT = flags.DEFINE_float(
  "limit", 300.0, "Seconds after which a program is left out, compiling included."
)

PEERS = ("eager", "compiled")
PEERS_SEARCHES = ("bisection", "random_directions")
_PROBE_RUNGS = 4  # of a peer's search, where arrangements are tried


@dataclasses.dataclass
class Bench:
  """One size's measurements.

  Attributes:
    pool: the processes.
    size: one of `problems.SIZES`.
    keep: called with each row as it ends.
    best: the arrangement that was chosen, by (side, precision).
    compiling: seconds that compiling took, by program.
    begun: first calls that are over, by program.
  """

  pool: workers.Workers
  size: str
  keep: Any
  best: dict[tuple[str, str], Spec] = dataclasses.field(default_factory=dict)
  compiling: dict[Spec, float] = dataclasses.field(default_factory=dict)
  begun: dict[Spec, Any] = dataclasses.field(default_factory=dict)

  def base(self, side: str, precision: str, batch: int, processes=False) -> Spec:
    """The default search of this size."""
    return Spec(
      side=side,
      size=self.size,
      precision=precision,
      clips=_CLIPS.value or problems.SIZES[self.size].clips,
      seconds=_SECONDS.value,
      rungs=_RUNGS.value,
      batch=batch,
      processes=processes,
    )

  def candidates(self, side: str, precision: str, on_cpu: bool) -> list[Spec]:
    """The arrangements that are tried."""
    clips = _CLIPS.value or problems.SIZES[self.size].clips
    batches = list(map(int, _BATCHES.value or problems.SIZES[self.size].batches))
    batches = [b for b in batches if b <= clips] or [clips]
    cores = len(os.sched_getaffinity(0))
    found = [self.base(side, precision, b) for b in batches]
    if side != "jax" and on_cpu and cores > 1 and clips >= cores:
      found += [
        self.base(side, precision, b, True) for b in batches if b * cores <= clips
      ]
    return found

  def choose(self, side: str, precision: str, on_cpu: bool) -> Spec | None:
    """Tries all arrangements and keeps the fastest; None where none can be run."""
    tried = {}
    for spec in self.candidates(side, precision, on_cpu):
      fewer = probed(spec)
      first = self.begun.pop(spec, None) or self.pool.begin([fewer])[fewer]
      try:
        if isinstance(first, WorkerError):
          raise first
        tried[spec], _ = self.pool.run(fewer)
      except WorkerError as error:
        print(f"{spec.size} {side} {precision}, {spec.arrangement}: {error}")
        self.keep(fair_table.failure(spec, str(error)))
        continue
      self.compiling[spec] = max(0.0, first - tried[spec])
      print(f"{spec.size} {side} {precision}, {spec.arrangement}: {tried[spec]:.3f} s")
    if not tried:
      return None
    self.best[side, precision] = min(tried, key=tried.get)
    return self.best[side, precision]


def probed(spec: Spec) -> Spec:
  """The program as it is tried: a peer's loop is shorter, ours is compiled whole."""
  if spec.side == "jax":
    return spec
  return dataclasses.replace(spec, rungs=min(_PROBE_RUNGS, spec.rungs))


def checked(bench: Bench, ours: Spec, peers: list[Spec]) -> tuple[list[Spec], dict]:
  """Leaves out peers that do not compute what ours does.

  Returns:
    The programs to time, with tau set from our default search's curve; and what their
    rows say beside the times.
  """
  curve = dataclasses.replace(ours, search="continuation")
  curves = bench.pool.run(curve)[1]["degradations"]
  # A budget in the upper half of the ladder reaches it on half of the clips.
  tau = statistics.median(rungs[len(rungs) * 5 // 8] for rungs in curves)
  ours = dataclasses.replace(ours, tau=tau)
  answer = bench.pool.run(ours)[1]
  found = [ours]
  facts = {ours: {"gradients": float(np.mean(answer["gradients"])), "tau": tau}}
  for peer in peers:
    peer = dataclasses.replace(peer, tau=tau)
    try:
      theirs = bench.pool.run(peer)[1]
      said, reason = fair_check.disagreement(bench.pool, ours, peer, answer, theirs)
    except WorkerError as error:
      said, reason = {}, str(error)
    if reason:
      bench.keep(fair_table.failure(peer, reason))
      continue
    facts[peer] = said | {"gradients": float(np.mean(theirs["gradients"])), "tau": tau}
    found.append(peer)
  return found, facts


def measure(bench: Bench, variant: Spec, peers: list[Spec]) -> None:
  """Times one of our searches, its peers, and our default one, in turns."""
  default = bench.best["jax", "float32"]
  try:
    programs, facts = checked(bench, variant, peers)
    others = [] if variant == default else [default]
    work = bench.pool.ask(variant.request(0, 0) | {"op": "work"})
    for other in others:
      bench.pool.run(other)
  except WorkerError as error:
    bench.keep(fair_table.failure(variant, str(error)))
    return
  seconds = {spec: [] for spec in programs + others}
  roofs = {name: [] for name in ("matrix product", "copy")}
  amounts = {}
  for _ in range(_ROUNDS.value):
    for spec in seconds:
      seconds[spec].append(bench.pool.run(spec)[0])
    for name in roofs:
      request = {"op": "roof", "name": name, "precision": variant.precision}
      if name not in amounts:  # The first one is compiled.
        amounts[name] = bench.pool.ask(request)["amount"]
      roofs[name].append(bench.pool.ask(request)["took"])
  base = seconds[programs[0]]
  for spec in programs:
    row = fair_table.row(spec, seconds[spec], base, facts[spec])
    first = dataclasses.replace(spec, tau=1.0)
    if first in bench.compiling:
      row["compiling"] = bench.compiling[first]
    if spec.side == "jax":
      row["work"] = work
      row["roofs"] = {
        name: amounts[name] / statistics.median(roofs[name]) for name in roofs
      }
      row["over_default"] = fair_table.ratios(base, seconds.get(default, base))
    bench.keep(row)


def bench_size(bench: Bench, on_cpu: bool) -> None:
  """All measurements of one size, the most telling first."""
  for precision in _PRECISIONS.value:
    sides = ("jax", *_PEERS.value)
    if not on_cpu:  # There are cores enough to compile both sides at once.
      first = [bench.candidates(side, precision, on_cpu)[0] for side in sides[:2]]
      begun = bench.pool.begin([probed(spec) for spec in first])
      bench.begun = {spec: begun[probed(spec)] for spec in first}
    chosen = [bench.choose(side, precision, on_cpu) for side in sides]
    if chosen[0] is None or ("jax", "float32") not in bench.best:
      continue
    measure(bench, chosen[0], [spec for spec in chosen[1:] if spec is not None])
  if ("jax", "float32") not in bench.best:
    return
  default = bench.best["jax", "float32"]
  chosen = [bench.best.get((side, "float32")) for side in _PEERS.value]
  chosen = [spec for spec in chosen if spec is not None]
  for distance in _DISTANCES.value:
    if distance == default.distance:
      continue
    ours, *others = [
      dataclasses.replace(spec, distance=distance) for spec in (default, *chosen)
    ]
    measure(bench, ours, others)
  for name in _SEARCHES.value:
    if name != default.search:
      # A peer's loop takes clip by clip, and ends where it is done.
      others = [dataclasses.replace(spec, search=name, batch=1) for spec in chosen]
      known = name in PEERS_SEARCHES
      ours = dataclasses.replace(default, search=name)
      measure(bench, ours, others if known else [])


def _refuse_unknown() -> None:
  """Refuses names that nothing has."""
  known = {
    "peers": (_PEERS, PEERS),
    "sizes": (_SIZES, tuple(problems.SIZES)),
    "precisions": (_PRECISIONS, tuple(fair_check.ALIKE)),
    "distances": (_DISTANCES, distances.names()),
    "searches": (_SEARCHES, search.names()),
  }
  for flag, (given, names) in known.items():
    if unknown := [name for name in given.value if name not in names]:
      raise app.UsageError(f"--{flag}={','.join(unknown)}: known: {', '.join(names)}")


def main(argv):
  """Times everything, and writes the tables anew after each row."""
  command.refuse_arguments(argv)
  _refuse_unknown()
  os.environ["JAX_COMPILATION_CACHE_DIR"] = flags.FLAGS.compilation_cache or ""
  output, rows = pathlib.Path(_OUTPUT.value), []
  kept = output.with_suffix(".jsonl")
  kept.parent.mkdir(parents=True, exist_ok=True)
  kept.unlink(missing_ok=True)
  pool = workers.Workers(_LIMIT.value)
  try:
    machine = pool.ask({"op": "machine"})
    versions = [machine["version"]]
    if _PEERS.value:
      versions.append(pool.ask({"op": "machine"}, "torch")["version"])
    head = fair_table.head(
      f"python -m benchmarks.fair {shlex.join(sys.argv[1:])}",
      machine, versions, _ROUNDS.value,
    )  # fmt: skip

    def keep(row):
      rows.append(row)
      with kept.open("a") as file:
        file.write(json.dumps(row) + "\n")
      write_whole(output, fair_table.page(head, rows))

    for size in _SIZES.value:
      bench_size(Bench(pool, size, keep), machine["backend"] == "cpu")
  finally:
    pool.close()
  print(output.read_text())


if __name__ == "__main__":
  flags.mark_flags_as_required(["output"])
  command.run(main)
