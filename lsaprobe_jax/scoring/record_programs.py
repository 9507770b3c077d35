"""What is recorded of a clip, run for a few clips at once: states and searches."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import struct

from lsaprobe_jax import parallel, probe
from lsaprobe_jax.diffusion import timestep
from lsaprobe_jax.distances import channels
from lsaprobe_jax.models.trained import TrainedModel

# Fractions of T; the evaluation's own is added.
TIMES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)

# How near a traced search comes to the row it repeats; programs compiled for another
# batch round otherwise.
_REPEATS = 0.01


class Walk(struct.PyTreeNode):
  """One clip at one time.

  Attributes:
    noisy: [samples] or [channels, samples] x_t, decoded.
    clean: likewise R_t(x_t).
    attacked: likewise R_t(x_t + sigma_t delta~), delta~ from the search's ascent.
    reconstruction: distance of `clean` from the clip.
    degradation: distance of `attacked` from `clean`.
  """

  noisy: jax.Array
  clean: jax.Array
  attacked: jax.Array
  reconstruction: jax.Array
  degradation: jax.Array


def walk(model, distance, search, key, audio, t, eta) -> Walk:
  """States and reconstructions of one clip; args as of `probe.max_degradation`."""
  distance = channels.for_model(distance, model)
  x_t = _noisy(model, key, audio, t)
  clean = model.reconstruct(x_t, t)
  worst = probe.max_degradation(model, distance, search, key, audio, t, eta)
  attacked = probe.attacked(model, x_t, t, worst.delta)
  return Walk(
    noisy=model.decode(x_t),
    clean=clean,
    attacked=attacked,
    reconstruction=distance(audio, clean),
    degradation=distance(clean, attacked),
  )


def reconstruction_distance(model, distance, key, audio, t) -> jax.Array:
  """Distance of R_t(x_t) from the clip, a scalar."""
  distance = channels.for_model(distance, model)
  return distance(audio, model.reconstruct(_noisy(model, key, audio, t), t))


def _noisy(model, key, audio, t):
  return probe.noisy_state(model, key, model.encode(audio), t)[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordSettings:
  """What a recording works with, as the evaluation did.

  Attributes:
    target: the model.
    distance: a distance (`distances.get`), called `distance_name` in rows.
    distance_name: see there.
    searches: by name; the first is the evaluation's own.
    t_ratio: of the probe.
    eta_ref: budget at which tau is set; the attacked sounds are made with it.
    quantile: of development clips that sets thresholds.
    seed: of the evaluation.
  """

  target: TrainedModel
  distance: Any
  distance_name: str
  searches: Mapping[str, Any]
  t_ratio: float
  eta_ref: float
  quantile: float
  seed: int

  @property
  def times(self) -> list[float]:
    """Fractions of T, rising."""
    return sorted({*TIMES, self.t_ratio})

  def program(self, fn) -> Callable[..., Any]:
    """Compiles `fn(model, distance, key, audio, t, *more)` for n examples.

    Args:
      fn: of one example.

    Returns:
      A function of `audio` float32 [n, samples] or [n, channels, samples], `numbers`
      [n] of the clips (`scorer.clip_number`), `t_ratios` [n] and `more` [n, ...]. It
      returns what `fn` does with a leading axis of n, as NumPy arrays.
    """

    def one(shared, audio, number, t, *more):
      seed, model, distance = shared
      key = jax.random.fold_in(jax.random.key(seed), number)
      return fn(model, distance, key, audio, t, *more)

    # As many at once as there are devices: few examples, none of them padding.
    over = parallel.over_examples(one, 1)
    shared = (np.int32(self.seed), self.target.model, self.distance)

    def run(audio, numbers, t_ratios, *more):
      times = [timestep(self.target.model.schedule, ratio) for ratio in t_ratios]
      arrays = (np.array(numbers, np.uint32), np.array(times, np.int32), *more)
      parts = [part for _, part in over(shared, audio, *arrays)]
      return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

    return run


def trace_search(search, model, distance, key, audio, t, tau) -> dict[str, jax.Array]:
  """What a search tried for one clip, step by step."""
  found = probe.probe(model, distance, search, key, audio, t, tau)
  kept = ("cost", "reached", "budgets", "degradations", "history")
  return {name: getattr(found, name) for name in kept}


def one_trace(found: Mapping[str, np.ndarray], i: int) -> dict[str, Any]:
  """What `trace_search` found for clip i, without what it did not try."""
  tried = ~np.isnan(found["budgets"][i])
  history = found["history"][i][tried]
  return {
    "cost": found["cost"][i],
    "reached": found["reached"][i],
    "budgets": found["budgets"][i][tried].tolist(),
    "degradations": found["degradations"][i][tried].tolist(),
    "steps": [steps[~np.isnan(steps)].tolist() for steps in history],
  }


def check_repeats(row: Mapping, trace: Mapping) -> None:
  """ValueError unless a traced search comes to the curve in the row."""
  for name in ("budgets", "degradations"):
    scored = [value for value in row[name] if value is not None]
    if len(scored) != len(trace[name]) or not np.allclose(
      scored, trace[name], rtol=_REPEATS, atol=0
    ):
      raise ValueError(
        f"{row['clip']}: the search does not repeat the {name} of its row; was it"
        " scored on another machine? Score again in a new folder"
      )
