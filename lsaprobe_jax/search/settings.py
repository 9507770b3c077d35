"""What the settings of a search may be."""

from typing import Any

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.search import norms

# Settings that all searches of an experiment share.
_SHARED = ("eta_max", "norm")


def check(search: Any, *, at_least: dict[str, int], above: dict[str, float]) -> None:
  """Refuses a search whose settings cannot be searched with.

  Args:
    search: a dataclass with a `norm` and the search's `name`.
    at_least: by setting, the smallest that it may be.
    above: by setting, what it has to be above.

  Raises:
    SettingError: a setting cannot be used; the message says what it may be.
  """
  norms.get(search.norm)
  for name, least in at_least.items():
    value = getattr(search, name)
    if not value >= least:  # so that NaN is refused too
      raise SettingError(
        f"{_setting(search, name)}={value}: it must be at least {least}"
      )
  for name, bound in above.items():
    value = getattr(search, name)
    if not value > bound:
      wanted = f"above {bound:g}" if bound else "positive"
      raise SettingError(f"{_setting(search, name)}={value}: it must be {wanted}")


def _setting(search: Any, field: str) -> str:
  """Returns the dotted name of a field among an experiment's settings."""
  return f"search.{field}" if field in _SHARED else f"search.{search.name}.{field}"
