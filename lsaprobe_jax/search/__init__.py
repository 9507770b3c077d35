"""Searches for the smallest perturbation that degrades a reconstruction.

`get` makes one by name and lets an object of one's own through; `register` gives such a
search a name. What a search has to do is said by `Search`.
"""

from collections.abc import Callable
from typing import Any

from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.search.auto_pgd import AutoPGD
from lsaprobe_jax.search.base import Ascent, Search, SearchResult
from lsaprobe_jax.search.bisection import Bisection
from lsaprobe_jax.search.continuation import Continuation, Curve
from lsaprobe_jax.search.minimum_norm import MinimumNorm
from lsaprobe_jax.search.random_directions import RandomDirections
from lsaprobe_jax.text import printable

__all__ = [
  "Ascent",
  "AutoPGD",
  "Bisection",
  "Continuation",
  "Curve",
  "MinimumNorm",
  "RandomDirections",
  "Search",
  "SearchResult",
  "get",
  "gives_curves",
  "names",
  "register",
]

_OWN: dict[str, Callable[..., Search]] = {
  kind.name: kind
  for kind in (Bisection, Continuation, MinimumNorm, AutoPGD, RandomDirections)
}
_ADDED: dict[str, Callable[..., Search]] = {}


def names() -> tuple[str, ...]:
  """Returns the names that `get` knows."""
  return (*_OWN, *_ADDED)


def get(name: str | Search, **settings: Any) -> Search:
  """Makes a search, or returns one that is made.

  Args:
    name: "bisection" (the paper's), "continuation" (fast), "minimum_norm",
      "auto_pgd" (slow and strong), "random_directions" (none at all), a name that was
      registered, or a search itself.
    **settings: the fields of a search that is named.

  Raises:
    SettingError: there is no such search, or it has no such setting or value.
    ArgumentError: what is given is neither a name nor a search, or is a search and has
      its settings already.
  """
  if not isinstance(name, str):
    return _given(name, settings)
  known = _OWN | _ADDED
  if name not in known:
    raise SettingError(f"search.name={printable(name)}: known: {', '.join(known)}")
  try:
    return known[name](**settings)
  except TypeError as error:
    raise SettingError(f"search.{name}: {error}") from error


def register(name: str, search: Callable[..., Search]) -> None:
  """Gives a search from outside a name, for this process.

  Args:
    name: what `get` will know it by; a name that was given before is given anew.
    search: a frozen dataclass of the settings, with what `Search` asks for.

  Raises:
    ArgumentError: the name is one of the library's own.
  """
  if name in _OWN:
    raise ArgumentError(
      f"name={printable(name)} is one of the library's own; choose another"
    )
  _ADDED[name] = search


def gives_curves(search: Search) -> bool:
  """Returns whether a search gives D against eta whole, for any tau, by a `curve`."""
  return hasattr(search, "curve")


def _given(search: Any, settings: dict[str, Any]) -> Search:
  """Returns a search that somebody made."""
  kind = printable(type(search).__name__)
  if isinstance(search, type) or not isinstance(search, Search):
    raise ArgumentError(f"search={kind}: it has to be a name, or a search.Search")
  if settings:
    raise ArgumentError(f"search={kind} has its settings, but got {sorted(settings)}")
  return search
