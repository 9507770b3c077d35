"""What every attack takes and returns."""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct


class Outcome(struct.PyTreeNode):
  """The result for one clip; all but the details are scalars.

  Attributes:
    score: higher means member.
    nfe_forward: NFE (network function evaluations) forward; those that rematerialised
      steps repeat are counted, and not what a transformer repeats within a step.
    nfe_backward: NFE that were differentiated.
    cost: the budget that was found, NaN where there is none.
    reached: whether a search reached its target; None for methods without a search.
    details: further figures worth a place in the row, by name: scalars or vectors.
  """

  score: jax.Array
  nfe_forward: jax.Array
  nfe_backward: jax.Array
  cost: jax.Array = jnp.nan
  reached: jax.Array | None = None
  details: dict[str, jax.Array] = struct.field(default_factory=dict)


@runtime_checkable
class Attack(Protocol):
  """An attack on one clip: a frozen pytree that is called.

  Arrays (tau, a distance's weights) are leaves, and settings are static fields. It has
  no batch axis and compiles nothing itself; what it draws, it draws from the key.

  An attack that `attacks.nfe_matched` can repeat also has

    repeats: the name of the field that counts its repeats: draws, times or steps,
    nfe(num_inference_steps): the NFE of one clip, forward and backward, for S steps of
      the reverse process, linear in that field,
    distinct_times: True where the repeats are times of the schedule, each once, and
      therefore no more than it has.
  """

  def __call__(self, model: Any, key: jax.Array, audio: jax.Array, t) -> Outcome:
    """Scores one clip; higher means member.

    Args:
      model: the model under attack (`models.DiffusionModel`).
      key: the clip's key; it fixes eps, whatever the method or the batch.
      audio: the clip, float32 [samples] in [-1, 1].
      t: the time, a scalar integer in 1..T.
    """
    ...


def reverse_passes(
  num_inference_steps: int, values, gradients, *, rematerialise: bool = False
) -> tuple[Any, Any]:
  """Returns the NFE, forward and backward, of reverse processes of S steps.

  A plain reverse process takes S forward. One with gradient takes S forward and S
  backward, and S forward again where its steps are rematerialised, which a single step
  is not.

  Args:
    num_inference_steps: S.
    values: number of plain reverse processes.
    gradients: number of reverse processes with gradient.
    rematerialise: whether S > 1 steps are rematerialised.
  """
  again = int(rematerialise and num_inference_steps > 1)
  forward = num_inference_steps * (values + (1 + again) * gradients)
  return forward, num_inference_steps * gradients


def passes_of(model, values, gradients) -> tuple[Any, Any]:
  """Returns the NFE of reverse processes of a model (see `reverse_passes`).

  A model that does not say whether it rematerialises leaves that to
  `diffusion.reverse`, which does.
  """
  return reverse_passes(
    model.num_inference_steps,
    values,
    gradients,
    rematerialise=getattr(model, "rematerialise", None) is not False,
  )
