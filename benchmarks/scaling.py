"""How the time of an evaluation grows, and a model of its cost.

python -m benchmarks.scaling --output=benchmarks/scaling.md

The default search against clips, their length, the steps of
the reverse process, devices and processes; the host's share of a run; and what the
model of cost says of each, of the README's run, and of the paper's. Each measurement is
a process of its own. On a CPU devices share the cores: what they do is counted in
seconds of cores, not by the clock. It takes a quarter of an hour of idle cores.
"""

import dataclasses
import json
import os
import pathlib
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from benchmarks import problems
from benchmarks.scaling_one import one, together
from launch import command
from lsaprobe_jax.files import write_whole

_OUTPUT = flags.DEFINE_string("output", None, "The tables, in Markdown.")
_SIZE = flags.DEFINE_enum("size", "embedded", list(problems.SIZES), "The network.")
_CLIPS = flags.DEFINE_integer("clips", 32, "Clips of a measurement.", lower_bound=8)
_PARTS = flags.DEFINE_list(
  "parts",
  ["clips", "lengths", "steps", "devices", "processes", "host", "run", "pairs"],
  "What is measured; other parts stay as FILE.json has them.",
)

_RUN, _SCORED = "configs/mini.py", ("curves", "scores")
_LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
# The paper's search, and how much of it is run at most: a trial at eta_max and ten
# halvings, five starts, twelve gradients each, and a value behind each ascent.
_PAPER_GRADIENTS, _PAPER_VALUES, _PAPER_STEPS = 660, 55 + 1, 10
_PAPER_SECONDS, _POD = 4.0, 256
# What DiffWave at LMNT's size reached on one H200 (benchmarks/accelerator.md), as a
# share of the card's matrix product in float32: its clips a second, times the
# operations of one search there.
_H200 = {"clips_a_second": 12.83, "seconds": 0.5, "gradients": 34, "values": 2}
_HEAD = """# Scaling

`python -m benchmarks.scaling {flags}`

{cores} CPU cores, jax {version}; the default search (34 gradients) of {title}, clips
of {seconds:g} s unless another length is said, the median of three runs [least, most].
`core seconds` are those of all cores that the process used.

**The model of cost**: a clip takes `S (g G + v F)` operations, g and v being how often
D is taken with gradient and without, G and F the operations of each at S = 1 by XLA's
count; the machine does {rate:.1f} GFLOP/s of them, as the first table's last row did.
It knows nothing else. A rematerialised gradient takes F more.

Tables that the command above does not name are of earlier runs of it.
"""


@dataclasses.dataclass
class Model:
  """The model of cost.

  Attributes:
    work: operations of one `value` and one `gradient` by (size, seconds, distance).
    rate: operations a second, of the whole machine.
  """

  work: dict[tuple, dict[str, float]]
  rate: float = 0.0

  def operations(self, gradients, values, steps=1, *, kind) -> float:
    """Those of one clip."""
    work = self.work[kind]
    return steps * (gradients * work["gradient"] + values * work["value"])


def spread(values: Sequence[float], clips: int) -> str:
  """A clip's median [least, most]."""
  each = [value / clips for value in values]
  return f"{statistics.median(each):.4f} [{min(each):.4f}, {max(each):.4f}]"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
  """A section with one table."""
  lines = [f"## {title}", "", "| " + " | ".join(columns) + " |"]
  lines.append("|" + "---|" * len(columns))
  lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
  return "\n".join(lines)


def against(
  model: Model, found: dict[str, Any], clips: int, kind, steps=1
) -> list[str]:
  """A clip's seconds, those the model says, and their ratio."""
  said = model.operations(found["gradients"], 2, steps, kind=kind) / model.rate
  measured = statistics.median(found["wall"]) / clips
  return [spread(found["wall"], clips), f"{said:.4f}", f"{said / measured:.2f}"]


def usual() -> tuple[str, float, str]:
  """The kind of operations that most measurements do."""
  return _SIZE.value, problems.SIZES[_SIZE.value].seconds, "waveform"


def search(clips: int, devices: int, **settings) -> dict[str, Any]:
  """Asks for the default search."""
  request = {"kind": "search", "size": _SIZE.value, "clips": clips, "devices": devices}
  return request | settings


