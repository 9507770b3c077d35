"""Distances between a reconstruction and its perturbed twin.

`get` makes one by name and lets an object of one's own through; `register` gives such a
distance a name. What a distance has to do is said by `Distance`.

A distance is a frozen pytree with its weights as leaves. Hand it to a jitted function
as an argument, `jax.jit(lambda d, x, y: d(x, y))`, rather than jitting it, which would
make constants of the weights and is refused where there are any.
"""

from typing import Any

from lsaprobe_jax.distances.base import Distance
from lsaprobe_jax.distances.cdpam import CDPAM
from lsaprobe_jax.distances.spectral import MRSTFT, LogMel
from lsaprobe_jax.distances.waveform import Waveform
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.text import printable

__all__ = [
  "CDPAM",
  "MRSTFT",
  "Distance",
  "LogMel",
  "Waveform",
  "get",
  "names",
  "register",
]

_OWN: dict[str, type[Distance]] = {
  kind.name: kind for kind in (Waveform, MRSTFT, LogMel, CDPAM)
}
_ADDED: dict[str, type[Distance]] = {}


def names() -> tuple[str, ...]:
  """Returns the names that `get` knows."""
  return (*_OWN, *_ADDED)


def get(name: str | Distance, *, sample_rate: int, **options: Any) -> Distance:
  """Makes a distance, or returns one that is made.

  Args:
    name: "waveform", "mr_stft", "log_mel" or "cdpam", a name that was registered, or a
      distance itself, which must be for this rate.
    sample_rate: rate of the audio that will be compared, in Hz.
    **options: passed to the `create` of a distance that is named.

  Returns:
    A callable `(reference, estimate) -> scalar` on float32 arrays [samples].

  Raises:
    SettingError: there is no such distance, it has no such option, or its weights are
      not installed.
    ArgumentError: the rate is not positive; or what is given is neither a name nor a
      distance, or is a distance and has its options already.
  """
  if not isinstance(name, str):
    return _given(name, options)
  known = _OWN | _ADDED
  if name not in known:
    raise SettingError(f"distance={printable(name)}: known: {', '.join(known)}")
  if sample_rate <= 0:
    raise ArgumentError(f"sample_rate={sample_rate}: it must be positive")
  try:
    return known[name].create(sample_rate=sample_rate, **options)
  except TypeError as error:
    raise SettingError(f"distance={printable(name)}: {error}") from error


def register(distance: type[Distance]) -> None:
  """Makes a distance from outside known by its `name`, for this process.

  Args:
    distance: a class with what `Distance` asks for; one of the same name that was
      registered before gives way.

  Raises:
    ArgumentError: the class has no name, or that of one of the library's own.
  """
  name = getattr(distance, "name", None)
  if not isinstance(name, str):
    kind = printable(getattr(distance, "__name__", repr(distance)))
    raise ArgumentError(f"distance={kind}: its class attribute `name` must be a string")
  if name in _OWN:
    raise ArgumentError(
      f"distance={printable(name)} is one of the library's own; choose another name"
    )
  _ADDED[name] = distance


def _given(distance: Any, options: dict[str, Any]) -> Distance:
  """Returns a distance that somebody made."""
  kind = printable(type(distance).__name__)
  if isinstance(distance, type) or not isinstance(distance, Distance):
    raise ArgumentError(f"distance={kind}: it must be a name, or a distances.Distance")
  if options:
    raise ArgumentError(f"distance={kind} has its options, but got {sorted(options)}")
  return distance
