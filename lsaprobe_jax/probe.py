r"""LSA-Probe: how far must a diffusion state be pushed to spoil its reconstruction?

Liu et al., ICASSP 2026 (arXiv 2602.01645). For a clip x and a time t,

  x_t      = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps
  D(delta) = D(R_t(x_t), R_t(x_t + sigma_t delta))
  C_adv    = min { eta : max_{||delta|| <= eta} D(delta) >= tau }

with R_t the deterministic reverse process and D a perceptual distance. A clip the
model was trained on is expected to hold out longer: a higher C_adv means member.

Anchored at the clip, our variant, D(delta) = D(x_0, R_t(x_t + sigma_t delta)): how far
until the model no longer gives back this very clip?
"""

import functools
import math

import jax
import jax.numpy as jnp

from lsaprobe_jax import search as searches
from lsaprobe_jax.diffusion import add_noise
from lsaprobe_jax.distances import channels
from lsaprobe_jax.search.base import at_rest

# What attacked reconstructions are compared with: the clean one, as in the paper, or
# the clip, encoded and decoded where the model is one of latents.
ANCHORS = ("reconstruction", "clip")


def clip_noise(key: jax.Array, shape: tuple[int, ...], draw: int = 0) -> jax.Array:
  """Draws a clip's eps: the same for every method and pass that uses the clip's key."""
  return jax.random.normal(jax.random.fold_in(key, draw), shape)


def noisy_state(model, key, x_0, t, draw=0) -> tuple[jax.Array, jax.Array]:
  """Returns x_t of a clean state x_0 (`model.encode`), and the eps that is in it."""
  noise = clip_noise(key, x_0.shape, draw)
  return add_noise(model.schedule, x_0, t, noise), noise


def attacked(model, x_t, t, delta) -> jax.Array:
  """Returns R_t(x_t + sigma_t delta~), a waveform [samples]."""
  return model.reconstruct(x_t + model.schedule.noise[t] * delta, t)


def degradation(model, distance, clean, x_t, t, delta) -> jax.Array:
  """Returns D(delta~), a scalar; `clean` is the embedding of the anchor."""
  return distance.compare(clean, distance.embed(attacked(model, x_t, t, delta)))


def make_degradation(model, distance, key, audio, t, anchor="reconstruction"):
  """Makes D a function of the perturbation alone, for one clip at one time.

  Args:
    model: a `models.DiffusionModel`.
    distance: a `distances.Distance`; it compares waveforms.
    key: the clip's key; it fixes eps.
    audio: the clip, float32 [samples] in [-1, 1].
    t: scalar integer in 1..T.
    anchor: one of `ANCHORS`.

  Returns:
    The function `delta~ -> D`, and the shape of delta~, which is that of x_t. The clean
    side is reconstructed and embedded here, once for a whole search. Anchored at it, D
    is 0 at no perturbation and its gradient undefined there; anchored at the clip, D is
    the error of the reconstruction at no perturbation.
  """
  return _from_rest(model, distance, key, audio, t, anchor)[:2]


def probe(model, distance, search, key, audio, t, tau, anchor="reconstruction"):
  """Finds C_adv, the smallest budget at which D reaches tau, by a `search.Search`.

  Anchored at the clip, it is 0 where D reaches tau at no perturbation.
  """
  if searches.gives_curves(search):
    curve = degradation_curve(model, distance, search, key, audio, t, anchor)
    return curve.search_result(tau)
  degrade, shape, rest = _from_rest(model, distance, key, audio, t, anchor)
  return at_rest(search(degrade, _search_key(key), shape, tau), rest, tau)


def degradation_curve(model, distance, search, key, audio, t, anchor="reconstruction"):
  """Returns D against the budget, by a search that climbs it whole (`search.curve`)."""
  degrade, shape, rest = _from_rest(model, distance, key, audio, t, anchor)
  return search.curve(degrade, _search_key(key), shape).replace(rest=rest)


def max_degradation(
  model, distance, search, key, audio, t, eta, anchor="reconstruction"
):
  """Returns the ascent that finds the largest D within the budget eta."""
  degrade, shape, rest = _from_rest(model, distance, key, audio, t, anchor)
  found = search.worst(degrade, _search_key(key), shape, eta, jnp.inf)
  return found.replace(degradation=jnp.maximum(found.degradation, rest))


def random_degradation(model, distance, key, audio, t, eta, draws):
  """Returns the mean D over random directions of root mean square eta: no search."""
  degrade, shape = make_degradation(model, distance, key, audio, t)

  def one(key):
    direction = jax.random.normal(key, shape)
    size = jnp.sqrt(jnp.sum(jnp.square(direction)) / math.prod(shape))
    return degrade(eta * direction / size)

  return jnp.mean(jax.lax.map(one, jax.random.split(_search_key(key), draws)))


def calibrate_tau(max_degradations, quantile: float = 0.95):
  """Returns tau: a quantile of the worst D of development non-members at eta_ref."""
  return jnp.quantile(jnp.asarray(max_degradations), quantile)


def _from_rest(model, distance, key, audio, t, anchor):
  """Returns what `make_degradation` does, and D at no perturbation."""
  distance = channels.for_model(distance, model)
  x_0 = model.encode(audio)
  x_t, _ = noisy_state(model, key, x_0, t)
  clean, rest = distance.embed(model.reconstruct(x_t, t)), 0.0
  if anchor == "clip":
    # As the model's own decoder gives it back: what an autoencoder loses says nothing
    # of the denoiser, and is most of D on latents.
    clip = distance.embed(model.decode(x_0))
    clean, rest = clip, distance.compare(clip, clean)
  return functools.partial(degradation, model, distance, clean, x_t, t), x_t.shape, rest


def _search_key(key):
  # Apart from every draw of eps, which folds in small numbers.
  return jax.random.fold_in(key, 2**31 - 1)
