"""What the settings of a search may be."""

from typing import Any

from lsaprobe_jax.search import norms


def check(search: Any, *, at_least: dict[str, int], above: dict[str, float]) -> None:
  """Refuses a search whose settings cannot be searched with.

  Args:
    search: a dataclass with a `norm`.
    at_least: setting -> the smallest it may be.
    above: setting -> what it has to be above.

  Raises:
    ValueError: naming the setting and what it may be.
  """
  norms.get(search.norm)
  for name, least in at_least.items():
    value = getattr(search, name)
    if not value >= least:  # so that NaN is refused too
      raise ValueError(f"search.{name} must be at least {least}, got {value}")
  for name, bound in above.items():
    value = getattr(search, name)
    if not value > bound:
      wanted = f"above {bound:g}" if bound else "positive"
      raise ValueError(f"search.{name} must be {wanted}, got {value}")
