"""Whether a LoRA changes anything, asked without making the products."""

import numpy as np

from lsaprobe_jax.models.files.lora import Update


def test_a_product_is_zero_or_not_without_being_made():
  rng = np.random.default_rng(0)
  # The product would take 160 GB.
  down = np.float32(1e-18) * rng.normal(size=(2, 200_000)).astype(np.float32)
  up = np.float32(1e-18) * rng.normal(size=(200_000, 2)).astype(np.float32)
  assert Update(down, up, 1.0).changes
  assert not Update(down, up, 0.0).changes
  assert not Update(down, np.zeros_like(up), 1.0).changes
  # Neither factor is zero, and their product is.
  down[0], up[:, 1] = 0, 0
  assert not Update(down, up, 1.0).changes
  assert Update(down[::-1], up, 1.0).changes
