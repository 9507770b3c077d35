"""Configurations that others are made of by changes, all checked. Reads no flags."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from absl import app
from ml_collections import ConfigDict

from lsaprobe_jax.scoring import factories, rules
from lsaprobe_jax.text import first_line


def check_sweep(config: ConfigDict) -> None:
  """Refuses settings of a sweep, and what its variants would change them to.

  Those of all variants, also of such as a run does not make.

  Args:
    config: with `sweep`.

  Raises:
    app.UsageError: names the setting.
  """
  rules.check(config)
  factories.check_searches(config.search)
  changes = {"paper": config.sweep.paper} | {
    f"variants.{name}.{label}": own
    for name, labels in config.sweep.variants.items()
    for label, own in labels.items()
  }
  for name, own in changes.items():
    changed = lambda config, own=own: config.update(own.to_dict())
    _changed(config, changed, f"--config.sweep.{name}")


def of_grid(config: ConfigDict) -> list[tuple[dict[str, Any], ConfigDict]]:
  """(what the grid changes, the evaluation that comes of it), one by one.

  Args:
    config: a `base` and the `grid`, dicts of dotted names and values.

  Raises:
    app.UsageError: a change of what is no setting, or to what it cannot be, or an
      evaluation of other tracks than tune tracks.
  """
  rules.check(config.base, "--config.base")
  found = []
  for number, changes in enumerate(config.grid):
    flag, own = f"--config.grid[{number}]", dict(changes)
    changed = _changed(
      config.base, lambda base, own=own: base.update_from_flattened_dict(own), flag
    )
    if changed.part != "tune":
      raise app.UsageError(
        f"{flag}: part is {changed.part}: choices are made on tune tracks"
      )
    found.append((own, changed))
  return found


def _changed(
  config: ConfigDict, change: Callable[[ConfigDict], Any], flag: str
) -> ConfigDict:
  """A copy of a configuration, changed and checked."""
  changed = copy.deepcopy(config)
  try:
    change(changed)
  # What a locked configuration raises on other names, and on values of other types.
  except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
    raise app.UsageError(f"{flag}: {first_line(error)}") from error
  rules.check(changed, flag)
  if isinstance(changed.get("search"), Mapping | ConfigDict):
    factories.check_searches(changed.search, flag)
  return changed
