"""The border that one input's failure does not cross: it becomes one named line.

Whatever goes wrong with one audio file, one manifest or one record (a damaged byte, a
file that vanishes, too little memory, a fault of a library) is an `AudioError` that
names it, so that the others go on.
"""

import contextlib
from collections.abc import Iterator

from absl import logging

from lsaprobe_jax.errors import LsaProbeError
from lsaprobe_jax.text import first_line, printable


class AudioError(LsaProbeError):
  """Audio, or what lists it, cannot be used; one line names it and the mend."""


@contextlib.contextmanager
def border(
  name, mend: str = "remove it, or convert it to wav or flac"
) -> Iterator[None]:
  """Turns any failure inside it into one AudioError that names the input.

  Exceptions are not listed by class: libraries raise what they like. Interrupts and
  exits are no failures of an input and pass.

  Args:
    name: of the input, a path or an id.
    mend: what the user may do.

  Raises:
    AudioError: as it is raised inside, or in place of any other exception.
  """
  try:
    yield
  except AudioError:
    raise
  except MemoryError as error:
    raise AudioError(
      f"{printable(name)}: more than fits in memory; damaged header, or split the file"
    ) from error
  except Exception as error:
    logging.debug("%s", printable(name), exc_info=True)
    if isinstance(error, PermissionError):
      mend = "let this account read it"
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    raise AudioError(
      f"{printable(name)}: cannot be read ({kind}{_reason(error)}); {mend}"
    ) from error


def _reason(error: BaseException) -> str:
  """Returns what went wrong; the name of the file is said already."""
  if isinstance(error, OSError) and error.strerror:
    return printable(error.strerror)
  return first_line(error).rstrip(".")
