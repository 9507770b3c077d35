"""An ACE-Step of some thousand parameters: drawn at random, and as it is saved."""

import json
import pathlib
import re

import jax
import numpy as np
from safetensors.numpy import save_file

from lsaprobe_jax.models import checkpoints, registry

CONFIG = {
  "family": "ace_step",
  "transformer": {
    "_class_name": "AceStepTransformer1DModel",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "in_channels": 12,
    "audio_acoustic_hidden_dim": 4,
    "patch_size": 2,
    "sliding_window": 3,
    "encoder_hidden_size": 8,
    "layer_types": ["sliding_attention", "full_attention"],
    "is_turbo": False,
    "model_version": None,
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
  "scheduler": {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1,
    "shift": 1.0,
    "use_dynamic_shifting": False,
    "time_shift_type": "exponential",
  },
  "condition_tokens": 1,
  "silence_frames": 50,
}
_INDEX = {"_class_name": "AceStepPipeline"}


def config(**changes) -> dict:
  """The configuration with parts changed: `config(vae={"audio_channels": 1})`."""
  changed = {
    part: CONFIG[part] | change if isinstance(change, dict) else change
    for part, change in changes.items()
  }
  return CONFIG | changed


def params(described: dict):
  """Weights, with a condition and silence that are drawn too."""
  drawn = registry.init_params(described, jax.random.key(0))
  random = np.random.default_rng(1)
  told = jax.tree.map(
    lambda leaf: random.normal(size=leaf.shape).astype(np.float32),
    drawn["conditioning"],
  )
  return drawn | {"conditioning": told}


def model(num_inference_steps: int = 1, **changes):
  """A model with drawn weights."""
  described = config(**changes)
  return registry.build_model(described, params(described), num_inference_steps)


def save_pipeline(folder: pathlib.Path, **changes) -> pathlib.Path:
  """Writes the pipeline as diffusers saves one, without what a prompt needs."""
  described = config(**changes)
  drawn = params(described)
  told = drawn["conditioning"]
  states = {
    "transformer": _state(drawn["transformer"]),
    "vae": _state(drawn["vae"]),
    "condition_encoder": {
      "null_condition_emb": told["tokens"][None],
      "silence_latent": told["silence"][None],
      "text_projector.weight": np.ones((8, 5), np.float32),
    },
  }
  folder.mkdir()
  (folder / "model_index.json").write_text(json.dumps(_INDEX))
  for part, state in states.items():
    (folder / part).mkdir()
    (folder / part / "config.json").write_text(json.dumps(described.get(part, {})))
    save_file(state, folder / part / "diffusion_pytorch_model.safetensors")
  (folder / "scheduler").mkdir()
  (folder / "scheduler" / "scheduler_config.json").write_text(
    json.dumps(described["scheduler"])
  )
  return folder


def _state(drawn) -> dict[str, np.ndarray]:
  """Parameters of ours under PyTorch's names, layers apart and axes turned back."""
  state = {}
  for path, value in checkpoints.flatten(drawn).items():
    if path.startswith("layers/"):
      for i, one in enumerate(value):
        state |= _tensor(f"layers.{i}{path.removeprefix('layers')}", one)
    else:
      state |= _tensor(path, value)
  return {name: np.ascontiguousarray(value) for name, value in state.items()}


def _tensor(path: str, value: np.ndarray) -> dict[str, np.ndarray]:
  name = re.sub(r"(block|to_out)_(\d+)", r"\1.\2", path).replace("/", ".")
  layer, _, kind = name.rpartition(".")
  if kind == "kernel":
    return {f"{layer}.weight": value.T}
  if kind == "scale":
    return {f"{layer}.weight": value}
  if kind == "scale_shift_table":
    return {name: value[None]}
  return {name: value[None, :, None] if kind in ("alpha", "beta") else value}
