"""The grids of times that attacks average over."""

import jax
import jax.numpy as jnp

from lsaprobe_jax.errors import ArgumentError


def round_grid(top, n: int) -> jax.Array:
  """Returns `round(top i / n)`, i = 0..n, int32 [n + 1], halves rounded up.

  The arithmetic is of integers, so it is exact for any integer `top`, traced or not.
  """
  return (2 * top * jnp.arange(n + 1) + n) // (2 * n)


def times_up_to(t, n: int) -> jax.Array:
  """Returns `round(t i / n)`, i = 1..n, at least 1: int32 [n], growing up to t."""
  return jnp.maximum(round_grid(t, n)[1:], 1)


def times_around(t, n: int, last: int) -> jax.Array:
  """Returns the n different times of 1..last that are nearest to t: int32 [n], growing.

  They are what a method that draws no noise has left to evaluate. Where two are as
  near, the earlier is taken.

  Raises:
    ArgumentError: n does not lie in 1..last, and there are no more.
  """
  if not 1 <= n <= last:
    raise ArgumentError(f"times={n} different times, of a schedule that has {last}")
  return jnp.clip(t - n // 2, 1, last - n + 1) + jnp.arange(n)
