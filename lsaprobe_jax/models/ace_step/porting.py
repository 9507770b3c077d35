"""ACE-Step pipelines that diffusers saved onto our parameters, name by name.

Only JSON and safetensors are read, so nothing in the folder can run code.
"""

import pathlib
from typing import Any

from absl import logging

from lsaprobe_jax.models import oobleck_model
from lsaprobe_jax.models.ace_step import condition, family
from lsaprobe_jax.models.files import lora, pipeline_files
from lsaprobe_jax.text import printable

PIPELINES = ("AceStepPipeline",)
# The part's folder, and its weights as diffusers names them.
WEIGHTS = dict.fromkeys(("transformer", "vae", condition.PART), condition.STEM)
_BLOCKS = "layers"


def read_pipeline(
  folder: pathlib.Path,
  prompt: str | None = None,
  embedding: str | None = None,
  adapter: lora.Adapter | None = None,
) -> tuple[Any, dict[str, Any], Any]:
  """Reads weights and configuration of a pipeline's folder.

  Args:
    folder: what `DiffusionPipeline.save_pretrained` wrote.
    prompt: text to condition on; None for the pipeline's learned null condition.
    embedding: refused: what a prompt is embedded to here depends on two networks.
    adapter: a LoRA that is merged into the transformer.

  Returns:
    (parameters, model configuration, what a training record says of the condition).

  Raises:
    ValueError: something is missing, damaged or not supported.
  """
  if embedding is not None:
    raise ValueError("ACE-Step takes a prompt, and no embedding")
  networks = ("transformer", "vae")
  parts = {
    part: pipeline_files.read_json(folder / part / "config.json") for part in networks
  }
  scheduler = pipeline_files.read_json(folder / "scheduler" / "scheduler_config.json")
  model = {"family": "ace_step", **parts, "scheduler": scheduler}
  counts = {"condition_tokens": 1, "silence_frames": 1}
  family.FAMILY.check_settings(model | counts)
  params = {}
  for part in networks:
    state = pipeline_files.read_weights(folder / part, WEIGHTS[part])
    params[part] = oobleck_model.port(state, folder / part, _BLOCKS, adapter)
  told, said = condition.read(folder, prompt, family.frame_rate(model))
  if prompt is None and _distilled(parts["transformer"]):
    said = f"{said}, which the pipeline of a turbo model never runs"
    logging.warning(
      "%s is a turbo model, which its pipeline never runs under the null condition;"
      " convert it with a prompt to ask it as it is used",
      printable(folder),
    )
  counts = {
    "condition_tokens": len(told["tokens"]),
    "silence_frames": len(told["silence"]),
  }
  return params | {"conditioning": told}, model | counts, said


def _distilled(transformer: dict[str, Any]) -> bool:
  """Returns whether guidance is a part of the weights."""
  return bool(transformer.get("is_turbo")) or transformer.get("model_version") == (
    "turbo"
  )
