"""DiffWave as a family of models that are built from a configuration."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from lsaprobe_jax.models import waveform
from lsaprobe_jax.models.diffwave import network


def _inputs(module: nn.Module) -> tuple[jax.Array, ...]:
  """A waveform and a step, and a spectrogram where the network takes one."""
  inputs = (jnp.zeros(1024), jnp.int32(0))
  if module.mels is None:
    return inputs
  return *inputs, jnp.zeros((1024 // network.HOP_SAMPLES, module.mels))


FAMILY = waveform.WaveformFamily(
  network=network.DiffWave,
  check_network=network.check_settings,
  inputs=_inputs,
)
