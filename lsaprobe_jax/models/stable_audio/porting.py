"""Stable Audio pipelines that diffusers saved onto our parameters, name by name.

Only JSON and safetensors are read, so nothing in the folder can run code. A prompt is
embedded once, by transformers.
"""

import pathlib
from typing import Any

import numpy as np

from lsaprobe_jax.models import oobleck_model, text_encoder
from lsaprobe_jax.models.files import lora, pipeline_files
from lsaprobe_jax.models.stable_audio import family

PIPELINES = ("StableAudioPipeline",)
_STEM = "diffusion_pytorch_model"
# The part's folder, and its weights as diffusers names them.
WEIGHTS = dict.fromkeys(("transformer", "vae", "projection_model"), _STEM)
_ENCODERS = ("T5EncoderModel",)
_BLOCKS = "transformer_blocks"


def read_pipeline(
  folder: pathlib.Path,
  prompt: str | None = None,
  embedding: str | None = None,
  adapter: lora.Adapter | None = None,
) -> tuple[Any, dict[str, Any], Any]:
  """Reads weights and configuration of a pipeline's folder.

  Args:
    folder: what `DiffusionPipeline.save_pretrained` wrote.
    prompt: text to condition on; None for the pipeline's null condition.
    embedding: refused: what a prompt is embedded to here depends on a network.
    adapter: a LoRA that is merged into the transformer.

  Returns:
    (parameters, model configuration, what a training record says of the condition).

  Raises:
    ValueError: something is missing, damaged or not supported.
  """
  if embedding is not None:
    raise ValueError("Stable Audio takes a prompt, and no embedding")
  parts = {
    part: pipeline_files.read_json(folder / part / "config.json") for part in WEIGHTS
  }
  scheduler = pipeline_files.read_json(folder / "scheduler" / "scheduler_config.json")
  model = {"family": "stable_audio", **parts, "scheduler": scheduler, "text_tokens": 0}
  family.FAMILY.check_settings(model)
  params, text = {}, {}
  for part, stem in WEIGHTS.items():
    state = pipeline_files.read_weights(folder / part, stem)
    if part == "projection_model":
      text = {name: state.pop(name) for name in list(state) if "text_proj" in name}
    params[part] = oobleck_model.port(state, folder / part, _BLOCKS, adapter)
  if prompt is None:
    return params, model, "null"
  tokens = _project(_embed(folder, prompt), text)
  params["conditioning"] = {"text": tokens}
  return params, model | {"text_tokens": len(tokens)}, {"prompt": prompt}


def _project(embedded, text: dict[str, np.ndarray]) -> np.ndarray:
  """Projects T5's tokens, if the pipeline does; what is no text is zero [n, D]."""
  tokens, mask = embedded
  if text:
    weight, bias = (text[f"text_projection.{kind}"] for kind in ("weight", "bias"))
    tokens = tokens @ np.asarray(weight, np.float32).T + np.asarray(bias, np.float32)
  return tokens * mask[:, None]


def _embed(folder: pathlib.Path, prompt: str) -> tuple[np.ndarray, np.ndarray]:
  """Returns T5's tokens of a prompt [n, width], and which of them are text [n]."""
  encoder, inputs = text_encoder.load(folder, prompt, _ENCODERS)
  import torch

  with torch.no_grad():
    found = encoder(**inputs)[0][0]
  mask = inputs["attention_mask"][0].numpy()
  return found.float().numpy(), mask.astype(np.float32)
