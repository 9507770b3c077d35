r"""LSA-Probe: how far must a diffusion state be pushed to spoil its reconstruction?

Liu et al., ICASSP 2026 (arXiv 2602.01645). For a clip x and a time t,

  x_t      = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps
  D(delta) = D(R_t(x_t), R_t(x_t + sigma_t delta))
  C_adv    = min { eta : max_{||delta|| <= eta} D(delta) >= tau }

with R_t the deterministic reverse process and D a perceptual distance. A clip the
model was trained on is expected to hold out longer: a higher C_adv means member.
"""

import math

import jax
import jax.numpy as jnp

from lsaprobe_jax.diffusion import add_noise


def clip_noise(key: jax.Array, shape: tuple[int, ...], draw: int = 0) -> jax.Array:
  """A clip's eps: the same for every method and pass that uses the clip's key."""
  return jax.random.normal(jax.random.fold_in(key, draw), shape)


def make_degradation(model, distance, key, audio, t):
  """D as a function of the perturbation, for one clip at one time.

  Args:
    model: encode, reconstruct and a schedule (`models.registry`).
    distance: `embed` and `compare` on waveforms (`distances`).
    key: the clip's key; fixes eps.
    audio: float32 [samples], in [-1, 1].
    t: scalar integer in 1..T.

  Returns:
    (degradation, shape): `degradation(delta~) -> D`, and the shape of delta~. The clean side
    is reconstructed and embedded here, once.
  """
  x_0 = model.encode(audio)
  x_t = add_noise(model.schedule, x_0, t, clip_noise(key, x_0.shape))
  sigma_t = model.schedule.noise[t]
  clean = distance.embed(model.reconstruct(x_t, t))

  def degradation(delta):
    attacked = model.reconstruct(x_t + sigma_t * delta, t)
    return distance.compare(clean, distance.embed(attacked))

  return degradation, x_t.shape


def probe(model, distance, search, key, audio, t, tau):
  """C_adv: the smallest budget that degrades the reconstruction by tau.

  Args are those of `make_degradation`, and `search` (`search.get`), `tau` the
  perceptual target. Returns the search's result.
  """
  degradation, shape = make_degradation(model, distance, key, audio, t)
  return search(degradation, _search_key(key), shape, tau)


def degradation_curve(model, distance, search, key, audio, t):
  """D against the budget, for a search that climbs it whole (`search.continuation`)."""
  degradation, shape = make_degradation(model, distance, key, audio, t)
  return search.curve(degradation, _search_key(key), shape)


def max_degradation(model, distance, search, key, audio, t, eta):
  """The largest D that the search's ascent finds within the budget eta."""
  degradation, shape = make_degradation(model, distance, key, audio, t)
  return search.worst(degradation, _search_key(key), shape, eta, jnp.inf)


def random_degradation(model, distance, key, audio, t, eta, draws):
  """Mean D over `draws` random directions of root mean square eta: no search."""
  degradation, shape = make_degradation(model, distance, key, audio, t)

  def one(key):
    direction = jax.random.normal(key, shape)
    size = jnp.sqrt(jnp.sum(jnp.square(direction)) / math.prod(shape))
    return degradation(eta * direction / size)

  return jnp.mean(jax.lax.map(one, jax.random.split(_search_key(key), draws)))


def calibrate_tau(max_degradations, quantile: float = 0.95):
  """tau: a quantile of the worst D of development non-members at eta_ref."""
  return jnp.quantile(jnp.asarray(max_degradations), quantile)


def _search_key(key):
  # Apart from every draw of noise, which folds in small numbers.
  return jax.random.fold_in(key, 2**31 - 1)
