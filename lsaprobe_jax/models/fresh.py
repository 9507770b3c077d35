"""Fresh parameters for networks whose layers are told by their names."""

from collections.abc import Collection
from typing import Any

import jax
import numpy as np


def draw(abstract: Any, key: jax.Array, stacked: Collection[str] = ()) -> Any:
  """Draws parameters of given names and shapes.

  Kernels are normal with variance one over their inputs, frequencies (`weight`,
  `weights`) are normal, scales are one and all else is zero. NumPy draws them:
  compiling Flax's own initialisers takes minutes.

  Args:
    abstract: names and shapes.
    key: of the draw.
    stacked: names of modules whose parameters have an axis of layers first.
  """
  random = np.random.default_rng(np.asarray(jax.random.key_data(key)))

  def one(path, leaf):
    kind, layered = path[-1].key, any(part.key in stacked for part in path)
    if kind == "kernel":
      size = random.standard_normal(leaf.shape, np.float32)
      return size / np.float32(np.sqrt(np.prod(leaf.shape[int(layered) : -1])))
    if kind in ("weight", "weights"):
      return random.standard_normal(leaf.shape, np.float32)
    return np.full(leaf.shape, float(kind == "scale"), np.float32)

  return jax.tree.map_with_path(one, abstract)
