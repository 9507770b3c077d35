"""What every distance offers."""

from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import jax


@runtime_checkable
class Distance(Protocol):
  """A distance between two signals; all of it is on one example, without a batch axis.

  Audio is a float32 array [samples], full scale at 1. The reference is fixed during a
  search, so it is embedded once; only the estimate goes through `embed` again.
  Gradients by the estimate are finite everywhere, at coincidence and at silence too.

  Attributes:
    name: what rows and settings call it.
  """

  name: ClassVar[str]

  @classmethod
  def create(cls, *, sample_rate: int, **options: Any) -> Self:
    """Loads or computes the weights for audio at `sample_rate` Hz."""
    ...

  def embed(self, audio: jax.Array) -> Any:
    """Returns what `compare` needs to know of a signal [samples]: any pytree."""
    ...

  def compare(self, reference: Any, estimate: Any) -> jax.Array:
    """Returns the distance of two embeddings: a float32 scalar, 0 if they agree."""
    ...

  def __call__(self, reference: jax.Array, estimate: jax.Array) -> jax.Array:
    """Returns `compare(embed(reference), embed(estimate))`."""
    ...
