"""What the library raises when it is given something that it cannot use.

Every message is one line that names the input and says how to mend it. The text of a
`SettingError` begins with the dotted name of the setting, and that of an
`ArgumentError` with the name of the argument, so that a launcher turns either into the
flag that sets it by putting `--config.` or `--` in front.
"""


class LsaProbeError(ValueError):
  """An input cannot be used; the message names it and the mend."""


class SettingError(LsaProbeError):
  """A setting of an experiment cannot be used: `search.eta_max=-1: above 0, ...`."""


class ArgumentError(LsaProbeError):
  """An argument cannot be used: `workdir=runs/mini is in use by process 12`."""


def out_of_memory(error: BaseException) -> bool:
  """Whether an error says that memory, or a device's, does not suffice.

  What XLA cannot allocate is a RuntimeError (`jax.errors.JaxRuntimeError`).
  """
  if isinstance(error, MemoryError):
    return True
  return isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
