"""How long the programs of the default commands take to compile, and to start again.

python -m benchmarks.compiling --output=benchmarks/compiling.md

Rows are kept in FILE.jsonl too, and `--before` names those of another version: run this
file in a checkout of it.

Each program is that of one method on one clip length, as the scorer compiles it. It is
compiled in a process of its own with an empty cache of compiled programs, and once more
in another with what the first left there. Tracing is counted in both. Pin the command
to one core (`taskset -c 0`), with nothing beside it. It takes three minutes without
`twins`.
"""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
from absl import flags

from benchmarks import our_programs
from launch import command
from lsaprobe_jax import compilation_cache, parallel
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models.trained import load_model

_OUTPUT = flags.DEFINE_string("output", None, "The table, in Markdown.")
_MODELS = flags.DEFINE_list(
  "models", ["diffwave-multigenre-a", "musicldm-multigenre-a"], "Embedded models."
)
_METHODS = flags.DEFINE_list(
  "methods", ["loss", "rediffuse", "gradient_norm", "probe", "twins"], "Programs."
)
_BEFORE = flags.DEFINE_string("before", None, "Rows of another version, JSON lines.")
_ONE = flags.DEFINE_string("one", None, "MODEL,METHOD,CACHE: one measurement.")

_SECONDS, _T = 0.512, 20
_PAGE = """# Compiling

`python -m benchmarks.compiling {flags}`

Seconds from a model in memory to a program that is ready, tracing included, on {cores}
CPU core(s) with jax {version}. `again` is another process, with what the first one left
in the cache of compiled programs. `before` is the same by the rows that `--before`
names.

| model | program | instructions to compile | first, s | again, s | before: first, s | again, s |
|---|---|---|---|---|---|---|
{rows}
"""  # noqa: E501


def measure(name: str, method: str) -> tuple[float, int]:
  """Seconds of tracing and compiling, and lines of what is compiled."""
  model = load_model(name)
  samples = round(_SECONDS * model.sample_rate)
  model = model.for_length(samples)
  attack = our_programs.make_attack(method, model.sample_rate)

  def score(shared, audio, number):
    model, attack = shared
    return attack(model, jax.random.key(number), audio, _T)

  program = parallel.shard_examples(score, parallel.example_mesh())
  shared = jax.device_put((model.model, attack))
  batch = (np.zeros((1, samples), np.float32), np.zeros(1, np.int32))
  start = time.perf_counter()
  lowered = program.lower(shared, batch, parallel.node_types(shared))
  lowered.compile()
  return time.perf_counter() - start, lowered.as_text().count("\n")


def in_a_process(name: str, method: str, cache: str) -> tuple[float, int]:
  """`measure` in a process of its own."""
  flag = f"--one={name},{method},{cache}"
  done = subprocess.run(
    [sys.executable, "-m", "benchmarks.compiling", "--output=-", flag],
    check=True,
    capture_output=True,
    text=True,
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
  )
  seconds, lines = json.loads(done.stdout.splitlines()[-1])
  return seconds, lines


def main(argv):
  """Measures one program, or all of them in processes, and writes the table."""
  command.refuse_arguments(argv)
  if _ONE.value:
    name, method, cache = _ONE.value.split(",")
    compilation_cache.keep_programs(cache)
    print(json.dumps(measure(name, method)))
    return
  output, rows = pathlib.Path(_OUTPUT.value), []
  before = {}
  if _BEFORE.value:
    for line in pathlib.Path(_BEFORE.value).read_text().splitlines():
      row = json.loads(line)
      before[row["model"], row["program"]] = row
  for name in _MODELS.value:
    for method in _METHODS.value:
      with tempfile.TemporaryDirectory() as cache:
        first, lines = in_a_process(name, method, cache)
        again, _ = in_a_process(name, method, cache)
      rows.append(
        {
          "model": name, "program": method, "instructions": lines, "first": first,
          "again": again,
        }
      )  # fmt: skip
      print(_line(rows[-1], before), flush=True)
      text = _PAGE.format(
        flags=shlex.join(sys.argv[1:]),
        cores=len(os.sched_getaffinity(0)),
        version=jax.__version__,
        rows="\n".join(_line(row, before) for row in rows),
      )
      write_whole(output, text)
      kept = "".join(json.dumps(row) + "\n" for row in rows)
      write_whole(output.with_suffix(".jsonl"), kept)


def _line(row, before) -> str:
  """One row of the table."""
  cells = [row["model"], row["program"], f"{row['instructions']:,}"]
  cells += [f"{row[key]:.1f}" for key in ("first", "again")]
  old = before.get((row["model"], row["program"]))
  cells += [f"{old[key]:.1f}" if old else "" for key in ("first", "again")]
  return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
  flags.mark_flags_as_required(["output"])
  command.run(main)
