"""What every attack returns, and the signature they share.

An attack is a frozen pytree called as `attack(model, key, audio, t)` for one clip:
the target model (`models.registry`), the clip's key (it fixes eps, whatever the
method or batch), its waveform [samples] and the time t. Settings are static fields,
arrays (tau, a distance's weights) are leaves. A new attack is one file with one such
class.

Those that `attacks.nfe_matched` can repeat say by which field, `repeats`, and what they
spend for S steps of the reverse process, `evaluations(num_inference_steps)`: network evaluations
of one clip, forward and backward, linear in that field. Those whose repeats are
times of a schedule, each once and therefore no more than it has, say so by
`distinct_times`.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct


class Outcome(struct.PyTreeNode):
  """The result for one clip; all scalars.

  Attributes:
    score: higher = member.
    cost: the budget found, NaN where there is none.
    reached: whether a search reached its target; None for methods without.
    nfe_forward: network evaluations, those repeated by rematerialisation counted.
    nfe_backward: network evaluations differentiated.
    details: further figures worth a place in the row, by name: scalars or vectors.
  """

  score: jax.Array
  nfe_forward: jax.Array
  nfe_backward: jax.Array
  cost: jax.Array = jnp.nan
  reached: jax.Array | None = None
  details: dict[str, jax.Array] = struct.field(default_factory=dict)


class Attack(Protocol):
  """An attack on one clip."""

  def __call__(self, model: Any, key: jax.Array, audio: jax.Array, t) -> Outcome:
    """Scores one clip; higher = member."""
    ...


def reverse_passes(num_inference_steps: int, values, gradients) -> tuple[Any, Any]:
  """Network evaluations (forward, backward) of reverse processes of S steps.

  A plain reverse costs S forward; one with gradient costs S forward, S forward again
  in rematerialisation, and S backward.
  """
  return num_inference_steps * (values + 2 * gradients), num_inference_steps * gradients
