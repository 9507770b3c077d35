"""Pipelines that diffusers saved, by the class that their index names."""

import pathlib
import reprlib
from typing import Any

from lsaprobe_jax.models.ace_step import porting as ace_step
from lsaprobe_jax.models.files import lora, pipeline_files
from lsaprobe_jax.models.musicldm import condition as musicldm_condition
from lsaprobe_jax.models.musicldm import porting as musicldm
from lsaprobe_jax.models.stable_audio import porting as stable_audio
from lsaprobe_jax.text import printable

INDEX_FILE = "model_index.json"
# What reads a folder, (folder, prompt, embedding, adapter) -> (parameters,
# configuration, what a training record says of the condition).
_READERS = {
  **dict.fromkeys(musicldm.PIPELINES, musicldm_condition.read_pipeline),
  **dict.fromkeys(stable_audio.PIPELINES, stable_audio.read_pipeline),
  **dict.fromkeys(ace_step.PIPELINES, ace_step.read_pipeline),
}
# Folders of parts and the names of their weights, of all pipelines.
_FAMILIES = (musicldm, stable_audio, ace_step)
_WEIGHTS = sorted({item for family in _FAMILIES for item in family.WEIGHTS.items()})


def file_patterns(with_text: bool = False, with_variants: bool = False) -> list[str]:
  """Returns patterns of the files of a pipeline that are read.

  Args:
    with_text: also the text encoder, which a prompt needs.
    with_variants: also weights of less precision, which are read where there are no
      others.
  """
  kinds = [pipeline_files.weight_patterns]
  kinds += [pipeline_files.variant_patterns] * with_variants
  weights = [p for kind in kinds for part in _WEIGHTS for p in kind(*part)]
  text = ["text_encoder/model*.safetensors", "tokenizer/*"] * with_text
  return ["*.json", "*/*.json", *weights, *text]


def lacks_weights(folder: pathlib.Path) -> bool:
  """Returns whether a part of a pipeline is there without its full weights."""
  return any(
    (folder / part / "config.json").is_file()
    and not any(folder.glob(f"{part}/{stem}.safetensors"))
    and not any(folder.glob(f"{part}/{stem}-*-of-*.safetensors"))
    for part, stem in _WEIGHTS
  )


def read(
  folder: pathlib.Path,
  prompt: str | None = None,
  embedding: str | None = None,
  adapter: lora.Adapter | None = None,
) -> tuple[Any, dict[str, Any], Any]:
  """Reads weights, configuration and condition of a pipeline's folder.

  PyTorch is needed for a prompt alone.

  Args:
    folder: what `DiffusionPipeline.save_pretrained` wrote.
    prompt: text that it is conditioned on.
    embedding: a .npy file to condition on instead, where the family takes one.
    adapter: a LoRA that is merged into the network that predicts.

  Returns:
    (parameters, model configuration, what a training record says of the condition).

  Raises:
    ValueError: something is missing, damaged or not supported.
  """
  index = pipeline_files.read_json(folder / INDEX_FILE)
  name = index.get("_class_name")
  if not isinstance(name, str) or name not in _READERS:
    shown = printable(reprlib.repr(name))
    raise ValueError(f"a pipeline of class {shown}; known: {', '.join(_READERS)}")
  return _READERS[name](folder, prompt, embedding, adapter)
