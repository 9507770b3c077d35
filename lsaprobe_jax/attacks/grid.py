"""The grids of times that attacks average over."""

import jax
import jax.numpy as jnp


def round_grid(top, n: int) -> jax.Array:
  """`round(top i / n)`, i = 0..n, int32 [n + 1], halves rounded up.

  In integer arithmetic, so exact for any integer `top`, traced or not.
  """
  return (2 * top * jnp.arange(n + 1) + n) // (2 * n)


def times_up_to(t, n: int) -> jax.Array:
  """`round(t i / n)`, i = 1..n, at least 1: int32 [n], growing, the last one t."""
  return jnp.maximum(round_grid(t, n)[1:], 1)


def times_around(t, n: int, last: int) -> jax.Array:
  """The n times of 1..last that are nearest to t, all different: int32 [n], growing.

  What a method that draws no noise has left to evaluate. Of two as near, the earlier.

  Raises:
    ValueError: unless n lies in 1..last, as there are no more.
  """
  if not 1 <= n <= last:
    raise ValueError(f"{n} different times asked for, of a schedule of {last}")
  return jnp.clip(t - n // 2, 1, last - n + 1) + jnp.arange(n)
