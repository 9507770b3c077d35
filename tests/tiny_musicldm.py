"""A MusicLDM pipeline of some thousand parameters, as files and as PyTorch modules.

Its weights are drawn from the tensors' names, so that tests without PyTorch can draw
them again. The names and shapes themselves, and what the originals make of them, are
in models/musicldm_goldens.npz (models/make_musicldm_goldens.py).
"""

import json
import pathlib
import zlib

import numpy as np
from safetensors.numpy import save_file

from lsaprobe_jax.models import torch_params
from lsaprobe_jax.models.musicldm import porting

GOLDENS = pathlib.Path(__file__).parent / "models" / "musicldm_goldens.npz"
CONFIGS = {
  "unet": {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [8, 16, 24],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": [8, 16, 24],
    "attention_head_dim": [2, 4, 3],
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": 6,
    "class_embeddings_concat": True,
  },
  "vae": {
    "_class_name": "AutoencoderKL",
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": [8, 12],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "scaling_factor": 0.8,
  },
  "vocoder": {
    "model_type": "speecht5_hifigan",
    "model_in_dim": 8,
    "sampling_rate": 16000,
    "upsample_initial_channel": 16,
    # As in MusicLDM the first stage, 16 to 5, gives one sample too many.
    "upsample_rates": [5, 4, 8],
    "upsample_kernel_sizes": [16, 8, 16],
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3], [1, 5]],
    "normalize_before": False,
  },
  "scheduler": {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.0015,
    "beta_end": 0.0195,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "prediction_type": "epsilon",
  },
}
INDEX = {
  "_class_name": "MusicLDMPipeline",
  "unet": ["diffusers", "UNet2DConditionModel"],
  "vae": ["diffusers", "AutoencoderKL"],
  "vocoder": ["transformers", "SpeechT5HifiGan"],
  "scheduler": ["diffusers", "DDIMScheduler"],
}


def configs(**changes) -> dict[str, dict]:
  """The tiny configuration, with some parts' settings changed."""
  return {name: part | changes.get(name, {}) for name, part in CONFIGS.items()}


def draw(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
  """A tensor that its name decides; normalisations' and biases' at random too."""
  random = np.random.default_rng([seed, zlib.crc32(name.encode())])
  value = random.normal(size=shape)
  if len(shape) > 1:
    value /= np.sqrt(np.prod(shape[1:]))
  else:
    value = 0.2 * value + (not name.endswith(("bias", "mean")))
  return value.astype(np.float32)


def states(shapes: dict[str, dict[str, list[int]]], seed: int = 0):
  """State dicts of `shapes`, part -> tensor -> shape."""
  return {
    part: {
      name: draw(f"{part}.{name}", tuple(shape), seed) for name, shape in s.items()
    }
    for part, s in shapes.items()
  }


def golden_shapes() -> dict[str, dict[str, list[int]]]:
  """Part -> tensor -> shape of the tiny pipeline, as the originals name them."""
  with np.load(GOLDENS) as goldens:
    return json.loads(str(goldens["shapes"]))


def params(seed: int = 0):
  """The tiny pipeline's parameters under our names, and its model configuration."""
  made = {
    part: torch_params.module_params(
      {k: v for k, v in state.items() if k not in ("mean", "scale")}
    )
    for part, state in states(golden_shapes(), seed).items()
  }
  made["conditioning"] = {"embedding": draw("embedding", (6,), seed)}
  return made, porting.model_config(CONFIGS)


def save_pipeline(folder: pathlib.Path, seed: int = 0) -> pathlib.Path:
  """Writes the tiny pipeline as diffusers saves one; returns the folder."""
  folder.mkdir()
  (folder / "model_index.json").write_text(json.dumps(INDEX))
  for part, config in CONFIGS.items():
    (folder / part).mkdir()
    file = "scheduler_config" if part == "scheduler" else "config"
    (folder / part / f"{file}.json").write_text(json.dumps(config))
  for part, state in states(golden_shapes(), seed).items():
    save_file(state, folder / part / f"{porting.WEIGHTS[part]}.safetensors")
  return folder


def torch_modules(config: dict[str, dict], seed: int = 0):
  """The originals' unet, vae and vocoder with drawn weights, and those state dicts."""
  import torch
  from diffusers import AutoencoderKL, UNet2DConditionModel
  from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

  modules = {
    "unet": UNet2DConditionModel.from_config(config["unet"]),
    "vae": AutoencoderKL.from_config(config["vae"]),
    "vocoder": SpeechT5HifiGan(SpeechT5HifiGanConfig(**config["vocoder"])),
  }
  shapes = {
    part: {name: list(value.shape) for name, value in module.state_dict().items()}
    for part, module in modules.items()
  }
  drawn = states(shapes, seed)
  for part, module in modules.items():
    module.load_state_dict({k: torch.tensor(v) for k, v in drawn[part].items()})
    module.eval().requires_grad_(False)
  return modules, drawn
