"""A process that searches for `benchmarks.fair`, ours or PyTorch's.

python -m benchmarks.worker jax
python -m benchmarks.worker torch --threads=1 --core=0

It reads requests, one JSON a line, and answers each with one line. Each side is a
process of its own, so that neither's threads or memory are in the other's way.
"""

import argparse
import json
import os
import sys
import time
from typing import Any


class JaxSide:
  """Our searches, roofs and counts."""

  def __init__(self):
    """Makes every CPU core a device, as the launchers do."""
    from lsaprobe_jax import compilation_cache, parallel

    parallel.use_all_cpu_cores(len(os.sched_getaffinity(0)))
    compilation_cache.keep_programs()
    self._size, self._made = None, {}

  def _problem(self, request: dict[str, Any]):
    from benchmarks import our_programs, problems

    if request["size"] != self._size:  # The last size's memory is given back.
      self._size, self._made = request["size"], {}
    precision = our_programs.model_precision(request["precision"])
    key = (precision, request["clips"], request["seconds"])
    if key not in self._made:
      self._made[key] = problems.make(
        request["size"], request["clips"], precision, request["seconds"]
      )
    return self._made[key]

  def search(self, request: dict[str, Any]) -> dict[str, Any]:
    """C_adv of all clips; compiled by the first request of a kind."""
    from benchmarks import our_programs

    every = ("tau", "first", "last")  # One program serves all of them.
    key = json.dumps({k: v for k, v in request.items() if k not in every})
    if request["size"] != self._size or key not in self._made:
      problem = self._problem(request)
      self._made[key] = our_programs.OurSearch(
        problem,
        search_name=request["search"],
        distance=request["distance"],
        rungs=request["rungs"],
        precision=request["precision"],
        batch=request["batch"],
      )
    return self._made[key](request["tau"])

  def at_start(self, request: dict[str, Any]) -> dict[str, Any]:
    """D and its gradient where the default search starts, of each clip."""
    from benchmarks import our_programs

    return our_programs.at_start(
      self._problem(request),
      request["distance"],
      request["rungs"],
      request["precision"],
    )

  def load(self, request: dict[str, Any]) -> dict[str, Any]:
    """Makes the model and the clips."""
    self._problem(request)
    return {}

  def work(self, request: dict[str, Any]) -> dict[str, Any]:
    """Operations and bytes of one gradient and one value, for one clip."""
    from benchmarks import our_programs

    counts = our_programs.count(self._problem(request), request["distance"])
    return {name: [work.flops, work.bytes] for name, work in counts.items()}

  def roof(self, request: dict[str, Any]) -> dict[str, Any]:
    """Runs a roof; how many operations or bytes that was."""
    from benchmarks import our_programs

    run, amount = our_programs.roofs(request["precision"])[request["name"]]
    run()
    return {"amount": amount}

  def machine(self, request: dict[str, Any]) -> dict[str, Any]:
    """What computes, and the version of what it computes with."""
    import jax

    del request
    kind, backend = jax.devices()[0].device_kind, jax.default_backend()
    return {"kind": kind, "backend": backend, "version": f"jax {jax.__version__}"}


