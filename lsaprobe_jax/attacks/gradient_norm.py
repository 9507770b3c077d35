"""Gradient norm: members ask the weights for less change (Pang et al. 2024, GSA).

arXiv 2308.06405. There a classifier, fitted where membership is known, reads the norms
of each layer's gradient. They are in the row (`norms`) for that; the score here needs
no labels: minus the norm of the whole gradient.
"""

import jax
import jax.numpy as jnp
import optax
from flax import struct

from lsaprobe_jax.attacks.outcome import Outcome
from lsaprobe_jax.diffusion import add_noise
from lsaprobe_jax.probe import clip_noise


class GradientNorm(struct.PyTreeNode):
  """Mean over times of the norm of the loss's gradient by the weights; lower = member.

  Attributes:
    times: n, the grid is `round(t i / n)`, i = 1..n, each with an eps of its own.
  """

  times: int = struct.field(pytree_node=False, default=10)

  def __call__(self, generator, key, audio, t) -> Outcome:
    """Scores one clip (see `attacks.outcome`)."""
    x_0 = generator.encode(audio)

    def loss(params, s, noise):
      x_s = add_noise(generator.schedule, x_0, s, noise)
      error = noise - generator.replace(params=params).predict_noise(x_s, s)
      return jnp.mean(jnp.square(error))

    def one(i):
      s = jnp.maximum((2 * t * i + self.times) // (2 * self.times), 1)
      grads = jax.grad(loss)(generator.params, s, clip_noise(key, x_0.shape, i - 1))
      layers = [optax.tree.norm(grads[name]) for name in sorted(grads)]
      return jnp.stack(layers)

    norms = jax.lax.map(one, jnp.arange(1, self.times + 1))
    return Outcome(
      score=-jnp.mean(jnp.sqrt(jnp.sum(jnp.square(norms), axis=1))),
      forward_passes=self.times,
      backward_passes=self.times,
      details={"norms": jnp.mean(norms, axis=0)},
    )
