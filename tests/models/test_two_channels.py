"""Models of one's own with two channels."""

import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import diffusion
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models.trained import from_denoiser


def test_a_model_of_two_channels_is_given_and_gives_both():
  swap = lambda x: x[::-1]
  trained = from_denoiser(
    lambda x, t: 0.5 * x, diffusion.linear(20, 1e-3, 0.2), swap,
    lambda x: jnp.pad(swap(x), ((0, 0), (0, 3))), sample_rate=8000, channels=2,
  )  # fmt: skip
  assert trained.channels == 2
  model = trained.for_length(5).model
  audio = np.arange(10, dtype=np.float32).reshape(2, 5)
  np.testing.assert_array_equal(model.encode(audio), audio[::-1])
  np.testing.assert_array_equal(model.decode(model.encode(audio)), audio)
  # One channel stands for both.
  np.testing.assert_array_equal(model.encode(audio[0]), np.stack([audio[0]] * 2))
  with pytest.raises(ArgumentError, match=r"^channels=3: it must be 1 or 2"):
    from_denoiser(
      lambda x, t: x, diffusion.linear(20, 1e-3, 0.2), sample_rate=8000, channels=3
    )