class TorchSide:
  """PyTorch's searches, eager and compiled."""

  def __init__(self, threads: int | None):
    """Sets what somebody who knows PyTorch would set."""
    import jax
    import torch

    # Weights and starts are made by JAX, on the CPU alone.
    jax.config.update("jax_platforms", "cpu")
    if threads:
      torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    self._size, self._made = None, {}

  def _start(self, request: dict[str, Any]):
    """The model, our model's rate, and the states and directions of all clips."""
    from benchmarks import problems, torch_search

    if request["size"] != self._size:
      self._size, self._made = request["size"], {}
    key = (request["clips"], request["seconds"])
    if key not in self._made:
      problem = problems.make(
        request["size"], request["clips"], "float32", request["seconds"]
      )
      model = torch_search.make_model(request["size"], problem, self._device)
      states, directions = map(model.states, problems.starts(problem))
      self._made[key] = (model, problem.model.sample_rate, states, directions)
    return self._made[key]

  def load(self, request: dict[str, Any]) -> dict[str, Any]:
    """Makes the model, and where each clip's search starts."""
    self._start(request)
    return {}

  def _degradation(self, request: dict[str, Any]):
    """D under the request's distance, in its precision."""
    import torch

    from benchmarks import torch_search

    full = request["precision"] == "float32"
    torch.backends.cuda.matmul.allow_tf32 = not full
    torch.backends.cudnn.allow_tf32 = not full
    model, rate, _, _ = self._start(request)
    names = ("side", "distance", "precision", "clips", "seconds")
    key = json.dumps([request[name] for name in names])
    if key not in self._made:
      self._made[key] = torch_search.Degradation(
        model,
        torch_search.make_distance(request["distance"], rate, self._device),
        compiled=request["side"] == "compiled",
        precision=request["precision"],
        device=self._device,
      )
    return self._made[key]

  def search(self, request: dict[str, Any]) -> dict[str, Any]:
    """C_adv of the clips from `first` to `last`."""
    import torch

    from benchmarks import our_programs, torch_search

    settings = our_programs.make_search(request["search"], request["rungs"])
    if settings.name != "continuation":
      return self._other_search(request, settings)
    _, _, states, directions = self._start(request)
    met = []
    for first in range(request["first"], request["last"], request["batch"]):
      part = slice(first, min(first + request["batch"], request["last"]))
      found, gradients = torch_search.climb(
        self._degradation(request), settings, states[part], directions[part]
      )
      met.append(found)
    met = torch.cat(met).numpy()
    return {
      "cost": torch_search.costs(met, settings, request["tau"]),
      "degradations": met.tolist(),
      "gradients": [gradients] * len(met),
    }

  def _other_search(self, request: dict[str, Any], settings) -> dict[str, Any]:
    """The clips one by one; their starts are drawn once."""
    from benchmarks import problems, torch_searches

    key = ("drawn", settings, request["clips"], request["seconds"])
    if key not in self._made:
      problem = problems.make(
        request["size"], request["clips"], "float32", request["seconds"]
      )
      model, _, _, _ = self._start(request)
      states, drawn = problems.samples(problem, settings)
      self._made[key] = (
        model.states(states),
        [
          model.states(clip.reshape(-1, *states.shape[1:])).unflatten(
            0, (*clip.shape[: clip.ndim - states.ndim + 1], 1)
          )
          for clip in drawn
        ],
      )
    states, drawn = self._made[key]
    run = torch_searches.SEARCHES[settings.name]
    found = [
      run(
        self._degradation(request), settings, states[i : i + 1], drawn[i],
        request["tau"],
      )
      for i in range(request["first"], request["last"])
    ]  # fmt: skip
    return {
      "cost": [one.cost for one in found],
      "degradations": [],
      "gradients": [one.gradients for one in found],
    }

  def at_start(self, request: dict[str, Any]) -> dict[str, Any]:
    """D and its gradient where the default search starts, of each clip."""
    from benchmarks import our_programs, problems

    _, _, states, directions = self._start(request)
    settings = our_programs.make_search("continuation", request["rungs"])
    delta = problems.budgets(settings)[0] * directions
    found, gradient = self._degradation(request).at(states, delta)
    return {"value": found.tolist(), "size": gradient.flatten(1).norm(dim=1).tolist()}

  def release(self) -> None:
    """Gives back the memory that a request that failed has left."""
    import torch

    if torch.cuda.is_available():
      torch.cuda.empty_cache()

  def machine(self, request: dict[str, Any]) -> dict[str, Any]:
    """The version of what it computes with."""
    import torch

    del request
    return {"version": f"torch {torch.__version__}"}


def answer(side: Any, request: dict[str, Any]) -> dict[str, Any]:
  """What a side says to a request, or why it cannot."""
  start = time.perf_counter()
  try:
    found = getattr(side, request["op"])(request)
  except Exception as error:  # A peer that cannot do it is reported and left out.
    if hasattr(side, "release"):
      side.release()
    lines = str(error).strip().splitlines() or [""]
    return {"error": f"{type(error).__name__}: {lines[0]}"[:300]}
  return found | {"took": time.perf_counter() - start}


def main():
  """Answers until there are no more requests."""
  parser = argparse.ArgumentParser()
  parser.add_argument("side", choices=("jax", "torch"))
  parser.add_argument("--threads", type=int)
  parser.add_argument("--core", type=int)
  args = parser.parse_args()
  # What libraries print goes to stderr; only answers come out.
  out = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)
  if args.core is not None:
    os.sched_setaffinity(0, {args.core})
  side = JaxSide() if args.side == "jax" else TorchSide(args.threads)
  for line in sys.stdin:
    print(json.dumps(answer(side, json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
  main()
