"""Memory of the probe's gradient, as benchmarks/memory.py tabulates it."""

import jax
import pytest
import tiny_latent

from benchmarks import footprint
from lsaprobe_jax.models import registry


@pytest.mark.slow
def test_memory_is_read_off_the_compiler():
  model = tiny_latent.config()
  params = registry.abstract_params(model)
  analysis, seconds = footprint.measure(model, params, 0.25, 1, "waveform")
  # The UNet's, the decoder's and the vocoder's weights go in, the gradient comes out.
  size = lambda part: 4 * sum(leaf.size for leaf in jax.tree.leaves(params[part]))
  weights = size("unet") + size("vocoder")
  audio = 4 * 4000
  assert weights < analysis.argument_size_in_bytes
  assert analysis.argument_size_in_bytes < weights + size("vae") + 4 * audio
  # The vocoder's last stage alone, forward and backward, one channel.
  assert analysis.temp_size_in_bytes > 2 * audio
  assert seconds > 0
