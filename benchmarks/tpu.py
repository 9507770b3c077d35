"""The programs of the default commands, compiled for a TPU that need not be there.

python -m benchmarks.tpu --output=benchmarks/tpu.md

Each is that of one method on one clip length, as the scorer shards it over all chips of
the topology, with one clip a chip. TPUs' compiler compiles it (`pip install
"jax[tpu]"`); nothing is run. Rows are kept in FILE.jsonl, and a row that is there is
not compiled again.
"""

import json
import os
import pathlib
import re
import shlex
import sys
import time

import jax
import numpy as np
from absl import flags, logging

from benchmarks import our_programs
from launch import command, devices
from lsaprobe_jax import backends, parallel
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models.trained import load_model

_OUTPUT = flags.DEFINE_string("output", None, "The table, in Markdown.", required=True)
_TOPOLOGY = flags.DEFINE_string("topology", "v5p:2x2x1", "The chips.")
_MODELS = flags.DEFINE_list(
  "models", ["diffwave-multigenre-a", "musicldm-multigenre-a"], "Embedded models."
)
_METHODS = flags.DEFINE_list(
  "methods", ["loss", "rediffuse", "probe", "probe_mr_stft", "probe_cdpam"], "Programs."
)

_SECONDS, _T = 0.512, 20
_MIB = 2**20
_PAGE = """# Compiled for a TPU

`python -m benchmarks.tpu {flags}`

Compiled by the TPUs' compiler of libtpu for {topology}, {count} chips, with jax {version}, on
a machine without one; nothing was run. Clips are of {seconds} s, one a chip. `works with`
is what a chip needs besides its clip and the weights. Seconds are those of tracing and
compiling on {cores} CPU core(s). Rows of earlier runs of the command are kept.

| model | program | works with, MiB a chip | weights, MiB | collective operations | seconds |
|---|---|---|---|---|---|
{rows}
"""  # noqa: E501


def compile_for(chips: list[jax.Device], name: str, method: str) -> dict:
  """Compiles the program of a method for all chips, and says what the compiler counts.

  Args:
    chips: what it is sharded over (`backends.tpu_devices`).
    name: of an embedded model.
    method: see `our_programs.make_attack`.
  """
  model = load_model(name)
  samples = round(_SECONDS * model.sample_rate)
  (axis,) = parallel.example_mesh().axis_names
  mesh = jax.sharding.Mesh(np.asarray(chips), (axis,))
  on_all, split = (jax.NamedSharding(mesh, jax.P(*axes)) for axes in ((), (axis,)))
  clip = jax.ShapeDtypeStruct((len(chips), samples), np.float32, sharding=split)
  number = jax.ShapeDtypeStruct((len(chips),), np.int32, sharding=split)

  def score(shared, audio, number):
    model, attack = shared
    return attack(model, jax.random.key(number), audio, _T)

  with backends.written_for(chips[0].platform):
    model = model.for_length(samples)
    shared = (model.model, our_programs.make_attack(method, model.sample_rate))
    placed = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(np.shape(x), np.result_type(x), sharding=on_all),
      jax.device_get(shared),
    )
    start = time.perf_counter()
    program = parallel.shard_examples(score, mesh)
    types = parallel.node_types(shared)
    compiled = program.lower(placed, (clip, number), types).compile()
    took = time.perf_counter() - start
  memory = compiled.memory_analysis()
  return {
    "model": name,
    "program": method,
    "topology": _TOPOLOGY.value,
    "working": memory.temp_size_in_bytes,
    "arguments": memory.argument_size_in_bytes,
    "collectives": len(re.findall(our_programs.COLLECTIVES, compiled.as_text())),
    "seconds": took,
  }


def _line(row: dict) -> str:
  """One row of the table."""
  return (
    f"| {row['model']} | {row['program']} | {row['working'] / _MIB:.1f} |"
    f" {row['arguments'] / _MIB:.1f} | {row['collectives']} | {row['seconds']:.0f} |"
  )


def main(argv):
  """Compiles what is not in the rows yet, and writes the table."""
  command.refuse_arguments(argv)
  devices.use_one()
  chips = backends.tpu_devices(_TOPOLOGY.value)
  output = pathlib.Path(_OUTPUT.value)
  kept, rows = output.with_suffix(".jsonl"), []
  if kept.exists():
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
  done = {(row["topology"], row["model"], row["program"]) for row in rows}
  wanted = [(name, method) for name in _MODELS.value for method in _METHODS.value]
  for name, method in wanted:
    if (_TOPOLOGY.value, name, method) not in done:
      rows.append(compile_for(chips, name, method))
      logging.info("%s", _line(rows[-1]))
      write_whole(kept, "".join(json.dumps(row) + "\n" for row in rows))
  own = [row for row in rows if row["topology"] == _TOPOLOGY.value]
  text = _PAGE.format(
    flags=shlex.join(sys.argv[1:]),
    topology=f"{_TOPOLOGY.value} ({chips[0].device_kind})",
    count=len(chips),
    version=jax.__version__,
    seconds=_SECONDS,
    cores=len(os.sched_getaffinity(0)),
    rows="\n".join(map(_line, own)),
  )
  write_whole(output, text)


if __name__ == "__main__":
  command.run(main)
