"""Packages that only some of the library needs, imported where they are needed.

`setup.py` lists them as extras: `pip install 'lsaprobe_jax[audio]'`.
"""

import importlib
import types

from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.text import first_line


class MissingPackageError(LsaProbeError):
  """A package is not installed; one line names it and the extra that has it."""


def require(module: str, extra: str) -> types.ModuleType:
  """Imports a package that an extra of this one installs.

  Args:
    module: name of the module, which may be dotted; it is the innermost that is
      returned.
    extra: name of the extra in `setup.py`.

  Raises:
    MissingPackageError: it is not installed, or its import fails.
  """
  try:
    return importlib.import_module(module)
  except ImportError as error:
    absent = isinstance(error, ModuleNotFoundError) and error.name == module
    what = "is not installed" if absent else f"cannot be imported ({first_line(error)})"
    raise MissingPackageError(
      f"{module} {what}; pip install 'lsaprobe_jax[{extra}]'"
    ) from error
