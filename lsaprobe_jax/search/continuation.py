"""A fast search: one climb of a ladder of budgets by power iteration.

D grows almost like a norm of the response, `D(delta) ~ |J delta|` (MR-STFT, CDPAM) or
its square (waveform, log-mel). To maximise a convex D on a sphere, the point where
the gradient touches it,

  u <- g / ||g||,   g = grad D(eta u),

never loses (the generalised power method, Journee et al. 2010): for the square of a
linear response that is power iteration, which needs no step length and forgets its
random start at once. Here the gradients are averaged by momentum, since the true D is
only nearly convex, and the direction is carried from one budget to the next: a ladder
from eta_max / span to eta_max is climbed once, a few steps a rung.

One climb gives the curve D(eta), and from it the cost for any tau and any smaller
eta_max without another pass. A rung is a certified bound: a perturbation of that size
that reaches tau was in hand. How it fails: the certified cost is as coarse as the
ladder; the first rungs have seen few steps and may come out too low, which makes costs
there too high; on a D with several maxima it finds one of them (`restarts`).

Fixed length, no branches: made to be vmapped.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from lsaprobe_jax import parallel
from lsaprobe_jax.search import base, norms, settings
from lsaprobe_jax.search.base import Ascent, Degradation, SearchResult


class Curve(struct.PyTreeNode):
  """D against eta for one example, from one climb.

  Attributes:
    budgets: [rungs], growing.
    degradations: [rungs] largest D found at each budget itself.
    values: how often D was taken without gradient.
    gradients: how often D was taken with gradient.
    history: [rungs, steps] D at each point looked at on a rung, restart after
      restart; NaN where a rung has fewer than another.
    rest: D at no perturbation, a scalar.
  """

  budgets: jax.Array
  degradations: jax.Array
  values: jax.Array
  gradients: jax.Array
  history: jax.Array
  rest: jax.Array | float = 0.0

  @property
  def worst(self) -> jax.Array:
    """The largest D found within each budget, [rungs]: the balls are nested."""
    return jnp.maximum(jax.lax.cummax(self.degradations), self.rest)

  def degradation_at(self, eta) -> jax.Array:
    """Returns the worst D within a budget.

    Between the rungs, and from no perturbation to the first, lie straight lines.
    """
    grow = lambda first, x: jnp.concatenate([jnp.full(1, first, x.dtype), x])
    return jnp.interp(eta, grow(0, self.budgets), grow(self.rest, self.worst))

  def search_result(self, tau, eta_max=np.inf) -> SearchResult:
    """Reads C_adv off the curve, for any tau and eta_max.

    Args:
      tau: targets, of any shape.
      eta_max: the largest budgets allowed, of a shape that goes with tau's. One
        beyond the ladder means its last rung; below the first rung nothing is reached.

    Returns:
      The result, `cost`, `reached`, `rank` and `margin` in the common shape.
    """
    tau, eta_max = jnp.broadcast_arrays(jnp.asarray(tau), jnp.asarray(eta_max))
    cross = jnp.vectorize(self._cross, signature="(),()->(),(),(),()")
    cost, reached, rank, margin = cross(tau, eta_max)
    found = SearchResult(
      cost=cost,
      reached=reached,
      rank=rank,
      margin=margin,
      budgets=self.budgets,
      degradations=self.degradations,
      descents=base.descents(self.degradations),
      values=self.values,
      gradients=self.gradients,
      history=self.history,
    )
    return base.at_rest(found, self.rest, tau)

  def _cross(self, tau, eta_max):
    # A hair of room: the ladder's last rung is eta_max up to rounding.
    allowed = self.budgets <= eta_max * (1 + 1e-6)
    worst = jnp.where(allowed, self.worst, -jnp.inf)
    hit = worst >= tau
    reached = jnp.any(hit)
    high = jnp.argmax(hit)
    before = jnp.maximum(high - 1, 0)
    low = jnp.where(high > 0, self.budgets[before], 0.0)
    low_degradation = jnp.where(high > 0, worst[before], self.rest)
    inside = base.interpolate(
      tau, low, low_degradation, self.budgets[high], worst[high]
    )
    top = jnp.max(jnp.where(allowed, self.budgets, 0.0))
    # Below the first rung the curve is read as a straight line.
    top = jnp.where(jnp.any(allowed), top, eta_max)
    inside_ladder = jnp.maximum(jnp.max(worst), 0.0)
    below = jnp.minimum(self.degradation_at(eta_max), tau)
    margin = tau - jnp.where(jnp.any(allowed), inside_ladder, below)
    return (
      jnp.where(reached, self.budgets[high], jnp.nan),
      reached,
      jnp.where(reached, inside, base.censored_rank(top, margin, tau)),
      margin,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Continuation:
  """The search and its settings.

  Attributes:
    eta_max: the ladder's last budget, in units of the noise level sigma_t.
    span: eta_max over the ladder's first budget.
    rungs: number of budgets, in geometric progression.
    steps: gradients at each budget.
    warmup: further gradients at the first budget, to leave the random start.
    momentum: of the normalised gradient, `m = momentum * m + g / ||g||`.
    restarts: climbs from different random directions; the largest D counts.
    norm: `rms`, `l2` or `linf` (see `norms`).
  """

  name: ClassVar[str] = "continuation"

  eta_max: float = 0.8
  span: float = 16.0
  rungs: int = 16
  steps: int = 2
  warmup: int = 2
  momentum: float = 0.8
  restarts: int = 1
  norm: str = "rms"

  def __post_init__(self):
    least = {"rungs": 2, "steps": 1, "restarts": 1, "warmup": 0}
    settings.check(self, at_least=least, above={"eta_max": 0, "span": 1})

  def __call__(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], tau
  ) -> SearchResult:
    """Finds the smallest budget at which D reaches tau, which may have any shape."""
    return self.curve(degradation, key, shape).search_result(tau)

  def worst(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], eta, target
  ) -> Ascent:
    """Finds the largest D in the ball of radius eta, by a ladder that ends there."""
    del target  # It has a fixed length.
    curve, delta = self._climb_ladder(degradation, key, shape, eta)
    return Ascent(
      degradation=curve.worst[-1],
      values=curve.values,
      gradients=curve.gradients,
      delta=delta,
      history=curve.history.reshape(-1),
    )

  def curve(
    self, degradation: Degradation, key: jax.Array, shape: tuple[int, ...], eta_max=None
  ) -> Curve:
    """Climbs the ladder and returns D against the budget.

    Args:
      degradation: D as a function of delta~.
      key: it draws the random starts.
      shape: that of delta~.
      eta_max: the ladder's last budget, a scalar; the search's own by default.
    """
    eta_max = self.eta_max if eta_max is None else eta_max
    return self._climb_ladder(degradation, key, shape, eta_max)[0]

  def _climb_ladder(self, degradation, key, shape, eta_max) -> tuple[Curve, jax.Array]:
    """The curve up to eta_max, and where the best of the climbs ended."""
    budgets = eta_max * np.geomspace(1 / self.span, 1, self.rungs)
    rung = np.repeat(np.arange(self.rungs), self._steps_by_rung())

    def climb(key):
      start = norms.get(self.norm).sample(key, shape)
      return self._climb(degradation, start, jnp.asarray(budgets)[rung])

    # The last point comes after the last rung's steps, and belongs to it.
    keys = jax.random.split(key, self.restarts)
    met, ends = parallel.map_examples(climb, keys)
    rung = np.append(rung, self.rungs - 1)
    by_rung = jax.ops.segment_max(jnp.max(met, axis=0), rung, self.rungs)
    curve = Curve(
      budgets=jnp.asarray(budgets, by_rung.dtype),
      degradations=by_rung,
      values=jnp.int32(self.restarts),
      gradients=jnp.int32(self.restarts * (len(rung) - 1)),
      history=_by_rung(met, rung),
    )
    return curve, ends[jnp.argmax(met[:, -1])]

  def _steps_by_rung(self) -> np.ndarray:
    steps = np.full(self.rungs, self.steps)
    steps[0] += self.warmup
    return steps

  def _climb(self, degradation, start, budgets) -> tuple[jax.Array, jax.Array]:
    """D at each budget in turn, [n], and at the last one after its step: [n + 1].

    Beside it that last point, shaped as `start`.
    """
    norm = norms.get(self.norm)

    def step(state, eta):
      direction, momentum = state
      value, gradient = jax.value_and_grad(degradation)(eta * direction)
      momentum = self.momentum * momentum + norm.steepest(gradient)
      ahead = norm.steepest(momentum)
      # Where nothing can be felt the direction stays, rather than vanish. What is no
      # number goes on into D, where it is seen.
      direction = jnp.where(norm.size(ahead) == 0, direction, ahead)
      return (direction, momentum), value

    direction = norm.steepest(start)
    state = (direction, jnp.zeros_like(direction))
    (direction, _), met = jax.lax.scan(step, state, budgets)
    end = budgets[-1] * direction
    return jnp.append(met, degradation(end)), end


def _by_rung(met: jax.Array, rung: np.ndarray) -> jax.Array:
  """[restarts, n] values, each of the rung `rung[n]`, as [rungs, steps] with NaN."""
  places = [np.flatnonzero(rung == r) for r in range(rung[-1] + 1)]
  table = np.full((len(places), max(map(len, places))), len(rung))
  for row, at in zip(table, places, strict=True):
    row[: len(at)] = at
  padded = jnp.pad(met, ((0, 0), (0, 1)), constant_values=jnp.nan)
  return jnp.moveaxis(padded[:, table], 0, 1).reshape(len(places), -1)
