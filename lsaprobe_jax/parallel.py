"""From one example to many: over a batch, over devices.

Everything else in this package is written for one example. Here, and only here, it
becomes a batch: sharded over the devices along one mesh axis, and within a device
vmapped on accelerators but one at a time on CPU, where a working set that stays in
cache beat a batch threefold.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

_EXAMPLE = "example"


def use_all_cpu_cores(num_cores: int) -> None:
  """Makes each CPU core a device; call before JAX starts, no effect on accelerators.

  Small networks leave a second core idle when one example runs at a time; a device
  a core keeps them all busy.
  """
  jax.config.update("jax_num_cpu_devices", num_cores)


def example_mesh() -> Mesh:
  """All local devices along the example axis."""
  devices = np.asarray(jax.local_devices())
  return Mesh(devices, (_EXAMPLE,), axis_types=(AxisType.Auto,))


def map_examples(fn: Callable[..., Any], *batches: Any) -> Any:
  """`fn` on each example of the leading axis, as the backend likes it best."""
  if jax.default_backend() == "cpu":
    return jax.lax.map(lambda args: fn(*args), batches)
  return jax.vmap(fn)(*batches)


def over_examples(fn: Callable[..., Any], batch_size: int) -> Callable[..., Iterator]:
  """Compiles `fn(shared, *example)` to run on batches over all devices.

  Args:
    fn: a function of one pytree shared by all examples (weights, settings) and the
      arrays of one example.
    batch_size: examples in one compiled call, rounded up to whole devices.

  Returns:
    A function of the shared pytree and of arrays with a leading axis of any length.
    It yields (slice, results as NumPy arrays with that leading axis), batch by batch.
    The last batch is padded with repeats of its last example, which are cut off.
  """
  mesh = example_mesh()
  batch_size += -batch_size % mesh.size
  batched, shared = PartitionSpec(_EXAMPLE), PartitionSpec()

  @jax.jit
  def sharded(weights, batches):
    return jax.shard_map(
      lambda weights, batches: map_examples(
        lambda *example: fn(weights, *example), *batches
      ),
      mesh=mesh,
      in_specs=(shared, batched),
      out_specs=batched,
      check_vma=False,
    )(weights, batches)

  def run(weights, *arrays):
    weights = jax.device_put(weights, NamedSharding(mesh, shared))
    length = len(arrays[0])
    for start in range(0, length, batch_size):
      stop = min(start + batch_size, length)
      index = np.minimum(np.arange(start, start + batch_size), stop - 1)
      batch = tuple(np.asarray(array)[index] for array in arrays)
      batch = jax.device_put(batch, NamedSharding(mesh, batched))
      result = jax.device_get(sharded(weights, batch))
      yield slice(start, stop), jax.tree.map(lambda x: x[: stop - start], result)  # noqa: B023

  return run


def mean_value_and_grad(
  loss: Callable[..., jax.Array], params: Any, mask: jax.Array, *batches: Any
) -> tuple[jax.Array, jax.Array, Any]:
  """Mean of `loss(params, *example)` over the examples that `mask` keeps, and grad.

  Args:
    loss: returns the scalar loss of one example.
    params: what to differentiate.
    mask: float32 [batch], 1 to keep an example and 0 for padding.
    *batches: arrays with a leading batch axis.

  Returns:
    Mean loss, losses [batch], gradient of the mean loss.
  """

  def weighted(params, weight, *example):
    value = loss(params, *example)
    return weight * value, value

  grad = jax.value_and_grad(weighted, has_aux=True)
  examples = (mask / jnp.sum(mask), *batches)

  if jax.default_backend() != "cpu":
    axes = (None,) + (0,) * len(examples)
    (terms, losses), grads = jax.vmap(grad, axes)(params, *examples)
    return jnp.sum(terms), losses, jax.tree.map(lambda g: jnp.sum(g, axis=0), grads)

  # One example at a time, adding up: the batch's gradients never lie side by side.
  def add(total, example):
    (term, value), grads = grad(params, *example)
    return jax.tree.map(jnp.add, total, (term, grads)), value

  zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
  (mean, grads), losses = jax.lax.scan(add, zero, examples)
  return mean, losses, grads
