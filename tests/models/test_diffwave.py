"""DiffWave where no PyTorch is at hand."""

import decimal
import math

import numpy as np

from lsaprobe_jax.models.diffwave import network


def test_the_table_of_steps_does_not_depend_on_the_processor():
  """NumPy's float32 power is off by a bit on some: against 50 decimal digits."""
  decimal.getcontext().prec = 50
  table = network.embedding_table(200)
  for k in range(64):
    exponent = decimal.Decimal(float(np.float32(k * 4.0 / 63.0)))
    frequency = np.float32(float(decimal.Decimal(10) ** exponent))
    for step in (1, 7, 199):
      angle = float(np.float32(step) * frequency)
      assert table[step, k] == np.float32(math.sin(angle))
      assert table[step, 64 + k] == np.float32(math.cos(angle))
