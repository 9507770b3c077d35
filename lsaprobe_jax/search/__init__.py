"""Searches for the smallest perturbation that degrades a reconstruction.

`get` builds one by name. Adding a search is writing one file with a frozen dataclass
that does what `results` says, and naming it in `_KNOWN`.
"""

from typing import Any

from lsaprobe_jax.search.auto_pgd import AutoPGD
from lsaprobe_jax.search.bisection import Bisection
from lsaprobe_jax.search.continuation import Continuation
from lsaprobe_jax.search.minimum_norm import MinimumNorm
from lsaprobe_jax.search.random_directions import RandomDirections

__all__ = [
  "AutoPGD",
  "Bisection",
  "Continuation",
  "MinimumNorm",
  "RandomDirections",
  "get",
  "gives_curves",
]

_KNOWN = {
  "bisection": Bisection,
  "continuation": Continuation,
  "minimum_norm": MinimumNorm,
  "auto_pgd": AutoPGD,
  "random_directions": RandomDirections,
}


def get(name: str, **settings: Any):
  """Builds a search.

  Args:
    name: "bisection" (the paper's), "continuation" (fast), "minimum_norm",
      "auto_pgd" (slow and strong) or "random_directions" (none at all).
    **settings: its fields.

  Raises:
    ValueError: on an unknown name, an unknown setting or a bad value.
  """
  if name not in _KNOWN:
    raise ValueError(f"no search is called {name!r}; known: {', '.join(_KNOWN)}")
  try:
    return _KNOWN[name](**settings)
  except TypeError as error:
    raise ValueError(f"search {name}: {error}") from error


def gives_curves(search) -> bool:
  """Whether a search gives D against eta whole, for any tau: it has a `curve`."""
  return hasattr(search, "curve")
