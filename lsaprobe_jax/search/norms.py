"""Norms of a perturbation: its size, steepest ascent, projection, random points.

The paper says p = 2 and leaves the scale open. The default here is the root mean
square, `||delta~||_2 / sqrt(d)`: a budget of 1 is then the noise scale at t whatever
the length of the clip or the size of a latent.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.text import printable

# Below this a gradient has no direction.
_TINY = 1e-30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Norm:
  """A norm, and what an ascent inside its balls needs; arrays have any one shape.

  Attributes:
    name: `rms`, `l2` or `linf`.
    size: maps an array to its norm, a scalar.
    steepest: maps a gradient to the direction of unit norm that climbs fastest, which
      is zero where the gradient is.
    project: maps an array and a radius to the nearest point of the ball.
    sample: maps a key and a shape to a point drawn uniformly from the unit ball.
  """

  name: str
  size: Callable[[jax.Array], jax.Array]
  steepest: Callable[[jax.Array], jax.Array]
  project: Callable[[jax.Array, jax.Array], jax.Array]
  sample: Callable[[jax.Array, tuple[int, ...]], jax.Array]


def _l2_size(x):
  return jnp.sqrt(jnp.sum(jnp.square(x)))


def _l2_sample(key, shape):
  # jax.random.ball draws the same through gamma variates, at a hundred times the cost.
  direction_key, radius_key = jax.random.split(key)
  direction = L2.steepest(jax.random.normal(direction_key, shape))
  return direction * jax.random.uniform(radius_key) ** (1 / math.prod(shape))


def _l2_project(x, radius):
  from optax import projections  # Slow to import, and needed by searches alone.

  return projections.projection_l2_ball(x, radius)


def _linf_project(x, radius):
  from optax import projections

  return projections.projection_linf_ball(x, radius)


L2 = Norm(
  name="l2",
  size=_l2_size,
  steepest=lambda g: g / jnp.maximum(_l2_size(g), _TINY),
  project=_l2_project,
  sample=_l2_sample,
)

RMS = Norm(
  name="rms",
  size=lambda x: _l2_size(x) / math.sqrt(x.size),
  steepest=lambda g: math.sqrt(g.size) * L2.steepest(g),
  project=lambda x, radius: L2.project(x, radius * math.sqrt(x.size)),
  sample=lambda key, shape: math.sqrt(math.prod(shape)) * _l2_sample(key, shape),
)

LINF = Norm(
  name="linf",
  size=lambda x: jnp.max(jnp.abs(x)),
  steepest=jnp.sign,
  project=_linf_project,
  sample=lambda key, shape: jax.random.uniform(key, shape, minval=-1.0, maxval=1.0),
)


def get(name: str) -> Norm:
  """Returns the norm called `rms`, `l2` or `linf`.

  Raises:
    SettingError: there is no such norm.
  """
  known = {norm.name: norm for norm in (RMS, L2, LINF)}
  if name not in known:
    raise SettingError(f"search.norm={printable(name)}: known: {', '.join(known)}")
  return known[name]
