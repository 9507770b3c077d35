"""Our search as the scorer compiles it, XLA's count of its work, and the roofs.

A search's work is counted by one gradient, compiled alone, times how often it is taken:
XLA counts what is inside a loop once. What the machine can do at best is measured by a
matrix product and a copy.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import problems
from lsaprobe_jax import attacks, distances, parallel, probe, search
from lsaprobe_jax.attacks import LSAProbe
from lsaprobe_jax.models import convolution

# How matrix products of float32 are computed; a model in bfloat16 has few of them.
MATMUL = {"float32": "highest", "tf32": "default", "bfloat16": "default"}
# The side of the matrices that are multiplied, and float32 that are copied.
_PRODUCT = {"cpu": 1024, "gpu": 8192, "tpu": 8192}
_COPY = {"cpu": 16_000_000, "gpu": 256_000_000, "tpu": 256_000_000}
_REPEATS = 8
# Operations by which devices wait for each other, in the text of a compiled program.
COLLECTIVES = r"\b(?:all-(?:reduce|gather|to-all)|collective-permute|reduce-scatter)"


def model_precision(precision: str) -> str:
  """The model's precision, where TF32 is one of float32's products alone."""
  return "bfloat16" if precision == "bfloat16" else "float32"


def in_precision(precision: str):
  """A context in which programs are compiled for a precision, one of `MATMUL`."""
  return jax.default_matmul_precision(MATMUL[precision])


def make_search(name: str, rungs: int) -> search.Search:
  """A search by name; the ladder of the default one has so many rungs."""
  return search.get(name, **({"rungs": rungs} if name == "continuation" else {}))


def make_attack(method: str, sample_rate: int):
  """The method's attack; `probe` is the default search, `twins` it with polarity.

  `probe_NAME` is the default search under another distance than that of waveforms.
  """
  if not method.startswith(("probe", "twins")):
    return attacks.get(method)
  name = method.partition("_")[2] or "waveform"
  distance = distances.get(name, sample_rate=sample_rate)
  curve = attacks.DegradationCurve(distance=distance, search=search.get("continuation"))
  if method.startswith("probe"):
    return curve
  return attacks.Twinned.by_names(curve, ("polarity",))


def score(shared: Any, audio, number, t):
  """One clip's outcome, as `scoring.Scorer` has it."""
  model, attack = shared
  return attack(model, problems.key_of(number), audio, t)


class OurSearch:
  """The search of many clips by one compiled program (`parallel.over_examples`)."""

  def __init__(
    self,
    problem: problems.Problem,
    *,
    search_name: str,
    distance: str,
    rungs: int,
    precision: str,
    batch: int,
  ):
    """Takes the parts; nothing is compiled before the first call."""
    self._problem, self._precision = problem, precision
    self._steps = problem.model.num_inference_steps
    self._distance = distances.get(distance, sample_rate=problem.model.sample_rate)
    self._search = make_search(search_name, rungs)
    self._run = parallel.over_examples(score, batch)

  def __call__(self, tau: float) -> dict[str, Any]:
    """Searches all clips for C_adv at tau.

    Returns:
      `cost` [clips], `degradations` [clips][rungs] as the search met them, and the
      `gradients` that it took for a clip, in the mean.
    """
    with in_precision(self._precision):
      parts = [part for _, part in self._run(self._shared(tau), *self._batches())]
    outcome = jax.tree.map(lambda *each: np.concatenate(each), *parts)
    return {
      "cost": outcome.cost.tolist(),
      "degradations": outcome.details["degradations"].tolist(),
      "gradients": (outcome.nfe_backward / self._steps).tolist(),
    }

  def compiled(self, examples: int) -> Any:
    """The program for so many clips in a call, compiled and not run."""
    mesh = parallel.example_mesh()
    split = jax.NamedSharding(mesh, jax.P("example"))
    one = lambda a: jax.ShapeDtypeStruct((examples, *a.shape[1:]), a.dtype)
    batch = tuple(
      jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=split)
      for a in map(one, self._batches())
    )
    shared = jax.device_put(self._shared(1.0), jax.NamedSharding(mesh, jax.P()))
    with in_precision(self._precision):
      program = parallel.shard_examples(score, mesh)
      return program.lower(shared, batch, parallel.node_types(shared)).compile()

  def shared_bytes(self) -> int:
    """The size of what all clips share, in bytes."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(self._shared(1.0)))

  def own_bytes(self) -> int:
    """The size of one clip's arguments, in bytes."""
    return sum(array[0].nbytes for array in self._batches())

  def _shared(self, tau: float):
    attack = LSAProbe(distance=self._distance, tau=np.float32(tau), search=self._search)
    return self._problem.model, attack

  def _batches(self):
    problem = self._problem
    times = np.full(len(problem.audio), problem.t, np.int32)
    return problem.audio, problem.numbers, times


