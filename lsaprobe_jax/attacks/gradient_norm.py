"""Gradient norm: members ask the weights for less change (Pang et al. 2024, GSA).

arXiv 2308.06405. There a classifier, fitted where membership is known, reads the norms
of each layer's gradient. They are in the row (`norms`) for that. The score here needs
no labels: it is minus the norm of the whole gradient.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from lsaprobe_jax.attacks.grid import times_up_to
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.probe import noisy_state


class GradientNorm(struct.PyTreeNode):
  """Mean over times of the norm of the loss's gradient by the weights; lower = member.

  Attributes:
    times: n; the grid is `round(t i / n)`, i = 1..n, each with an eps of its own.
  """

  times: int = struct.field(pytree_node=False, default=10)

  repeats: ClassVar[str] = "times"
  magnitude: ClassVar[bool] = True

  def nfe(self, num_inference_steps: int) -> int:
    """Returns its NFE, forward and backward, for S steps of the reverse process."""
    del num_inference_steps  # Nothing is reversed.
    return 2 * self.times

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (`attacks.Attack`)."""
    import optax  # Slow to import.

    if not jax.tree.leaves(model.params):
      raise ArgumentError("params: the gradient norm differentiates by them; give some")
    x_0 = model.encode(audio)

    def loss(params, x_s, s, noise):
      error = noise - model.replace(params=params).predict_noise(x_s, s)
      return jnp.mean(jnp.square(error))

    def one(draw):
      i, s = draw
      x_s, noise = noisy_state(model, key, x_0, s, i)
      grads = jax.grad(loss)(model.params, x_s, s, noise)
      # What the parameters hold at their first level: layers, by name in order.
      layers = jax.tree.leaves(grads, is_leaf=lambda part: part is not grads)
      return jnp.stack([optax.tree.norm(layer) for layer in layers])

    norms = jax.lax.map(one, (jnp.arange(self.times), times_up_to(t, self.times)))
    return Outcome(
      score=-jnp.mean(jnp.sqrt(jnp.sum(jnp.square(norms), axis=1))),
      nfe_forward=self.times,
      nfe_backward=self.times,
      details={"norms": jnp.mean(norms, axis=0)},
    )
