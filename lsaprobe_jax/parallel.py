"""From one example to many: over a batch, over devices.

Everything else in this package is written for one example. Here, and only here, it
becomes a batch: sharded over the devices along one mesh axis, and within a device
vmapped on accelerators but one at a time on CPU, where a working set that stays in
cache beat a batch threefold.
"""

import contextlib
import functools
import math
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lsaprobe_jax import backends

_EXAMPLE = "example"

# The most examples a device takes in one call, where the batch size is found: rows
# come to disk after each call, and what a kill takes is what the call had done. On CPU
# examples run one after another: more of them gain nothing, and hardly take memory.
_MOST_ON_CPU = 4
_MOST_ON_ACCELERATOR = 64

# What a container may take of the processors' time, in microseconds of so many.
_CPU_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")

# The share of a device's memory that is used; the rest is for what the compiler does
# not count (fragments, the next batch, programs compiled before).
MEMORY_SHARE = 0.8


def usable_cores() -> int:
  """How many cores this process may use, or there are, where nothing says it.

  A container's quota counts: each device has a copy of the weights, and the cores of a
  large host would be as many for a process that has the time of two.
  """
  cores = os.cpu_count() or 1
  if hasattr(os, "sched_getaffinity"):
    cores = len(os.sched_getaffinity(0))
  try:
    quota, period = _CPU_QUOTA.read_text().split()
    return max(1, min(cores, math.ceil(int(quota) / int(period))))
  except (OSError, ValueError, ZeroDivisionError):
    # There is no control group, or it says "max".
    return cores


def use_all_cpu_cores(num_cores: int) -> None:
  """Makes each CPU core a device; call before JAX starts, no effect on accelerators.

  Small networks leave a second core idle when one example runs at a time; a device
  a core keeps them all busy.
  """
  jax.config.update("jax_num_cpu_devices", num_cores)


def example_mesh() -> Mesh:
  """Returns a mesh of all local devices along the example axis."""
  devices = np.asarray(jax.local_devices())
  return Mesh(devices, (_EXAMPLE,), axis_types=(AxisType.Auto,))


def map_examples(fn: Callable[..., Any], *batches: Any) -> Any:
  """Maps `fn` over the leading axis, in the way that is fastest on the backend."""
  if backends.backend() == "cpu":
    return jax.lax.map(lambda args: fn(*args), batches)
  return jax.vmap(fn)(*batches)