def at_start(
  problem: problems.Problem, distance: str, rungs: int, precision: str
) -> dict[str, list[float]]:
  """D where the default search starts, and the size of its gradient, of each clip."""
  measure = distances.get(distance, sample_rate=problem.model.sample_rate)
  states, directions = problems.starts(problem)
  deltas = problems.budgets(make_search("continuation", rungs))[0] * directions

  def at(model, measure, x_t, delta):
    clean = measure.embed(model.reconstruct(x_t, problem.t))
    value, gradient = jax.value_and_grad(probe.degradation, argnums=5)(
      model, measure, clean, x_t, problem.t, delta
    )
    return value, jnp.sqrt(jnp.sum(jnp.square(gradient)))

  with in_precision(precision):
    each = [
      jax.jit(at)(problem.model, measure, *pair)
      for pair in zip(states, deltas, strict=True)
    ]
  values, sizes = zip(*each, strict=True)
  return {"value": list(map(float, values)), "size": list(map(float, sizes))}


@dataclasses.dataclass(frozen=True)
class Work:
  """Operations and bytes, by XLA's count."""

  flops: float
  bytes: float


def count(problem: problems.Problem, distance: str) -> dict[str, Work]:
  """What one `gradient` of D and one `value` of it do, for one clip.

  Operations are those that XLA lowers, bytes those of what it has compiled; both as for
  an accelerator: XLA counts a loop's body once, and on a CPU DiffWave's blocks are a
  loop (`models.diffwave.stack`).
  """
  measure = distances.get(distance, sample_rate=problem.model.sample_rate)
  degrade = probe.degradation

  def clean(model, audio):
    x_t, _ = probe.noisy_state(model, problems.key_of(0), model.encode(audio), 1)
    return measure.embed(model.reconstruct(x_t, 1)), x_t

  embedded, x_t = jax.eval_shape(clean, problem.model, problem.audio[0])
  t = jax.ShapeDtypeStruct((), jnp.int32)
  arguments = (problem.model, measure, embedded, x_t, t, x_t)
  programs = {"gradient": jax.value_and_grad(degrade, argnums=5), "value": degrade}
  found = {}
  unrolled = mock.patch.object(convolution, "on_cpu", return_value=False)
  # Whatever multiplies them, they are as many.
  with in_precision("float32"), unrolled:
    for name, program in programs.items():
      lowered = jax.jit(program).lower(*arguments)
      # Compiled for a GPU, convolutions are calls of a library without operations.
      flops = lowered.cost_analysis()["flops"]
      counts = lowered.compile().cost_analysis()
      found[name] = Work(flops, counts.get("bytes accessed", 0.0))
  return found


def search_work(found: dict[str, Work], gradients: float) -> Work:
  """What a whole search of so many gradients does, for one clip.

  Beside them it takes D without gradient twice: the clean reconstruction, and the point
  after the last step.
  """
  gradient, value = found["gradient"], found["value"]
  return Work(
    gradients * gradient.flops + 2 * value.flops,
    gradients * gradient.bytes + 2 * value.bytes,
  )


@functools.cache
def roofs(precision: str) -> dict[str, tuple[Callable[[], Any], float]]:
  """What the machine does at best: all devices at work, nothing sent to the host.

  Returns:
    By name a function that runs it, and the operations (`matrix product`) or bytes
    (`copy`) of one run.
  """
  backend, count = jax.default_backend(), jax.local_device_count()
  mesh = jax.sharding.Mesh(np.asarray(jax.local_devices()), "device")
  spread = jax.NamedSharding(mesh, jax.P("device"))
  side, floats = _PRODUCT[backend], _COPY[backend]
  dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32

  def program(fn, *shape, dtype):
    fill = lambda: jnp.full((count, *shape), 1 / shape[0], dtype)
    x = jax.jit(fill, out_shardings=spread)()
    with in_precision(precision):
      run = jax.jit(jax.vmap(fn)).lower(x).compile()
    return lambda: jax.block_until_ready(run(x))

  repeat = lambda fn: lambda x: jax.lax.fori_loop(0, _REPEATS, lambda _, y: fn(y, x), x)
  # In place, so that the system's handing out of fresh pages is not measured.
  return {
    "matrix product": (
      program(repeat(lambda y, x: y @ x), side, side, dtype=dtype),
      count * _REPEATS * 2.0 * side**3,
    ),
    "copy": (
      program(repeat(lambda y, _: y + 1), floats, dtype=jnp.float32),
      count * _REPEATS * 8.0 * floats,
    ),
  }


def device_bytes(given: int) -> int:
  """The memory of a device that programs may use, unless one is given."""
  if given:
    return given
  stats = jax.local_devices()[0].memory_stats()
  if stats is None:
    raise RuntimeError("this backend does not say how much memory it has")
  return stats["bytes_limit"]
