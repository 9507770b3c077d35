"""How a launcher starts and ends: flags checked, errors in one line, no traceback.

What a person gave wrong ends the process with status 1 and one line on stderr,
`error: ...`, escaped for a terminal. Tracebacks are for faults of the code alone.
"""

import contextlib
import functools
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from absl import app, flags

from lsaprobe_jax.errors import (
  ArgumentError,
  LsaProbeError,
  SettingError,
  out_of_memory,
)
from lsaprobe_jax.files import from_home
from lsaprobe_jax.text import printable

# What absl puts around what it says.
_NOT_GIVEN = re.compile(r"^flag --\w+=None: ", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last):"
_HELP = "(--help lists the flags)"
# What integers are kept in.
_BITS = 63


def run(main: Callable[[list[str]], Any]) -> None:
  """Runs a launcher's `main` as `absl.app.run` does, but ends errors in one line.

  Args:
    main: takes what is left of the command line; `app.UsageError` says what in it, or
      in the files it names, cannot be used.
  """
  for stream in (sys.stdout, sys.stderr):
    # Names of files need not be text, and are printed all the same.
    stream.reconfigure(errors="backslashreplace")
  app.run(functools.partial(_guarded, main), flags_parser=_parse)


def refuse_arguments(argv: Sequence[str]) -> None:
  """Refuses what is left of the command line, where everything is a flag."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")


def fail(message: object) -> NoReturn:
  """Ends the process with status 1 and one line."""
  lines = [line.strip() for line in str(message).splitlines()]
  raise SystemExit(f"error: {printable(' '.join(filter(None, lines)))}")


def define_config(text: str, default: str | None = None) -> flags.FlagHolder:
  """Defines --config, a file of settings that `--config.NAME=VALUE` changes.

  Args:
    text: what --help says.
    default: the file that is read where none is given. It is read here and now, with
      the changes on the command line, so that wrong ones end the process here.
  """
  # Not every launcher has settings.
  from ml_collections import config_flags

  try:
    return config_flags.DEFINE_config_file("config", default, text, lock_config=True)
  except (AttributeError, KeyError) as error:
    fail(f"--config has no setting {error} {_HELP}")
  except Exception as error:
    fail(f"{_reason(error)} {_HELP}")


@contextlib.contextmanager
def ending_in_one_line(kept: str, smaller: str = "") -> Iterator[None]:
  """Ends a launcher without a traceback on what may happen to files while it runs.

  That is a full disk, a folder that went away, audio or rows that were damaged in the
  meantime, and too little memory.

  Args:
    kept: what the same command then goes on from; what is on disk is whole.
    smaller: what to do about too little memory where a smaller batch cannot go on from
      there.
  """
  try:
    yield
  except (MemoryError, RuntimeError) as error:
    if not out_of_memory(error):
      raise
    smaller = smaller or (
      "give a smaller --config.batch_size with the same command, which goes on from"
      f" {kept}"
    )
    fail(f"out of memory; close other programs, or {smaller}")
  except (SettingError, ArgumentError):
    raise
  except (OSError, LsaProbeError) as error:
    fail(f"{error}; mend that and give the same command, which goes on from {kept}")


def _guarded(main: Callable[[list[str]], Any], argv: list[str]) -> Any:
  try:
    return main(argv)
  except SettingError as error:
    fail(f"--config.{error}")
  except ArgumentError as error:
    fail(f"--{error}")
  except (app.UsageError, LsaProbeError) as error:
    fail(error)
  except (MemoryError, RuntimeError) as error:
    if not out_of_memory(error):
      raise
    fail("out of memory; close other programs, or ask for less at once")


def _parse(argv: Sequence[str]) -> list[str]:
  """Flags from the command line; what absl and configurations raise in one line."""
  try:
    rest = flags.FLAGS(argv)
  except (AttributeError, KeyError) as error:
    fail(f"--config has no setting {error} {_HELP}")
  # A configuration is a Python file, which can raise anything.
  except Exception as error:
    fail(f"{_reason(error)} {_HELP}")
  for name in flags.FLAGS:
    flag = flags.FLAGS[name]
    _check_value(name, flag.value)
    if (value := from_home(flag.value)) != flag.value:
      flag.value = value
  return rest


def _reason(error: Exception) -> str:
  """What was wrong with a flag, without the traceback that may be quoted for it."""
  text = _NOT_GIVEN.sub("", str(error).strip())
  flag, traceback, quoted = text.partition(_TRACEBACK)
  if traceback:
    return f"{flag.strip()} {quoted.splitlines()[-1]}"
  return text or type(error).__name__


def _check_value(name: str, value: Any) -> None:
  """Refuses what flags let through: NaN, infinities, endless integers, no such file."""
  try:
    # A configuration that is not there is a value that raises wherever it is touched.
    getattr(value, "items", None)
  except OSError as error:
    fail(f"--{name}: {str(error).splitlines()[-1].strip()}")
  if isinstance(value, float) and not math.isfinite(value):
    fail(f"--{name}={value}: must be a finite number")
  if isinstance(value, int) and value.bit_length() > _BITS:
    fail(f"--{name}: an integer of more than {_BITS} bits")
