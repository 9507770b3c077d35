"""The flag of compiled programs, and the devices that a launcher uses."""

from absl import flags

from lsaprobe_jax import compilation_cache, parallel

_COMPILATION_CACHE = flags.DEFINE_string(
  "compilation_cache",
  None,
  "Programs that took over a second to compile are kept here (default:"
  " $JAX_COMPILATION_CACHE_DIR, else ~/.cache/lsaprobe_jax/xla); empty for nowhere.",
)


def use_all() -> None:
  """Makes every CPU core a device; a launcher's first act, before JAX starts."""
  parallel.use_all_cpu_cores(parallel.usable_cores())
  use_one()


def use_one() -> None:
  """Leaves the devices as they are; also a first act, for what runs one example."""
  compilation_cache.keep_programs(_COMPILATION_CACHE.value)
