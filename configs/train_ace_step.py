r"""A small ACE-Step on the latents of the small Stable Audio's autoencoder.

  python -m launch.train --config=configs/train_ace_step.py \
    --workdir=runs/train/dose-ace_step-base

It needs the autoencoder of configs/train_stable_audio.py. Layers and path are those of
ACE-Step 1.5, a rectified flow whose times are shifted by 3, with other widths and one
frame a token. It is unconditional: the token that stands for no text is zero, and so
are the latents of silence that it is told as the source. configs/train_dose.py trains
its fine-tunes (`ace_step,a`). It takes about a quarter of an hour of one CPU core.
"""

from ml_collections import ConfigDict

from configs import train_stable_audio

_LATENTS = train_stable_audio.VAE["decoder_input_channels"]
_TRANSFORMER = dict(
  _class_name="AceStepTransformer1DModel",
  hidden_size=64,
  intermediate_size=192,
  num_hidden_layers=4,
  num_attention_heads=4,
  num_key_value_heads=2,
  head_dim=16,
  in_channels=3 * _LATENTS,
  audio_acoustic_hidden_dim=_LATENTS,
  patch_size=1,
  sliding_window=32,
  encoder_hidden_size=16,
  is_turbo=False,
)
_SCHEDULER = dict(
  _class_name="FlowMatchEulerDiscreteScheduler", num_train_timesteps=1, shift=1.0
)


def get_config() -> ConfigDict:
  config = train_stable_audio.get_config()
  config.trains = "denoiser"
  config.corpus.clips_per_track = 8
  config.eval_clips_per_track = 2
  config.model = dict(
    family="ace_step",
    transformer=_TRANSFORMER,
    vae=train_stable_audio.VAE,
    scheduler=_SCHEDULER,
    condition_tokens=1,
    silence_frames=1,
    sample_rate=16000,
  )
  config.parts = {"vae": "runs/train/stable-audio-vae/model"}
  config.stored_dtype = "float16"
  config.epochs = 30
  config.learning_rate = 1e-3
  config.eval_epochs = config.save_epochs = 2
  return config
