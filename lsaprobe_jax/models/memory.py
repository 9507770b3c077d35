"""Rematerialisation by memory: a backward pass keeps what fits, repeats the rest."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from lsaprobe_jax import backends, parallel

# The fewest examples that an accelerator is to hold at once with everything kept. A
# program that holds fewer leaves it idle for longer than repeating a third of the work.
_LEAST_ON_ACCELERATOR = 8


def suited(model: Any, samples: int) -> Any:
  """Decides whether a model rematerialises, where nobody has.

  It does where what a backward pass keeps does not fit the device: for one example on
  a CPU, where examples run one after another, and for eight on an accelerator.

  Args:
    model: a `DiffusionModel`, for clips of this length (`for_length`).
    samples: length of a clip.

  Returns:
    The model with `rematerialise` set; itself where that is set already, where it has
    no such field, or where it cannot be differentiated.
  """
  if getattr(model, "rematerialise", False) is not None:
    return model
  together = 1 if backends.backend() == "cpu" else _LEAST_ON_ACCELERATOR
  room = parallel.MEMORY_SHARE * parallel.device_bytes() / together
  try:
    kept = kept_bytes(model, samples)
  except Exception:
    # Nobody has asked to differentiate it yet. Attacks without a gradient run on a
    # denoiser that has none, and whatever is wrong shows where it is scored.
    return model
  return model.replace(rematerialise=kept > room)


def kept_bytes(model: Any, samples: int) -> int:
  """Counts what a backward pass through R_t keeps where nothing is rematerialised.

  It is JAX's count of the residuals for one example, by shapes alone; nothing is
  compiled. What the compiler then needs lies near it (benchmarks/memory.md).

  Args:
    model: a `DiffusionModel` with the field `rematerialise`, for clips of this length.
    samples: length of a clip.
  """
  leaves, structure = jax.tree.flatten(model.replace(rematerialise=False))
  types = tuple(map(jax.typeof, leaves))
  return _kept_bytes(structure, types, samples, backends.backend())


@functools.lru_cache(maxsize=64)
def _kept_bytes(structure, types, samples: int, backend: str) -> int:
  del backend  # Parts of networks are written apart for each.
  model = jax.tree.unflatten(structure, [_abstract(leaf) for leaf in types])
  channels = getattr(model, "channels", 1)
  shape = (samples,) if channels == 1 else (channels, samples)
  audio = jax.ShapeDtypeStruct(shape, jnp.float32)
  t = jax.ShapeDtypeStruct((), jnp.int32)

  def residuals(model, audio, t):
    x_t = jax.lax.stop_gradient(model.encode(audio))
    # Leaves of the function that pulls back: what it keeps, and weights.
    return jax.vjp(lambda x: model.reconstruct(x, t), x_t)[1]

  kept = jax.eval_shape(residuals, model, audio, t)
  size = lambda tree: sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
  weights = {(leaf.shape, leaf.dtype) for leaf in types}
  return size([x for x in jax.tree.leaves(kept) if (x.shape, x.dtype) not in weights])


def _abstract(leaf) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
