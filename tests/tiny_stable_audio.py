"""A Stable Audio of some thousand parameters, drawn at random."""

import jax

from lsaprobe_jax.models import registry

CONFIG = {
  "family": "stable_audio",
  "transformer": {
    "_class_name": "StableAudioDiTModel",
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "attention_head_dim": 8,
    "num_attention_heads": 4,
    "num_key_value_attention_heads": 2,
    "cross_attention_dim": 16,
    "time_proj_dim": 10,
    "global_states_input_dim": 12,
    "cross_attention_input_dim": 6,
  },
  "vae": {
    "_class_name": "AutoencoderOobleck",
    "encoder_hidden_size": 8,
    "downsampling_ratios": [2, 4],
    "channel_multiples": [1, 2],
    "decoder_channels": 6,
    "decoder_input_channels": 4,
    "audio_channels": 2,
    "sampling_rate": 16000,
  },
  "projection_model": {
    "_class_name": "StableAudioProjectionModel",
    "text_encoder_dim": 8,
    "conditioning_dim": 6,
    "min_value": 0,
    "max_value": 512,
  },
  "scheduler": {
    "_class_name": "CosineDPMSolverMultistepScheduler",
    "prediction_type": "v_prediction",
    "sigma_data": 1.0,
    "sigma_min": 0.3,
    "sigma_max": 500,
  },
  "text_tokens": 0,
}


def config(**changes) -> dict:
  """The configuration with parts changed: `config(vae={"audio_channels": 1})`."""
  changed = {
    part: CONFIG[part] | change if isinstance(change, dict) else change
    for part, change in changes.items()
  }
  return CONFIG | changed


def model(num_inference_steps: int = 1, **changes):
  """A model with drawn weights."""
  described = config(**changes)
  params = registry.init_params(described, jax.random.key(0))
  return registry.build_model(described, params, num_inference_steps)
