"""Pipelines that diffusers saved onto our parameters, name by name.

Only JSON and safetensors are read, so nothing in the folder can run code.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from lsaprobe_jax.models import torch_params
from lsaprobe_jax.models.files import lora, pipeline_files
from lsaprobe_jax.models.musicldm import family, scheduler, vocoder
from lsaprobe_jax.text import printable

PIPELINES = ("MusicLDMPipeline", "AudioLDMPipeline")
# The part's folder, and its weights as diffusers or transformers name them.
WEIGHTS = {
  "unet": "diffusion_pytorch_model",
  "vae": "diffusion_pytorch_model",
  "vocoder": "model",
}
# AudioLDM's training front end; what of it a pipeline's files say is read from there.
_MEL = {"fft_size": 1024, "low": 0.0, "floor": 1e-5, "peak": 0.5}


def read_pipeline(
  folder: str | pathlib.Path, adapter: lora.Adapter | None = None
) -> tuple[Any, dict[str, Any]]:
  """Reads weights and configuration of a MusicLDM or AudioLDM pipeline's folder.

  Text encoder and tokenizer are not needed, nor is PyTorch. Buffers that a vocoder
  stores without using them (`mean`, `scale`, where `normalize_before` is false) are
  left out.

  Args:
    folder: what `DiffusionPipeline.save_pretrained` wrote.
    adapter: a LoRA that is merged into the UNet.

  Returns:
    (parameters, model configuration) as of `family.MusicLDM`; the condition is zero.

  Raises:
    ValueError: something is missing, damaged or not supported.
  """
  folder = pathlib.Path(folder)
  config = {
    name: pipeline_files.read_json(folder / name / "config.json") for name in WEIGHTS
  }
  config["scheduler"] = pipeline_files.read_json(
    folder / "scheduler" / "scheduler_config.json"
  )
  model = model_config(config)
  family.FAMILY.check_settings(model)
  networks = dict(zip(WEIGHTS, family.build_networks(model), strict=True))
  scheduler.build_schedule(model["scheduler"])
  params = {}
  for name, stem in WEIGHTS.items():
    state = pipeline_files.read_weights(folder / name, stem)
    if name == "vocoder" and not networks[name].normalise:
      state = {k: v for k, v in state.items() if k not in ("mean", "scale")}
    if adapter is not None and name == "unet":
      state = lora.merge(state, adapter, name)
    try:
      params[name] = torch_params.module_params(state)
    except ValueError as error:
      raise ValueError(f"{printable(folder / name)}: {error}") from error
  width = networks["unet"].condition_width
  if width is not None:
    params["conditioning"] = {"embedding": np.zeros(width, np.float32)}
  return params, model


def model_config(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
  """Returns the model configuration of a pipeline.

  Args:
    configs: `unet`, `vae`, `vocoder`, `scheduler`: their JSON files. The mel front
      end's hop, mels and rate follow the vocoder's; the rest is AudioLDM's.
  """
  voice = vocoder.from_config(configs["vocoder"])
  rate = configs["vocoder"].get("sampling_rate", 16000)
  front_end = _MEL | {"hop": voice.hop, "mels": voice.mels, "high": rate / 2}
  parts = {name: dict(configs[name]) for name in (*WEIGHTS, "scheduler")}
  return {"family": "musicldm", **parts, "mel": front_end, "sample_rate": rate}
