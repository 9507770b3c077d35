"""A LoRA of the tiny MusicLDM's UNet, as diffusers saves one, drawn at random."""

import pathlib

import numpy as np
import tiny_musicldm
from safetensors.numpy import load_file, save_file

RANK, SCALE = 2, 1.5
_STEM = "down_blocks.1.attentions.0"
MODULES = (
  f"{_STEM}.transformer_blocks.0.attn1.to_q",
  f"{_STEM}.transformer_blocks.0.attn1.to_out.0",
  f"{_STEM}.transformer_blocks.0.ff.net.2",
  "down_blocks.1.resnets.0.conv1",
)
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def save_lora(path: pathlib.Path, pipeline: pathlib.Path, seed: int = 0):
  """Writes the LoRA; returns its path."""
  found, state = {}, load_file(pipeline / WEIGHTS)
  for module in MODULES:
    out, *rest = state[f"{module}.weight"].shape
    a = tiny_musicldm.draw(f"{module} A", (RANK, *rest), seed)
    b = tiny_musicldm.draw(f"{module} B", (out, RANK, *[1] * (len(rest) - 1)), seed)
    found[f"unet.{module}.lora_A.weight"] = a
    found[f"unet.{module}.lora_B.weight"] = b
    found[f"unet.{module}.alpha"] = np.array(SCALE * RANK, np.float32)
  save_file(found, path)
  return path


def merged_by_hand(
  pipeline: pathlib.Path, lora: pathlib.Path, scale: float = 1.0
) -> dict[str, np.ndarray]:
  """The UNet's state dict as the LoRA makes it."""
  state, factors = load_file(pipeline / WEIGHTS), load_file(lora)
  for module in MODULES:
    a, b = (factors[f"unet.{module}.lora_{kind}.weight"] for kind in "AB")
    added = np.einsum("or,ri...->oi...", b.reshape(b.shape[:2]), a)
    state[f"{module}.weight"] += np.float32(scale * SCALE) * added
  return state
