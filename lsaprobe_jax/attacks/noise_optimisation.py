"""Noise optimisation: how little makes the prediction right (CDI, CVPR 2025).

The nearest published relative of C_adv: the change of x_t after which the network
predicts eps, found by L-BFGS. Members, predicted well from the start, need less.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import add_noise
from lsaprobe_jax.probe import clip_noise


class NoiseOptimisation(struct.PyTreeNode):
  """`||delta||` after L-BFGS on `||eps - e(x_t + delta, t)||^2`; lower = member.

  Starts at delta = 0 and has no penalty on its size: a fixed, small number of steps
  keeps it near.

  Attributes:
    steps: of L-BFGS.
    line_search: at most so many evaluations a step.
  """

  steps: int = struct.field(pytree_node=False, default=5)
  line_search: int = struct.field(pytree_node=False, default=5)

  repeats: ClassVar[str] = "steps"

  def nfe(self, num_inference_steps: int) -> int:
    """Network evaluations, an estimate from below (see `attacks.nfe_matched`).

    One evaluation a step and one at the start: most line searches take their first
    try. Others take up to `line_search`, and near the end most do: on a small
    network 5, 20 and 50 steps spent 6-7, 25-30 and 73-95 evaluations each way, for
    6, 21 and 51 here.
    """
    del num_inference_steps  # Nothing is reversed.
    return 2 * (1 + self.steps)

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    x_0 = model.encode(audio)
    noise = clip_noise(key, x_0.shape)
    x_t = add_noise(model.schedule, x_0, t, noise)

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
    # One at the start; those of the line searches; its last is the next step's first.
    evaluations = 1 + jnp.sum(tried)
    return Outcome(
      score=-jnp.sqrt(jnp.sum(jnp.square(delta))),
      nfe_forward=evaluations,
      nfe_backward=evaluations,
    )
