"""ACE-Step's transformer against diffusers, live, on random weights.

Values on tiny networks, in float32 and float64. Names and shapes at the published size
are compared in test_ace_step_pipeline_parity.py.
"""

import jax
import jax.numpy as jnp
import pytest
from compared import BOUNDS, compare, draw, randomised, state

from lsaprobe_jax.models import torch_params
from lsaprobe_jax.models.ace_step import dit

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

CHOICES = {
  "near and far": {},
  "with bias": {"attention_bias": True, "patch_size": 3},
  "all far": {"layer_types": ["full_attention"] * 3},
}


def tiny(**changes):
  """diffusers' transformer, and ours without its parameters."""
  config = dict(
    hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, head_dim=6, in_channels=14, audio_acoustic_hidden_dim=6,
    sliding_window=2, encoder_hidden_size=5,
  ) | changes  # fmt: skip
  original = diffusers.AceStepTransformer1DModel(**config)
  ours = dit.AceStepDiT(
    features=16, hidden=24, heads=4, kv_heads=2, head_features=6, channels=6,
    context_channels=8, window=2, patch=original.config.patch_size,
    bias=original.config.attention_bias,
    near=tuple(kind == "sliding_attention" for kind in original.layer_types),
  )  # fmt: skip
  return original, ours


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", CHOICES)
def test_ace_steps_transformer(name, dtype):
  original, ours = tiny(**CHOICES[name])
  randomised(original, dtype)
  frames, kind = 13, getattr(torch, dtype)
  condition, context = draw(1, 4, 5).astype(dtype), draw(2, frames, 8).astype(dtype)

  def theirs(x):
    time = torch.tensor([0.3], dtype=kind)
    return original(
      x, time, time, torch.tensor(condition)[None], torch.tensor(context)[None]
    ).sample

  with jax.enable_x64(dtype == "float64"):
    params = {"params": torch_params.stack(state(original, dtype), "layers")}
    predict = lambda x: ours.apply(
      params, x, jnp.asarray(0.3, dtype), condition, context
    )
    compare(
      dtype, predict, theirs, draw(0, frames, 6),
      lambda x: torch.tensor(jax.device_get(x))[None], lambda y: y[0],
    )  # fmt: skip
