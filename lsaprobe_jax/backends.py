"""The backend that programs are written for: the one at hand, or one that is not.

Some parts are written apart for CPUs and for accelerators, and ask here which it is.
TPUs' compiler runs on any machine with Linux: what it says of a program needs no TPU.
"""

import contextlib
import contextvars
import os
from collections.abc import Iterator

import jax

from lsaprobe_jax.errors import SettingError

_TOPOLOGIES = "v4:2x2x1, v5e:2x2, v5p:2x2x1, v6e:2x2"
_chosen: contextvars.ContextVar[str | None] = contextvars.ContextVar(
  "chosen_backend", default=None
)


def backend() -> str:
  """Returns the backend that programs are written for: `cpu`, `gpu` or `tpu`."""
  return _chosen.get() or jax.default_backend()


@contextlib.contextmanager
def written_for(name: str | None) -> Iterator[None]:
  """Writes programs for another backend than the one at hand, and leaves no trace.

  Args:
    name: `cpu`, `gpu` or `tpu`; the one at hand where None.
  """
  if name in (None, backend()):
    yield
    return
  # Functions that are jitted themselves do not know of it.
  jax.clear_caches()
  token = _chosen.set(name)
  try:
    yield
  finally:
    _chosen.reset(token)
    jax.clear_caches()


def tpu_devices(topology: str) -> list[jax.Device]:
  """Returns TPU chips that need not be there: one compiles for them, and runs nothing.

  Args:
    topology: a generation, a colon and how many chips along each axis: `v5p:2x2x1`.

  Raises:
    SettingError: libtpu, which has the compiler, is missing or is of another version,
      or there is no such topology.
  """
  from jax.experimental import topologies

  if os.environ.get("TPU_SKIP_MDS_QUERY") == "1":  # JAX found no TPU here.
    # There is no chip that two processes could want at once.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    # libtpu asks for these when it is loaded, and for no more than their form.
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5p-8")
  try:
    return list(topologies.get_topology_desc(topology, "tpu").devices)
  except jax.errors.JaxRuntimeError as error:
    reason = str(error).partition("\n")[0]
    raise SettingError(
      f"topology={topology!r}: {reason}; known are, say, {_TOPOLOGIES}"
    ) from error
  except (RuntimeError, OSError) as error:
    raise SettingError(
      f"topology={topology!r}: the TPUs' compiler could not be loaded ({error});"
      " install `jax[tpu]`, which runs without a TPU too"
    ) from error
