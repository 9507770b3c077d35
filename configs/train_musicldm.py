r"""A small MusicLDM from scratch, one network after the other.

  for part in vae vocoder; do
    python -m launch.train --config=configs/train_musicldm.py:$part \
      --workdir=runs/train/musicldm-$part
  done
  for corpus in multigenre piano; do
    for group in a b reference; do
      python -m launch.train --config=configs/train_musicldm.py:$corpus,$group \
        --workdir=runs/train/musicldm-$corpus-$group \
        --export=lsaprobe_jax/weights/musicldm-$corpus-$group
    done
  done

One VAE and one vocoder serve every model, as the published ones do. They are trained
on the multigenre corpus, both halves and the reference's tracks alike, so that they
favour no side of a cross-over; only the UNet, the diffusion model itself, sees one
group. It is unconditional. Widths are a twentieth of the published ones; rate, mels,
hop, window and schedule are the same. Epochs are what two CPU cores have time for.
"""

from ml_collections import ConfigDict

_CLIPS = {"multigenre": 1, "piano": 5}
_GROUPS = ("a", "b", "reference")
_PARTS = ("vae", "vocoder")
# Epochs and learning rate of each network.
_SCHEDULES = {"vae": (60, 1e-3), "vocoder": (80, 1e-3), "unet": (1200, 1e-3)}

_VAE = dict(
  in_channels=1,
  out_channels=1,
  block_out_channels=(16, 24, 40),
  down_block_types=("DownEncoderBlock2D",) * 3,
  up_block_types=("UpDecoderBlock2D",) * 3,
  layers_per_block=1,
  latent_channels=8,
  norm_num_groups=8,
  # Training replaces it by what makes the latents' variance one.
  scaling_factor=1.0,
)
_UNET = dict(
  in_channels=8,
  out_channels=8,
  block_out_channels=(16, 24, 40),
  down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
  up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
  layers_per_block=1,
  norm_num_groups=8,
  attention_head_dim=(1, 2, 2),
  cross_attention_dim=(16, 24, 40),
)
_VOCODER = dict(
  model_in_dim=64,
  sampling_rate=16000,
  upsample_initial_channel=64,
  upsample_rates=(5, 4, 2, 2, 2),
  upsample_kernel_sizes=(16, 16, 8, 4, 4),
  resblock_kernel_sizes=(3, 7),
  resblock_dilation_sizes=((1, 3, 5), (1, 3, 5)),
  normalize_before=False,
)
_SCHEDULER = dict(
  beta_schedule="scaled_linear",
  beta_start=0.0015,
  beta_end=0.0195,
  num_train_timesteps=1000,
  set_alpha_to_one=False,
  prediction_type="epsilon",
  clip_sample=False,
)
# Corpora come at one loudness: their level is left as it is.
_MEL = dict(
  mels=64, hop=160, fft_size=1024, low=0.0, high=8000.0, floor=1e-5, peak=None
)


def get_config(arg: str = "multigenre,a") -> ConfigDict:
  what = arg.rpartition(",")[2]
  corpus = "multigenre" if arg in _PARTS else arg.rpartition(",")[0]
  denoiser = what in _GROUPS
  if corpus not in _CLIPS or not (denoiser or arg in _PARTS):
    raise ValueError(
      f"configs/train_musicldm.py:{arg}: give {' or '.join(_PARTS)}, or"
      f" {' or '.join(_CLIPS)}, a comma, and a group: {', '.join(_GROUPS)}"
    )
  clips_per_track = _CLIPS[corpus] if denoiser else 2 * _CLIPS[corpus]
  epochs, learning_rate = _SCHEDULES["unet" if denoiser else what]

  config = ConfigDict()
  config.seed = 0
  config.corpus = dict(
    path=corpus,
    groups=(what,) if denoiser else _GROUPS,
    # The UNet's clips are as long as those of the embedded DiffWaves.
    clip_seconds=0.512 if denoiser else 1.024,
    clips_per_track=clips_per_track,
  )
  # Groups whose loss is followed, on so many clips of a track.
  config.eval_groups = ("a", "b")
  config.eval_clips_per_track = clips_per_track

  config.trains = "denoiser" if denoiser else what
  config.model = dict(
    family="musicldm",
    vae=_VAE,
    unet=_UNET,
    vocoder=_VOCODER,
    scheduler=_SCHEDULER,
    mel=_MEL,
    sample_rate=16000,
  )
  # Networks that earlier trainings exported.
  folders = {name: f"runs/train/musicldm-{name}/model" for name in _PARTS}
  config.parts = folders if denoiser else {}
  # A whole model folder to train on from; empty for random weights.
  config.initial = ""
  # The type of the exported weights; they are computed in float32.
  config.stored_dtype = "float16" if denoiser else "float32"

  config.loss_power = 2  # the denoiser's
  config.kl_weight = 1e-4  # the VAE's
  config.mel_weight = 1.0  # the vocoder's
  config.batch_size = 4
  config.epochs = epochs
  config.learning_rate = learning_rate
  config.final_learning_rate = 2e-5
  config.warmup_steps = 200
  config.max_grad_norm = 1.0
  config.ema_decay = 0.995

  config.log_every = 50
  config.eval_epochs = config.save_epochs = 20
  config.snapshot_epochs = (epochs // 8, epochs // 4, epochs // 2, epochs)
  return config
