"""The formulae once more as loops in plain Python, and a count of the real NFE."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import tiny_diffwave
from flax import struct

from lsaprobe_jax import diffusion, distances
from lsaprobe_jax.models import waveform
from lsaprobe_jax.search.bisection import Bisection

SAMPLES, T, STEPS = 96, 13, 2
MODEL = tiny_diffwave.MODEL | {"scale": 3.0}
SEARCH = Bisection(halvings=4, ascent_steps=5, restarts=2, patience=2, step_size=2.0)
DISTANCE = distances.get("waveform", sample_rate=8000)
SEARCH_DRAW = 2**31 - 1  # the draw of a clip's key that searches start from
TALLY = {"forward": 0, "backward": 0}


def _count(kind, _):
  TALLY[kind] += 1


@jax.custom_vjp
def _count_backward(x):
  return x


def _tally_backward(_, cotangent):
  jax.debug.callback(functools.partial(_count, "backward"), cotangent[0])
  return (cotangent,)


_count_backward.defvjp(lambda x: (x, None), _tally_backward)


class Counting:
  """Counts the NFE as they happen."""

  def predict_noise(self, x, t):
    noise = super().predict_noise(x, t)
    jax.debug.callback(functools.partial(_count, "forward"), noise[0])
    return _count_backward(noise)


class CountingWaveform(Counting, waveform.WaveformDiffusion):
  pass


class LatentDiffusion(struct.PyTreeNode):
  """A smaller state than the waveform, of any shape; a network of two small layers."""

  params: dict[str, jax.Array]
  encoder: jax.Array  # [latent, samples]
  schedule: diffusion.Schedule
  shape: tuple[int, ...] = struct.field(pytree_node=False)
  num_inference_steps: int = struct.field(pytree_node=False, default=STEPS)

  def encode(self, audio):
    return jnp.reshape(self.encoder @ audio, self.shape)

  def decode(self, x_0):
    return jnp.linalg.pinv(self.encoder) @ jnp.ravel(x_0)

  def predict_noise(self, x, t):
    flat = jnp.ravel(x)
    hidden = jnp.tanh(self.params["first"] @ flat + 0.1 * t)
    return jnp.reshape(flat + self.params["last"] @ hidden, self.shape)

  def reconstruct(self, x_t, t):
    x_0 = diffusion.reverse(
      self.predict_noise, self.schedule, x_t, t, self.num_inference_steps
    )
    return self.decode(x_0)


class CountingLatent(Counting, LatentDiffusion):
  pass


class Naive:
  def __init__(self, model, audio, key):
    beta = np.linspace(1e-3, 0.2, 20)
    alpha_bar = np.concatenate([[1], np.cumprod(1 - beta)])
    self.signal, self.sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    self.key, self.x_0 = key, MODEL["scale"] * audio
    self.predict = jax.jit(model.predict_noise)
    x_t = self.noised(T, 0)
    clean = self.reverse(x_t)
    self.degradation = jax.jit(
      lambda delta: jnp.mean((clean - self.reverse(x_t + self.sigma[T] * delta)) ** 2)
    )
    self.degradation_and_gradient = jax.jit(jax.value_and_grad(self.degradation))

  def eps(self, draw):
    return jax.random.normal(jax.random.fold_in(self.key, draw), (SAMPLES,))

  def noised(self, t, draw):
    return self.signal[t] * self.x_0 + self.sigma[t] * self.eps(draw)

  def path_errors(self, times, draws):
    """The log of the error at each of `times`, a mean over draws that no other has."""
    logs = []
    for i, t in enumerate(times):
      error = 0.0
      for draw in range(i, draws * len(times), len(times)):
        e = np.asarray(self.predict(self.noised(t, draw), t), np.float64)
        error += np.sum((np.asarray(self.eps(draw), np.float64) - e) ** 2) / draws
      logs.append(np.log(error))
    return np.array(logs)

  def reverse(self, x):
    grid = [int(np.floor(T * (STEPS - i) / STEPS + 0.5)) for i in range(STEPS + 1)]
    for t, s in itertools.pairwise(grid):
      e = self.predict(x, t)
      x_0 = (x - self.sigma[t] * e) / self.signal[t]
      x = self.signal[s] * x_0 + self.sigma[s] * e
    return x / MODEL["scale"]

  def random_degradations(self, eta, draws):
    degradations = []
    for key in jax.random.split(jax.random.fold_in(self.key, SEARCH_DRAW), draws):
      u = np.asarray(jax.random.normal(key, (SAMPLES,)))
      degradations.append(
        self.degradation(np.float32(eta * u / np.sqrt(np.mean(u**2))))
      )
    return degradations

  def ascend(self, key, eta, target):
    """(largest D, values, gradients) of one ascent."""
    direction_key, radius_key = jax.random.split(key)
    direction = np.asarray(jax.random.normal(direction_key, (SAMPLES,)), np.float64)
    radius = float(jax.random.uniform(radius_key)) ** (1 / SAMPLES)
    bound = eta * np.sqrt(SAMPLES)
    delta = bound * radius * direction / np.linalg.norm(direction)
    momentum, before, best, stalled = np.zeros(SAMPLES), 0.0, -np.inf, 0
    for gradients in range(1, SEARCH.ascent_steps + 1):
      value, gradient = self.degradation_and_gradient(np.float32(delta))
      value, gradient = float(value), np.asarray(gradient, np.float64)
      best = max(best, value)
      gain = (value - before) / max(before, 1e-12)
      stalled = stalled + 1 if gain < SEARCH.min_gain else 0
      size = np.linalg.norm(gradient)
      slope = np.sqrt(SAMPLES) * size
      if value >= target or stalled >= SEARCH.patience or slope < SEARCH.min_gradient:
        return best, 0, gradients
      momentum = SEARCH.momentum * momentum + np.sqrt(SAMPLES) * gradient / size
      delta = delta + SEARCH.step_size * eta / SEARCH.ascent_steps * momentum
      delta *= min(1, bound / np.linalg.norm(delta))
      before = value
    last = float(self.degradation(np.float32(delta)))
    return max(best, last), 1, SEARCH.ascent_steps

  def worst(self, key, eta, target):
    best, values, gradients = -np.inf, 0, 0
    for restart_key in jax.random.split(key, SEARCH.restarts):
      if best < target:
        found = self.ascend(restart_key, eta, target)
        best = max(best, found[0])
        values, gradients = values + found[1], gradients + found[2]
    return best, values, gradients

  def bisect(self, tau):
    """(cost, rank, values, gradients)."""
    keys = jax.random.split(
      jax.random.fold_in(self.key, SEARCH_DRAW), SEARCH.halvings + 1
    )
    top, values, gradients = self.worst(keys[0], SEARCH.eta_max, tau)
    if top < tau:
      rank = SEARCH.eta_max * (1 + (tau - top) / tau)
      return np.nan, rank, values, gradients
    low, high = (0.0, 0.0), (SEARCH.eta_max, top)
    for key in keys[1:]:
      eta = (low[0] + high[0]) / 2
      found, *spent = self.worst(key, eta, tau)
      low, high = (low, (eta, found)) if found >= tau else ((eta, found), high)
      values, gradients = values + spent[0], gradients + spent[1]
    share = np.clip((tau - low[1]) / (high[1] - low[1]), 0, 1)
    return high[0], low[0] + (high[0] - low[0]) * share, values, gradients


_run = jax.jit(lambda attack, *args: attack(*args))


def run(attack, model, audio, key, t=T):
  """The attack's outcome, whose passes must be those that the network made."""
  fields = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
  latent = isinstance(model, LatentDiffusion)
  counting = (CountingLatent if latent else CountingWaveform)(**fields)
  jax.effects_barrier()
  TALLY.update(forward=0, backward=0)
  found = jax.block_until_ready(_run(attack, counting, key, audio, t))
  jax.effects_barrier()
  passes = {"forward": found.nfe_forward, "backward": found.nfe_backward}
  assert passes == TALLY
  return found
