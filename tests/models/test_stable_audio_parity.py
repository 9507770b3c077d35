"""Oobleck and Stable Audio's transformer against diffusers, live, on random weights.

Values on tiny networks, in float32 and float64; names and shapes at the published
sizes, which PyTorch builds on its `meta` device.
"""

import jax
import jax.numpy as jnp
import pytest
from compared import (
  BOUNDS,
  back,
  compare,
  draw,
  published,
  randomised,
  shapes,
  state,
  to_torch,
)

from lsaprobe_jax.models import oobleck, torch_params
from lsaprobe_jax.models.stable_audio import dit

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

OOBLECKS = {
  "stereo": {},
  "mono": {"audio_channels": 1},
  "odd strides": {"downsampling_ratios": [3, 5], "channel_multiples": [1, 2]},
}
DITS = {
  "grouped": {},
  "one key": {"num_key_value_attention_heads": 1},
  "one layer": {"num_layers": 1},
}


def tiny_oobleck(**changes):
  """diffusers' autoencoder, and ours without its parameters."""
  config = dict(
    encoder_hidden_size=8, downsampling_ratios=[2, 4], channel_multiples=[1, 2],
    decoder_channels=6, decoder_input_channels=4, audio_channels=2,
  ) | changes  # fmt: skip
  ours = oobleck.Oobleck(
    encoder_channels=config["encoder_hidden_size"],
    decoder_channels=config["decoder_channels"],
    audio_channels=config["audio_channels"],
    strides=tuple(config["downsampling_ratios"]),
    multiples=tuple(config["channel_multiples"]),
  )
  return diffusers.AutoencoderOobleck(**config), ours


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", OOBLECKS)
def test_oobleck(name, dtype):
  original, ours = tiny_oobleck(**OOBLECKS[name])
  randomised(original, dtype)
  with jax.enable_x64(dtype == "float64"):
    params = {"params": state(original, dtype)}
    latent = draw(0, 7, 4)
    decode = lambda z: ours.apply(params, z, method="decode")
    compare(dtype, decode, lambda z: original.decode(z).sample, latent, to_torch, back)
    # An odd stride makes PyTorch's decoder end early, and its encoder too.
    audio = draw(1, 7 * ours.hop, ours.audio_channels)
    encode = lambda x: ours.apply(params, x, method="encode")
    their_mode = lambda x: original.encode(x).latent_dist.mode()
    compare(dtype, encode, their_mode, audio, to_torch, back)


def tiny_dit(**changes):
  """diffusers' transformer, and ours without its parameters."""
  config = dict(
    sample_size=16, in_channels=6, out_channels=6, num_layers=3, attention_head_dim=8,
    num_attention_heads=4, num_key_value_attention_heads=2, cross_attention_dim=16,
    time_proj_dim=10, global_states_input_dim=12, cross_attention_input_dim=5,
  ) | changes  # fmt: skip
  ours = dit.StableAudioDiT(
    channels=config["in_channels"],
    layers=config["num_layers"],
    head_features=config["attention_head_dim"],
    heads=config["num_attention_heads"],
    kv_heads=config["num_key_value_attention_heads"],
    condition_features=config["cross_attention_dim"],
    time_features=config["time_proj_dim"],
  )
  return diffusers.StableAudioDiTModel(**config), ours


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", DITS)
def test_stable_audios_transformer(name, dtype):
  original, ours = tiny_dit(**DITS[name])
  randomised(original, dtype)
  frames, kind = 9, getattr(torch, dtype)
  condition, overall = draw(1, 4, 5).astype(dtype), draw(2, 12).astype(dtype)
  rotary = diffusers.models.embeddings.get_1d_rotary_pos_embed(
    4, frames + 1, use_real=True, repeat_interleave_real=False
  )

  def theirs(x):
    return original(
      x, torch.tensor([0.3], dtype=kind),
      encoder_hidden_states=torch.tensor(condition)[None],
      global_hidden_states=torch.tensor(overall)[None, None],
      rotary_embedding=rotary,
    ).sample  # fmt: skip

  with jax.enable_x64(dtype == "float64"):
    params = {
      "params": torch_params.stack(state(original, dtype), "transformer_blocks")
    }
    predict = lambda x: ours.apply(
      params, x, jnp.asarray(0.3, dtype), condition, overall
    )
    compare(dtype, predict, theirs, draw(0, frames, 6), to_torch, back)


def test_names_and_shapes_at_the_published_sizes():
  """Stable Audio Open 1.0's transformer and Oobleck, without any weights."""
  with torch.device("meta"):
    originals = (diffusers.AutoencoderOobleck(), diffusers.StableAudioDiTModel())
  ours = oobleck.Oobleck()
  made = jax.eval_shape(ours.init, jax.random.key(0), jnp.zeros((2048, 2)))["params"]
  assert shapes(made) == published(originals[0])
  ours = dit.StableAudioDiT()
  made = jax.eval_shape(
    ours.init, jax.random.key(0), jnp.zeros((4, 64)), 0.5, jnp.zeros((3, 768)),
    jnp.zeros(1536),
  )["params"]  # fmt: skip
  wanted = published(originals[1])
  blocks = {name: wanted.pop(name) for name in list(wanted) if "blocks" in name}
  assert len(blocks) == 24
  per_block = made.pop("transformer_blocks")
  assert shapes(made) == wanted
  one = jax.tree.map(lambda leaf: leaf.shape[1:], per_block)
  assert all(block == one for block in blocks.values())
