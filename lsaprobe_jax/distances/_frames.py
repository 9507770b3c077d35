"""Overlapping frames of a signal, cheap to differentiate."""

import jax
import jax.numpy as jnp


def frame(x: jax.Array, width: int, hop: int, count: int) -> jax.Array:
  """Cuts `count` frames of `width` samples, `hop` apart, the first at sample 0.

  Frames are put together from shifted blocks of `hop` samples, whose transpose is a
  few additions; that of a gather is a scatter, which is slow on the CPU.

  Args:
    x: signal, `[samples]`; taken as zero past its end, and cut there if too long.
    width: samples a frame.
    hop: samples from one frame to the next.
    count: number of frames.

  Returns:
    `[count, width]`.
  """
  overlap = -(-width // hop)
  length = (count + overlap - 1) * hop
  x = jnp.pad(x[:length], (0, max(0, length - x.shape[0])))
  blocks = x.reshape(-1, hop)
  frames = [blocks[shift : shift + count] for shift in range(overlap)]
  return jnp.concatenate(frames, axis=1)[:, :width]
