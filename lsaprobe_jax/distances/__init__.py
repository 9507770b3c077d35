"""Distances between a reconstruction and its perturbed twin.

`get` builds one by name. A distance is a frozen pytree with its weights as leaves: hand
it to a jitted function as an argument, `jax.jit(lambda d, x, y: d(x, y))`, rather than
jitting it, which would make constants of the weights and is refused where there are
any. Adding a distance is writing one file with a class that fulfils `Distance`, and
naming it in `_KNOWN`.
"""

from typing import Any, ClassVar, Protocol, Self

import jax

from lsaprobe_jax.distances.cdpam import CDPAM
from lsaprobe_jax.distances.spectral import MRSTFT, LogMel
from lsaprobe_jax.distances.waveform import Waveform

__all__ = ["CDPAM", "MRSTFT", "Distance", "LogMel", "Waveform", "get"]

_KNOWN = {kind.name: kind for kind in (Waveform, MRSTFT, LogMel, CDPAM)}


class Distance(Protocol):
  """What a distance offers; all of it on one example, without a batch axis.

  Audio is a float32 array `[samples]`, full scale at 1. The reference is fixed during
  a search, so it is embedded once; only the estimate goes through `embed` again.
  Gradients with respect to the estimate are finite everywhere, at coincidence and at
  silence too.
  """

  name: ClassVar[str]

  @classmethod
  def create(cls, *, sample_rate: int, **options: Any) -> Self:
    """Loads or computes the weights for audio at `sample_rate` Hz."""

  def embed(self, audio: jax.Array) -> Any:
    """What `compare` needs to know of a signal: any pytree."""

  def compare(self, reference: Any, estimate: Any) -> jax.Array:
    """The distance between two embeddings: a float32 scalar, 0 where they agree."""

  def __call__(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """`compare(embed(reference), embed(estimate))`."""


def get(name: str, *, sample_rate: int, **options: Any) -> Distance:
  """Builds a distance.

  Args:
    name: "waveform", "mr_stft", "log_mel" or "cdpam".
    sample_rate: rate of the audio that will be compared, in Hz.
    **options: fields of the distance, passed to its `create`.

  Returns:
    A callable `(reference, estimate) -> scalar` on float32 arrays `[samples]`.

  Raises:
    ValueError: if no distance has this name, or the rate is not positive.
  """
  if name not in _KNOWN:
    raise ValueError(f"no distance is called {name!r}; known: {', '.join(_KNOWN)}")
  if sample_rate <= 0:
    raise ValueError(f"the sample rate must be positive, not {sample_rate}")
  return _KNOWN[name].create(sample_rate=sample_rate, **options)
