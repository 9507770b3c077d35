"""Compiled programs kept on the disk for later runs."""

import hashlib
import json
import os
import pathlib
import platform

import jax

_DEFAULT = "~/.cache/lsaprobe_jax/xla"


def keep_programs(folder: str | None = None) -> None:
  """Keeps compiled programs for later runs.

  JAX leaves out what compiles within a second, and writes from process 0 alone.

  Args:
    folder: where they are kept; $JAX_COMPILATION_CACHE_DIR by default, else
      ~/.cache/lsaprobe_jax/xla. An empty name keeps none.
  """
  if folder is None:
    default = os.path.expanduser(_DEFAULT)
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", default)
  # Programs for the CPU hold its machine code, and JAX's key does not name its model:
  # on a shared home another model would load them, and could end in SIGILL.
  path = os.path.join(folder, _processor()) if folder else None
  jax.config.update("jax_compilation_cache_dir", path)


def _processor() -> str:
  """Names the instruction set: the architecture and a hash of what CPU it is."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    lines = [platform.processor()]
  fields = ("model name", "flags", "Features")
  model = sorted({line for line in lines if line.startswith(fields)})
  digest = hashlib.sha256(json.dumps(model).encode()).hexdigest()
  return f"{platform.machine()}-{digest[:12]}"
