"""Convolutions, written for the backend that runs them.

Inside a loop XLA's CPU backend has a fast convolution only for arrays [N, H, W, C] and
kernels [H, W, C, features]: other orders, such as those that derivatives come in, it
brings into this one at a program's top level alone, and runs as naive loops elsewhere,
8 to 20 times slower. In two dimensions the derivative is therefore written by hand, in
that order, unless the kernel is large: then a product reads it once. In one dimension,
with few channels, shifted slices side by side times one matrix are faster still.
Accelerators have fused convolutions of all kinds. This module is the only place that
chooses.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lsaprobe_jax import backends

# Elements of a kernel, over those of an image, up to which XLA's own convolution is
# taken: beyond, most of its time goes into the kernel's order. Those of the embedded
# models lie below.
_LARGEST_KERNEL = 32


def dilated_conv(x: jax.Array, kernel: jax.Array, dilation: int) -> jax.Array:
  """Same-length convolution of odd width k, zero padded.

  Args:
    x: [samples, channels].
    kernel: [k, channels, features].
    dilation: distance between taps, in samples.

  Returns:
    [samples, features].
  """
  return (_as_matrix_product if on_cpu() else _as_convolution)(x, kernel, dilation)


def on_cpu() -> bool:
  """Returns whether programs run on a CPU, for which some parts are written apart."""
  return backends.backend() == "cpu"


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
  """A dilated convolution: [samples, C] -> [samples, features].

  `dtype`, as in `nn.Dense`: what is computed in; None for that of input and kernel.
  `width`: of the kernel, odd. `use_bias`: whether a bias is added.
  """

  features: int
  dilation: int
  dtype: Any = None
  width: int = 3
  use_bias: bool = True

  @nn.compact
  def __call__(self, x):
    """[samples, C] -> [samples, features]."""
    shape = (self.width, x.shape[-1], self.features)
    kernel = self.param("kernel", nn.initializers.he_normal(), shape)
    bias = None
    if self.use_bias:
      bias = self.param("bias", nn.initializers.zeros, (self.features,))
    x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
    y = dilated_conv(x, kernel, self.dilation)
    return y if bias is None else y + bias


def _conv2d(images, kernel, strides, padding, **settings):
  """Stands in for lax's in `nn.Conv`: [n, H, W, C] -> [n, H', W', features]."""
  if not on_cpu():
    return jax.lax.conv_general_dilated(images, kernel, strides, padding, **settings)
  padding = tuple(map(tuple, padding))
  small = kernel.size <= _LARGEST_KERNEL * images.size
  if tuple(strides) == (1, 1) and kernel.shape[:2] != (1, 1) and small:
    return _canonical(images, kernel, padding)
  return _conv2d_as_product(images, kernel, strides, padding)


def _conv2d_as_product(images, kernel, strides, padding):
  x = jnp.pad(images, ((0, 0), *padding, (0, 0)))
  # First the taps of one axis side by side, then those of the other.
  for axis in (2, 1):
    taps = kernel.shape[axis - 1]
    end = x.shape[axis] - taps + 1
    slices = [
      jax.lax.slice_in_dim(x, i, i + end, strides[axis - 1], axis) for i in range(taps)
    ]
    x = jnp.concatenate(slices, axis=-1)
  return x @ kernel.reshape(-1, kernel.shape[-1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _canonical(images, kernel, padding):
  """XLA's convolution, in the order of axes that it has a fast one for."""
  return jax.lax.conv_general_dilated(
    images, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
  )


def _canonical_forward(images, kernel, padding):
  return _canonical(images, kernel, padding), (images, kernel)


def _canonical_back(padding, kept, gradient):
  images, kernel = kept
  # JAX's own derivative is this convolution with the kernel's axes in another order.
  turned = jnp.swapaxes(jnp.flip(kernel, (0, 1)), 2, 3)
  rest = [
    [n - 1 - side for side in sides]
    for n, sides in zip(kernel.shape[:2], padding, strict=True)
  ]
  by_kernel = functools.partial(
    _conv2d_as_product, images, strides=(1, 1), padding=padding
  )
  return _canonical(gradient, turned, rest), jax.vjp(by_kernel, kernel)[1](gradient)[0]


_canonical.defvjp(_canonical_forward, _canonical_back)


# As PyTorch's Conv2d: `padding` is in zeros. Neither dilated nor grouped.
Conv2D = functools.partial(nn.Conv, padding=0, conv_general_dilated=_conv2d)


class StridedConv(nn.Module):
  """As PyTorch's strided Conv1d: [samples, C] -> [samples / rate, features].

  `padding` zeros stand before and after. The kernel is [width, C, features].
  """

  features: int
  width: int
  rate: int
  padding: int

  @nn.compact
  def __call__(self, x):
    """[samples, C] -> [(samples + 2 padding - width) // rate + 1, features]."""
    channels = x.shape[-1]
    shape = (self.width, channels, self.features)
    kernel = self.param("kernel", nn.initializers.he_normal(), shape)
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    length = (x.shape[0] + 2 * self.padding - self.width) // self.rate + 1
    # Each output reads `rounds` blocks of `rate` inputs.
    rounds = -(-self.width // self.rate)
    kernel = jnp.pad(kernel, ((0, rounds * self.rate - self.width), (0, 0), (0, 0)))
    kernel = kernel.reshape(rounds, self.rate * channels, self.features)
    after = (length - 1 + rounds) * self.rate - self.padding - x.shape[0]
    # What no output reads is cut off, where the rate does not divide the length.
    x = jnp.pad(x, ((self.padding, max(after, 0)), (0, 0)))
    blocks = x[: (length - 1 + rounds) * self.rate].reshape(-1, self.rate * channels)
    return sum(blocks[i : i + length] @ part for i, part in enumerate(kernel)) + bias


class TransposedConv(nn.Module):
  """As PyTorch's ConvTranspose1d: [samples, C] -> [about rate * samples, features].

  The full output, `(samples - 1) * rate + width` long, loses `crop` at each end, which
  is `(width - rate) // 2` by default. The kernel is [width, features, C].
  """

  features: int
  width: int
  rate: int
  crop: int | None = None

  @nn.compact
  def __call__(self, x):
    """[samples, C] -> [full length less both crops, features]."""
    shape = (self.width, self.features, x.shape[-1])
    init = nn.initializers.he_normal(in_axis=-1, out_axis=-2)
    kernel = self.param("kernel", init, shape)
    bias = self.param("bias", nn.initializers.zeros, (self.features,))
    crop = (self.width - self.rate) // 2 if self.crop is None else self.crop
    samples = (x.shape[0] - 1) * self.rate + self.width
    # Each input adds `rounds` blocks of `rate` outputs, the first in its own place.
    rounds = -(-self.width // self.rate)
    kernel = jnp.pad(kernel, ((0, rounds * self.rate - self.width), (0, 0), (0, 0)))
    blocks = kernel.reshape(rounds, self.rate * self.features, x.shape[-1])
    total = sum(
      jnp.pad(x @ block.T, ((i, rounds - 1 - i), (0, 0)))
      for i, block in enumerate(blocks)
    )
    return total.reshape(-1, self.features)[crop : samples - crop] + bias
