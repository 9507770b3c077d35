"""Which share of the clips this process scores, when several share an evaluation.

Shares are independent: processes meet in the shared working folder alone, and jax's
distributed runtime is asked for nothing but this process's number.
"""

import math

import jax
from absl import app, flags

from lsaprobe_jax.scoring.shared_rows import ALONE, Shard

_DISTRIBUTED = flags.DEFINE_bool(
  "distributed",
  False,
  "This is one of several processes, as SLURM, Kubernetes, a TPU pod or Open MPI"
  " started them; elsewhere give the three flags below.",
)
_COORDINATOR = flags.DEFINE_string(
  "coordinator_address", None, "Host and port of process 0, the same for all."
)
_NUM_PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "How many processes there are.", lower_bound=1
)
_PROCESS_ID = flags.DEFINE_integer(
  "process_id", None, "This process's number, from 0.", lower_bound=0
)
_SHARD = flags.DEFINE_string(
  "shard",
  None,
  "K/N with K from 0: score the share of process K of N, alone and without a"
  " coordinator; so the share of a host that died is done.",
)


def join() -> Shard:
  """The share of this process, by its flags; call before JAX starts.

  Of several processes the first keeps what it compiles, and all read it, as JAX has it:
  without its runtime each takes itself for the first, and all would write at once.

  Raises:
    app.UsageError: the flags contradict each other, or no cluster was detected.
  """
  explicit = (_COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value)
  if not _DISTRIBUTED.value:
    if explicit != (None, None, None):
      raise app.UsageError(
        "--coordinator_address, --num_processes, --process_id: need --distributed"
      )
    given = ALONE if _SHARD.value is None else parse_shard(_SHARD.value)
    return _reading_programs(given)
  if _SHARD.value is not None:
    raise app.UsageError("--shard and --distributed exclude each other")
  try:
    jax.distributed.initialize(*explicit)
  except ValueError as error:
    raise app.UsageError(
      f"--distributed: {error} Outside a cluster that JAX detects, give"
      " --coordinator_address, --num_processes and --process_id"
    ) from error
  shard = Shard(jax.process_index(), jax.process_count())
  # While the runtime lives it aborts every process when one dies, or ends minutes
  # before the others (docs/hosts.md). Devices are local and nothing communicates.
  jax.distributed.shutdown()
  return _reading_programs(shard)


def _reading_programs(shard: Shard) -> Shard:
  if shard.index:
    # No program takes so long, so that none is written; those that are there are read.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", math.inf)
  return shard


def parse_shard(text: str) -> Shard:
  """K/N as a share; app.UsageError on anything else."""
  try:
    index, count = map(int, text.split("/"))
  except ValueError:
    index, count = 0, 0
  if not 0 <= index < count:
    raise app.UsageError(f"--shard={text}: must be K/N with K from 0 to N - 1")
  return Shard(index, count)
