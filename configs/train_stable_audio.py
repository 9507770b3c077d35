r"""A small Stable Audio from scratch: its autoencoder, on music that is in no half.

  python -m launch.train --config=configs/train_stable_audio.py \
    --workdir=runs/train/stable-audio-vae

It is trained on the tracks of the corpus `dose` that the base of configs/train_dose.py
sees, and serves every model of that file, which trains the transformers on its latents
(`stable_audio,base` and so on). Layers are those of Stable Audio Open 1.0 with other
widths: 8 latent channels every 128 samples of one channel at 16 kHz, where the
published one has 64 every 2,048 of two at 44.1 kHz. The embedding of start and end
keeps its first weights, which nothing trains. It takes about half an hour of one CPU
core.
"""

from ml_collections import ConfigDict

_LATENTS = 8
VAE = dict(
  _class_name="AutoencoderOobleck",
  encoder_hidden_size=2 * _LATENTS,
  downsampling_ratios=(4, 4, 8),
  channel_multiples=(1, 2, 4),
  decoder_channels=12,
  decoder_input_channels=_LATENTS,
  audio_channels=1,
  sampling_rate=16000,
)
_CONDITION = 16
_TRANSFORMER = dict(
  _class_name="StableAudioDiTModel",
  in_channels=_LATENTS,
  out_channels=_LATENTS,
  num_layers=4,
  attention_head_dim=16,
  num_attention_heads=4,
  num_key_value_attention_heads=2,
  cross_attention_dim=_CONDITION,
  time_proj_dim=64,
  global_states_input_dim=2 * _CONDITION,
  cross_attention_input_dim=_CONDITION,
)
_PROJECTION = dict(
  _class_name="StableAudioProjectionModel",
  text_encoder_dim=_CONDITION,
  conditioning_dim=_CONDITION,
  min_value=0,
  max_value=512,
)
_SCHEDULER = dict(
  _class_name="CosineDPMSolverMultistepScheduler",
  prediction_type="v_prediction",
  sigma_data=1.0,
  sigma_min=0.3,
  sigma_max=500,
)


def model() -> dict:
  """The configuration of the whole model."""
  return dict(
    family="stable_audio",
    transformer=_TRANSFORMER,
    vae=VAE,
    projection_model=_PROJECTION,
    scheduler=_SCHEDULER,
    text_tokens=0,
    sample_rate=16000,
  )


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.seed = 10
  config.corpus = dict(
    path="runs/corpora/dose",
    groups=("reference",),
    clip_seconds=1.024,
    clips_per_track=4,
  )
  config.eval_groups = ("a", "b", "dev")
  config.eval_clips_per_track = 1
  config.trains = "vae"
  config.model = model()
  config.parts = {}
  config.initial = ""
  config.stored_dtype = "float32"
  config.loss_power = 2
  config.kl_weight = 1e-3
  config.batch_size = 4
  config.epochs = 8
  config.learning_rate = 2e-3
  config.final_learning_rate = 2e-5
  config.warmup_steps = 200
  config.max_grad_norm = 1.0
  config.ema_decay = 0.995
  config.log_every = 50
  config.eval_epochs = config.save_epochs = 1
  config.snapshot_epochs = ()
  return config