def by_clips(model: Model, cores: int) -> str:
  """Time against clips; its last row sets the model's rate."""
  counts = [n * _CLIPS.value // 4 for n in (1, 2, 4, 8)]
  found = {n: one(search(n, cores)) for n in counts}
  kind = usual()
  last = found[counts[-1]]
  each = model.operations(last["gradients"], 2, kind=kind)
  model.rate = counts[-1] * each / statistics.median(last["wall"])
  rows = [[n, *against(model, found[n], n, kind)] for n in counts]
  return table("Clips", ["clips", "s a clip", "by the model", "over measured"], rows)


def by_length(model: Model, cores: int) -> str:
  """Time against the length of clips."""
  rows, clips = [], max(4, _CLIPS.value // 4)
  for seconds in _LENGTHS:
    request = search(clips, cores, seconds=seconds)
    kind = (_SIZE.value, seconds, "waveform")
    model.work[kind] = one(work_request(kind))
    rows.append([seconds, *against(model, one(request), clips, kind)])
  columns = ["clip, s", "s a clip", "by the model", "over measured"]
  return table("Length of clips", columns, rows)


def by_steps(model: Model, cores: int) -> str:
  """Time against the steps of the reverse process."""
  rows, clips = [], max(4, _CLIPS.value // 4)
  kind = usual()
  for steps in (1, 2, 4, 8):
    request = search(clips, cores, steps=steps)
    rows.append([steps, *against(model, one(request), clips, kind, steps)])
  columns = ["S", "s a clip", "by the model", "over measured"]
  return table("Steps of the reverse process", columns, rows)


def by_devices() -> str:
  """Work against devices, which share the cores."""
  rows, single, clips = [], None, _CLIPS.value
  for devices in (1, 2, 4, 8):
    found = one(search(clips, devices, collectives=True))
    work = statistics.median(found["cpu"])
    single = single or work
    rows.append(
      [
        devices,
        spread(found["wall"], clips),
        spread(found["cpu"], clips),
        f"{single / work:.0%}",
        found["collectives"],
      ]
    )
  columns = ["devices", "s a clip", "core seconds a clip", "efficiency by work"]
  return table("Devices", [*columns, "collective operations"], rows)


def by_processes() -> str:
  """Work against processes, as hosts share an evaluation."""
  rows, single, clips = [], None, _CLIPS.value
  for count in (1, 2, 4):
    with socket.socket() as free:
      free.bind(("127.0.0.1", 0))
      address = f"127.0.0.1:{free.getsockname()[1]}"
    request = search(clips, 1)
    found = together(
      [request | {"share": [address, count, index]} for index in range(count)]
    )
    work = [sum(each) for each in zip(*(one["cpu"] for one in found), strict=True)]
    single = single or statistics.median(work)
    efficiency = single / statistics.median(work)
    rows.append([count, spread(work, clips), f"{efficiency:.0%}"])
  return table(
    "Processes", ["processes", "core seconds a clip", "efficiency by work"], rows
  )


def host_share(cores: int) -> str:
  """What the host takes beside the programs."""
  rows, clips = [], _CLIPS.value
  for method in ("loss", "probe", "twins"):
    found = one({"kind": "host", "method": method, "clips": clips, "devices": cores})
    whole, alone = (statistics.median(found[k]["wall"]) for k in ("whole", "program"))
    rows.append(
      [
        method,
        spread(found["whole"]["wall"], clips),
        spread(found["program"]["wall"], clips),
        f"{max(0.0, 1 - alone / whole):.0%}",
      ]
    )
  columns = ["method", "scorer, rows on disk: s a clip", "its program alone"]
  return table("The host's share", [*columns, "host's share"], rows)


def of_run(model: Model) -> str:
  """What the model says of an evaluation, and what that took, compiled before."""
  kind, took = usual(), []
  with tempfile.TemporaryDirectory() as folder:
    for name in ("first", "again"):  # The first one may have to compile.
      start = time.perf_counter()
      subprocess.run(
        [
          sys.executable, "-m", "launch.eval", f"--config={_RUN}",
          f"--workdir={folder}/{name}", f"--compilation_cache={folder}/cache",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
      )  # fmt: skip
      took.append(time.perf_counter() - start)
    files = [pathlib.Path(folder, f"again/{name}.jsonl") for name in _SCORED]
    rows = [json.loads(row) for file in files for row in file.read_text().splitlines()]
  # What the probe's rows say is read off those of its curves.
  rows = [row for row in rows if not row["method"].startswith("lsa_probe")]
  forward = sum(r["nfe_forward"] + r.get("twin_nfe_forward", 0) for r in rows)
  backward = sum(r["nfe_backward"] + r.get("twin_nfe_backward", 0) for r in rows)
  scoring = sum(r["seconds"] + r.get("twin_seconds", 0.0) for r in rows)
  said = model.operations(backward, forward - backward, kind=kind) / model.rate
  return "\n".join(
    [
      f"## `launch.eval --config={_RUN}`",
      "",
      f"It took {took[0]:.0f} s with an empty cache of programs and {took[1]:.0f} s"
      f" again, of which rows say {scoring:.0f} s for scoring: {forward:,} network"
      f" function evaluations forward, {backward:,} backward. The model says"
      f" {said:.0f} s, {said / scoring:.2f} of that. Compiling, reading and statistics"
      " are not in it.",
    ]
  )


def of_paper(model: Model) -> str:
  """What the model says of the paper's evaluations on accelerators."""
  small = ("lmnt", _H200["seconds"], "waveform")
  model.work[small] = one(work_request(small))
  done = model.operations(_H200["gradients"], _H200["values"], kind=small)
  rate = _H200["clips_a_second"] * done
  rows = []
  for size, title in (("lmnt", "DiffWave"), ("published_musicldm", "MusicLDM")):
    kind = (size, _PAPER_SECONDS, "cdpam")
    model.work[kind] = one(work_request(kind))
    each = _PAPER_STEPS * (
      # Ten steps do not fit beside eight clips: rematerialised (benchmarks/memory.md).
      model.operations(_PAPER_GRADIENTS, _PAPER_VALUES + _PAPER_GRADIENTS, kind=kind)
    )
    hours = 1000 * each / rate / 3600
    for corpus in ("MAESTRO", "FMA-Large"):
      rows.append([title, corpus, f"{each:.1e}", f"{hours:.0f}", f"{hours / _POD:.1f}"])
  columns = ["model", "corpus", "operations a clip", "H200 hours for 1,000 clips"]
  head = table(
    "The paper's four pairs", [*columns, f"hours of {_POD} such devices"], rows
  )
  return (
    f"{head}\n\nClips of {_PAPER_SECONDS:g} s, S = {_PAPER_STEPS}, CDPAM, bisection"
    f" without its early ends ({_PAPER_GRADIENTS} gradients), float32, at the"
    f" {rate / 1e12:.2f} TFLOP/s that the search of DiffWave at LMNT's size reached on"
    " one H200 (benchmarks/accelerator.md). The corpora differ in clips alone. That"
    " MusicLDM and CDPAM reach the same rate is assumed and not measured."
  )


def work_request(kind: tuple) -> dict[str, Any]:
  """Asks for the operations of D."""
  size, seconds, distance = kind
  return {"kind": "work", "size": size, "seconds": seconds, "distance": distance}


def main(argv):
  """Measures all parts, and writes the page anew after each."""
  command.refuse_arguments(argv)
  import jax

  cores = len(os.sched_getaffinity(0))
  kind = usual()
  model = Model({kind: one(work_request(kind))})
  steps = {
    "clips": lambda: by_clips(model, cores),
    "lengths": lambda: by_length(model, cores),
    "steps": lambda: by_steps(model, cores),
    "devices": by_devices,
    "processes": by_processes,
    "host": lambda: host_share(cores),
    "run": lambda: of_run(model),
    "pairs": lambda: of_paper(model),
  }
  if unknown := set(_PARTS.value) - steps.keys():
    raise app.UsageError(f"--parts={','.join(unknown)}: known: {', '.join(steps)}")
  output = pathlib.Path(_OUTPUT.value)
  kept = output.with_suffix(".json")
  parts = json.loads(kept.read_text()) if kept.exists() else {}
  model.rate = parts.get("rate", 0.0)
  for name, step in steps.items():
    if name not in _PARTS.value and (name != "clips" or name in parts):
      continue
    parts[name] = step()
    parts["rate"] = model.rate
    write_whole(kept, json.dumps(parts, indent=1))
    text = [parts[each] for each in steps if each in parts]
    head = _HEAD.format(
      flags=shlex.join(sys.argv[1:]),
      cores=cores,
      version=jax.__version__,
      rate=model.rate / 1e9,
      title=problems.SIZES[_SIZE.value].title,
      seconds=usual()[1],
    )
    write_whole(output, "\n\n".join([head.strip(), *text]) + "\n")
    print(parts[name] + "\n", flush=True)


if __name__ == "__main__":
  flags.mark_flags_as_required(["output"])
  command.run(main)