def shard_examples(fn: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
  """Compiles `fn(shared, *example)` for a tuple of batches split over the mesh.

  The compiled function takes `node_types` of the shared pytree behind the batches, as a
  static argument.
  """
  batched, shared = PartitionSpec(_EXAMPLE), PartitionSpec()

  @functools.partial(jax.jit, static_argnums=2)
  def program(weights, batches, types):
    del types  # It tells programs apart, see `node_types`.
    with products_in_float32():
      return jax.shard_map(
        lambda weights, batches: map_examples(
          lambda *example: fn(weights, *example), *batches
        ),
        mesh=mesh,
        in_specs=(shared, batched),
        out_specs=batched,
        check_vma=False,
      )(weights, batches)

  return program


def products_in_float32() -> contextlib.AbstractContextManager:
  """Computes products of float32 in float32, unless somebody chose otherwise.

  Accelerators prefer TF32 or bfloat16. The gradient of MR-STFT was then wrong by more
  than its own size on an H200 (benchmarks/accelerator.md). JAX's own setting
  (JAX_DEFAULT_MATMUL_PRECISION, `jax.default_matmul_precision`) goes before.
  """
  if jax.config.jax_default_matmul_precision is not None:
    return contextlib.nullcontext()
  return jax.default_matmul_precision("highest")


def node_types(tree: Any) -> tuple:
  """Returns the types of all nodes of a pytree, which tell programs apart.

  jaxlib (0.10.2) takes the structures of two classes for equal where they have the same
  static fields and no leaves: `Loss(draws=2)` and `ReDiffuse(draws=2)`. Their hashes
  differ, so that a jitted function finds the program of the wrong one only where hashes
  fall into one place of its table, which is another one in every process.
  """

  def types(structure) -> tuple:
    data = structure.node_data()
    return (data and data[0], *map(types, structure.children()))

  return types(jax.tree.structure(tree))


def over_examples(
  fn: Callable[..., Any], batch_size: int, most: int | None = None
) -> Callable[..., Iterator]:
  """Compiles `fn(shared, *example)` to run on batches over all devices.

  Args:
    fn: a function of one pytree shared by all examples (weights, settings) and the
      arrays of one example.
    batch_size: examples in one compiled call, rounded up to whole devices; 0 for as
      many as fit the devices' memory, found at the first call of each kind.
    most: how many examples there are; a batch size that is found is no larger.

  Returns:
    A function of the shared pytree and of arrays with a leading axis of any length.
    It yields (slice, results as NumPy arrays with that leading axis), batch by batch.
    The next batch is under way while one is handed over, so that devices do not wait
    for what the host does with it. The last batch is padded with repeats of its last
    example, which are cut off.
  """
  mesh = example_mesh()
  replicate = NamedSharding(mesh, PartitionSpec())
  split = NamedSharding(mesh, PartitionSpec(_EXAMPLE))
  program = shard_examples(fn, mesh)
  found: dict[Any, int] = {}

  def size_for(weights, arrays):
    if batch_size:
      return batch_size + -batch_size % mesh.size
    leaves, structure = jax.tree.flatten(weights)
    kind = (
      node_types(weights),
      structure,
      *map(jax.typeof, leaves),
      *(a.shape[1:] for a in arrays),
    )
    if kind not in found:
      found[kind] = _find_batch_size(program, split, weights, arrays, most)
    return found[kind]

  def run(weights, *arrays):
    weights, types = jax.device_put(weights, replicate), node_types(weights)
    size, length = size_for(weights, arrays), len(arrays[0])
    ahead = None
    for start in range(0, length, size):
      stop = min(start + size, length)
      index = np.minimum(np.arange(start, start + size), stop - 1)
      batch = tuple(np.asarray(array[index]) for array in arrays)
      batch = jax.device_put(batch, split)
      behind, ahead = ahead, (slice(start, stop), program(weights, batch, types))
      if behind is not None:
        yield _fetched(*behind)
    if ahead is not None:
      yield _fetched(*ahead)

  return run


def _fetched(where: slice, result: Any) -> tuple[slice, Any]:
  """Waits for a batch, and cuts off its padding."""
  count = where.stop - where.start
  return where, jax.tree.map(lambda x: x[:count], jax.device_get(result))


def _find_batch_size(program, split: NamedSharding, weights, arrays, most) -> int:
  """Finds the batch size of a program (see `over_examples`)."""
  devices = split.mesh.size
  if jax.default_backend() == "cpu":
    each = _MOST_ON_CPU
  else:
    one_each = tuple(
      jax.ShapeDtypeStruct((devices, *a.shape[1:]), a.dtype, sharding=split)
      for a in arrays
    )
    memory = (
      program.lower(weights, one_each, node_types(weights)).compile().memory_analysis()
    )
    shared_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(weights))
    own = sum(math.prod(a.shape[1:]) * np.dtype(a.dtype).itemsize for a in arrays)
    fit = examples_that_fit(memory, shared_bytes, own, device_bytes())
    each = min(fit, _MOST_ON_ACCELERATOR)
  return devices * min(each, -(-(most or each * devices) // devices))


def examples_that_fit(
  memory: Any, shared_bytes: int, own_bytes: int, device_bytes: int
) -> int:
  """Counts the examples that a device holds, by a program compiled for one.

  Args:
    memory: what `Compiled.memory_analysis()` returns, in bytes a device.
    shared_bytes: size of what all examples share, in bytes a device. The compiled
      program has those of its arguments alone that it uses.
    own_bytes: size of one example.
    device_bytes: the device's memory, in bytes.
  """
  used = own_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
  free = MEMORY_SHARE * device_bytes - shared_bytes
  return max(1, int(free // max(used, 1)))


def device_bytes() -> int:
  """Returns the memory of the smallest local device, as far as JAX may use it.

  The devices of a CPU share the machine's, or what its control group is allowed.
  """
  devices = jax.local_devices()
  if devices[0].platform != "cpu":
    return min(device.memory_stats()["bytes_limit"] for device in devices)
  whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  allowed = pathlib.Path("/sys/fs/cgroup/memory.max")
  if allowed.exists() and (text := allowed.read_text().strip()).isdigit():
    whole = min(whole, int(text))
  return whole // len(devices)


def mean_value_and_grad(
  loss: Callable[..., jax.Array],
  params: Any,
  mask: jax.Array,
  *batches: Any,
  together: bool = False,
) -> tuple[jax.Array, jax.Array, Any]:
  """Takes the mean of `loss(params, *example)` over the examples of a mask, and grad.

  Args:
    loss: returns the scalar loss of one example.
    params: a pytree, by which the mean is differentiated.
    mask: float32 [batch], 1 to keep an example and 0 for padding.
    *batches: arrays with a leading batch axis.
    together: whether a CPU too takes all examples at once, which pays where one is
      small.

  Returns:
    (mean loss, losses [batch], gradient of the mean loss).
  """

  weights = mask / jnp.sum(mask)
  if together or backends.backend() != "cpu":

    def whole(params):
      losses = jax.vmap(lambda *example: loss(params, *example))(*batches)
      return jnp.dot(weights, losses), losses

    (mean, losses), grads = jax.value_and_grad(whole, has_aux=True)(params)
    return mean, losses, grads

  def weighted(params, weight, *example):
    value = loss(params, *example)
    return weight * value, value

  grad = jax.value_and_grad(weighted, has_aux=True)

  # One example at a time, adding up: the batch's gradients never lie side by side.
  def add(total, example):
    (term, value), grads = grad(params, *example)
    return jax.tree.map(jnp.add, total, (term, grads)), value

  zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
  (mean, grads), losses = jax.lax.scan(add, zero, (weights, *batches))
  return mean, losses, grads
