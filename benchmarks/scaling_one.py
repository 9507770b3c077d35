r"""One measurement of `benchmarks.scaling`, in a process of its own.

python -m benchmarks.scaling_one \
  '{"kind": "search", "size": "embedded", "clips": 4, "devices": 2}'

It reads a request and prints one line of JSON.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

# How often each program is run once it is compiled.
RUNS = 3
_EACH = 4  # clips a device takes in one call, as the scorer has it on a CPU


def timed(run) -> dict[str, list[float]]:
  """Seconds by the clock and of this process's cores, of each run after a first."""
  run()
  found: dict[str, list[float]] = {"wall": [], "cpu": []}
  for _ in range(RUNS):
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    found["wall"].append(time.perf_counter() - wall)
    found["cpu"].append(time.process_time() - cpu)
  return found


def search(request: dict[str, Any]) -> dict[str, Any]:
  """The default search of some clips.

  `share` names one of several processes, which takes each of so many clips.
  """
  import dataclasses

  import jax

  from benchmarks import our_programs, problems
  from lsaprobe_jax.models import memory

  if request.get("share"):
    # As launchers join: for the number of the process alone.
    jax.distributed.initialize(*request["share"])
    jax.distributed.shutdown()
  problem = problems.make(
    request["size"], request["clips"], "float32", request.get("seconds")
  )
  model = problem.model.replace(num_inference_steps=request.get("steps", 1))
  audio = problem.audio
  if request.get("share"):
    _, count, index = request["share"]
    audio = audio[index::count]
  model = memory.suited(model.replace(rematerialise=None), audio.shape[1])
  problem = dataclasses.replace(problem, model=model, audio=audio)
  batch = min(_EACH * request["devices"], len(audio))
  program = our_programs.OurSearch(
    problem,
    search_name="continuation",
    distance="waveform",
    rungs=16,
    precision="float32",
    batch=batch,
  )
  found = timed(lambda: program(1.0)) | {"gradients": program(1.0)["gradients"][0]}
  if request.get("collectives"):
    text = program.compiled(batch).as_text()
    found["collectives"] = len(re.findall(our_programs.COLLECTIVES, text))
  return found


def work(request: dict[str, Any]) -> dict[str, Any]:
  """Operations of D, without and with gradient, for one clip, as XLA lowers it."""
  from benchmarks import footprint, problems
  from lsaprobe_jax.models import registry

  config = problems.model_config(request["size"])
  return footprint.operations(
    config,
    registry.abstract_params(config),
    request["seconds"],
    request["distance"],
  )


def host(request: dict[str, Any]) -> dict[str, Any]:
  """A method through the scorer with rows on disk, and its program alone."""
  import jax
  import numpy as np

  from benchmarks import our_programs, problems
  from lsaprobe_jax import parallel
  from lsaprobe_jax.data import corpus as corpora
  from lsaprobe_jax.models.trained import load_model
  from lsaprobe_jax.scoring import row_store, scorer

  target = load_model("diffwave-multigenre-a")
  clips = corpora.load_audio(
    "multigenre", sample_rate=target.sample_rate, clip_seconds=0.512, clips_per_track=1
  ).take(range(request["clips"]))
  target = target.for_length(clips.audio.shape[1])
  attack = our_programs.make_attack(request["method"], target.sample_rate)
  batch = _EACH * request["devices"]
  scores, seed = scorer.Scorer(0, batch), iter(range(1, 100))
  with tempfile.TemporaryDirectory() as folder:
    store = row_store.RowFile(pathlib.Path(folder, "rows.jsonl"))

    def whole():  # Another seed, or the rows are there.
      scores.reseeded(next(seed))(
        store, attack, target, clips, method=request["method"], t_ratio=0.2
      )

    found = {"whole": timed(whole)}
  mesh = parallel.example_mesh()

  def score(shared, audio, number):
    model, attack = shared
    return attack(model, problems.key_of(number), audio, 20)

  program = parallel.shard_examples(score, mesh)
  shared = jax.device_put((target.model, attack), jax.NamedSharding(mesh, jax.P()))
  split = jax.NamedSharding(mesh, jax.P("example"))
  numbers = np.arange(len(clips), dtype=np.uint32)
  batches = [
    jax.device_put((clips.audio[i : i + batch], numbers[i : i + batch]), split)
    for i in range(0, len(clips), batch)
  ]
  types = parallel.node_types(shared)
  alone = lambda: jax.block_until_ready([program(shared, b, types) for b in batches])
  return found | {"program": timed(alone)}


def one(request: dict[str, Any]) -> Any:
  """One measurement, in a process of its own."""
  (found,) = together([request])
  return found


def together(requests: Sequence[dict[str, Any]]) -> list[Any]:
  """Several at once."""
  running = [
    subprocess.Popen(
      [sys.executable, "-m", "benchmarks.scaling_one", json.dumps(request)],
      stdout=subprocess.PIPE,
      text=True,
      env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    for request in requests
  ]
  found = []
  for process, request in zip(running, requests, strict=True):
    out, _ = process.communicate()
    if process.returncode:
      raise RuntimeError(f"{request} ended with {process.returncode}")
    found.append(json.loads(out.splitlines()[-1]))
  return found


def main():
  """Measures what the request asks for."""
  from lsaprobe_jax import compilation_cache, parallel

  request = json.loads(sys.argv[1])
  parallel.use_all_cpu_cores(request.get("devices", 1))
  if not request.get("share"):
    compilation_cache.keep_programs()
  kinds = {"search": search, "work": work, "host": host}
  print(json.dumps(kinds[request["kind"]](request)))


if __name__ == "__main__":
  main()
