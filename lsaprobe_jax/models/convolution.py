"""Dilated convolution, written for the backend that runs it.

Inside a `lax.scan`, XLA's CPU backend runs `conv_general_dilated` as a naive loop,
several times slower than outside; three shifted slices side by side, times one
matrix, keep the speed of a matrix product. Accelerators have fused convolutions.
This module is the only place that chooses.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def dilated_conv(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
  """Same-length convolution of odd width k, zero padded.

  Args:
    x: [samples, channels].
    kernel: [k, channels, features].
    dilation: distance between taps, in samples.

  Returns:
    [samples, features].
  """
  shifted = jax.default_backend() == "cpu"
  return (_as_matrix_product if shifted else _as_convolution)(x, kernel, dilation)


def _as_matrix_product(x, kernel, dilation):
  taps, channels, features = kernel.shape
  samples = x.shape[0]
  reach = dilation * (taps // 2)
  padded = jnp.pad(x, ((reach, reach), (0, 0)))
  slices = [padded[i * dilation : i * dilation + samples] for i in range(taps)]
  return jnp.concatenate(slices, axis=1) @ kernel.reshape(taps * channels, features)


def _as_convolution(x, kernel, dilation):
  reach = dilation * (kernel.shape[0] // 2)
  y = jax.lax.conv_general_dilated(
    x[None],
    kernel,
    window_strides=(1,),
    padding=((reach, reach),),
    rhs_dilation=(dilation,),
    dimension_numbers=("NWC", "WIO", "NWC"),
  )
  return y[0]


class DilatedConv(nn.Module):
  """A dilated convolution with bias: [samples, C] -> [samples, features].

  `dtype`, as in `nn.Dense`: what is computed in; None for that of input and kernel.
  `width`: of the kernel, odd.
  """

  features: int
  dilation: int
  dtype: Any = None
  width: int = 3

  @nn.compact
  def __call__(self, x):
    """[samples, C] -> [samples, features]."""
    shape = (self.width, x.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.he_normal(), shape)
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    return dilated_conv(x, kernel, self.dilation) + bias
