"""The smallest latent model: one of each kind of block, to be trained in seconds."""

from lsaprobe_jax.models.musicldm import porting

RATE = 16000
_PIPELINE = {
  "unet": dict(
    in_channels=2, out_channels=2, block_out_channels=[4], layers_per_block=1,
    down_block_types=["DownBlock2D"], up_block_types=["UpBlock2D"],
    norm_num_groups=2, attention_head_dim=2, cross_attention_dim=[4],
  ),
  "vae": dict(
    in_channels=1, out_channels=1, block_out_channels=[4, 4], latent_channels=2,
    down_block_types=["DownEncoderBlock2D"] * 2,
    up_block_types=["UpDecoderBlock2D"] * 2,
    layers_per_block=1, norm_num_groups=2, scaling_factor=0.8,
  ),
  "vocoder": dict(
    model_in_dim=8, sampling_rate=RATE, upsample_initial_channel=4,
    upsample_rates=[5, 8], upsample_kernel_sizes=[16, 16], resblock_kernel_sizes=[3],
    resblock_dilation_sizes=[[1, 3]], normalize_before=False,
  ),
  "scheduler": dict(
    _class_name="DDIMScheduler", beta_start=0.0015, beta_end=0.0195,
    beta_schedule="scaled_linear", num_train_timesteps=1000, steps_offset=1,
    clip_sample=False, set_alpha_to_one=False, prediction_type="epsilon",
  ),
}  # fmt: skip


def config():
  """Its model configuration."""
  return porting.model_config(_PIPELINE)
