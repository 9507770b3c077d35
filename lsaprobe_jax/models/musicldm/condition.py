"""What the UNet of a pipeline is conditioned on: zeros, an embedding, or a prompt."""

import pathlib
from typing import Any

import numpy as np

from lsaprobe_jax.models.files import lora, tensors
from lsaprobe_jax.models.musicldm import clap, porting


def read_pipeline(
  folder: pathlib.Path,
  prompt: str | None = None,
  embedding: str | None = None,
  adapter: lora.Adapter | None = None,
) -> tuple[dict[str, Any], dict[str, Any], Any]:
  """Reads a pipeline's folder under a condition (`pipelines.read`)."""
  params, model = porting.read_pipeline(folder, adapter)
  params, said = with_condition(params, folder, prompt, embedding)
  return params, model, said


def with_condition(
  params: dict[str, Any],
  folder: pathlib.Path,
  prompt: str | None = None,
  embedding: str | None = None,
) -> tuple[dict[str, Any], Any]:
  """Puts a condition among a pipeline's parameters.

  Args:
    params: as of `porting.read_pipeline`, with an embedding of zeros.
    folder: of the pipeline, whose text encoder embeds a prompt.
    prompt: text that the UNet is conditioned on.
    embedding: a .npy file with the CLAP embedding to condition on instead.

  Returns:
    (parameters, what a training record says of the condition).

  Raises:
    ValueError: both are given, the UNet takes none, or the embedding does not fit.
  """
  if prompt is not None and embedding is not None:
    raise ValueError("give a prompt or an embedding, not both")
  if prompt is not None:
    record = {"prompt": prompt}
    values = clap.embed_prompt(folder, prompt)
  elif embedding is not None:
    record = {"embedding": pathlib.Path(embedding).name}
    values = np.load(embedding, allow_pickle=False)
  else:
    return params, "zero"
  if "conditioning" not in params:
    raise ValueError("its UNet is unconditional: it takes no prompt and no embedding")
  values = tensors.weight("the embedding", values).squeeze()
  wanted = params["conditioning"]["embedding"].shape
  if values.shape != wanted:
    raise ValueError(f"the embedding has shape {values.shape}, the UNet takes {wanted}")
  return params | {"conditioning": {"embedding": values}}, record
