"""The reverse process to the waveform, which all models share."""

import jax

from lsaprobe_jax import diffusion


def reconstruct(model, x_t: jax.Array, t) -> jax.Array:
  """Returns `R_t(x_t)`: deterministic reverse from t to 0, then `model.decode`.

  Args:
    model: a `DiffusionModel` with the field `rematerialise`.
    x_t: the state at time t.
    t: scalar integer in 1..T.
  """
  x_0 = diffusion.reverse(
    lambda x, s: diffusion.predicted(model, x, s),
    model.schedule,
    x_t,
    t,
    model.num_inference_steps,
    rematerialise=model.rematerialise is not False,
  )
  # Fused with a small distance behind it, XLA's CPU backend computes parts of the
  # network's last layers again: a gradient took 1.6 times as long.
  return jax.lax.optimization_barrier(model.decode(x_0))
