"""Gradient norm: members ask the weights for less change (Pang et al. 2024, GSA).

arXiv 2308.06405. There a classifier, fitted where membership is known, reads the norms
of each layer's gradient. They are in the row (`norms`) for that; the score here needs
no labels: minus the norm of the whole gradient.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from lsaprobe_jax.attacks.grid import times_up_to
from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import add_noise
from lsaprobe_jax.probe import clip_noise


class GradientNorm(struct.PyTreeNode):
  """Mean over times of the norm of the loss's gradient by the weights; lower = member.

  Attributes:
    times: n, the grid is `round(t i / n)`, i = 1..n, each with an eps of its own.
  """

  times: int = struct.field(pytree_node=False, default=10)

  repeats: ClassVar[str] = "times"

  def nfe(self, num_inference_steps: int) -> int:
    """Network evaluations (see `attacks.nfe_matched`)."""
    del num_inference_steps  # Nothing is reversed.
    return 2 * self.times

  def __call__(self, model, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    x_0 = model.encode(audio)

    def loss(params, s, noise):
      x_s = add_noise(model.schedule, x_0, s, noise)
      error = noise - model.replace(params=params).predict_noise(x_s, s)
      return jnp.mean(jnp.square(error))

    def one(draw):
      i, s = draw
      grads = jax.grad(loss)(model.params, s, clip_noise(key, x_0.shape, i))
      layers = [optax.tree.norm(grads[name]) for name in sorted(grads)]
      return jnp.stack(layers)

    norms = jax.lax.map(one, (jnp.arange(self.times), times_up_to(t, self.times)))
    return Outcome(
      score=-jnp.mean(jnp.sqrt(jnp.sum(jnp.square(norms), axis=1))),
      nfe_forward=self.times,
      nfe_backward=self.times,
      details={"norms": jnp.mean(norms, axis=0)},
    )
