"""Noise optimisation: how little makes the prediction right (CDI, CVPR 2025).

The nearest published relative of C_adv: the change of x_t after which the network
predicts eps, found by L-BFGS. Members, predicted well from the start, need less.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.probe import noisy_state


class NoiseOptimisation(struct.PyTreeNode):
  """`||delta||` after L-BFGS on `||eps - e(x_t + delta, t)||^2`; lower = member.

  Starts at delta = 0 and has no penalty on its size: a fixed, small number of steps
  keeps it near.

  Attributes:
    steps: number of L-BFGS steps.
    line_search: the most NFE, each way, that the line search of a step may take.
  """

  steps: int = struct.field(pytree_node=False, default=5)
  line_search: int = struct.field(pytree_node=False, default=5)

  repeats: ClassVar[str] = "steps"
  magnitude: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward: an estimate from below.

    It counts one forward and one backward a step and at the start, as most line
    searches take their first try. Others take up to `line_search`, and near the end
    most do: on a small network 5, 20 and 50 steps spent 6-7, 25-30 and 73-95 NFE each
    way, where this counts 6, 21 and 51.
    """
    del num_inference_steps  # Nothing is reversed.
    return 2 * (1 + self.steps)

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    import optax  # Slow to import.

    x_t, noise = noisy_state(model, key, model.encode(audio), t)

    def loss(delta):
      return jnp.sum(jnp.square(noise - model.predict_noise(x_t + delta, t)))

    optimiser = optax.lbfgs(
      linesearch=optax.scale_by_zoom_linesearch(max_linesearch_steps=self.line_search)
    )
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(state, _):
      delta, state = state
      value, grad = value_and_grad(delta, state=state)
      updates, state = optimiser.update(
        grad, state, delta, value=value, grad=grad, value_fn=loss
      )
      tried = state[-1].info.num_linesearch_steps
      return (optax.apply_updates(delta, updates), state), tried

    delta = jnp.zeros_like(x_t)
    (delta, _), tried = jax.lax.scan(
      step, (delta, optimiser.init(delta)), length=self.steps
    )
    # One at the start, and those of the line searches; the last of each is the next
    # step's first.
    nfe = 1 + jnp.sum(tried)
    return Outcome(
      score=-jnp.sqrt(jnp.sum(jnp.square(delta))),
      nfe_forward=nfe,
      nfe_backward=nfe,
    )
