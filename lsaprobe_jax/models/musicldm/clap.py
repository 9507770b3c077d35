"""A prompt's CLAP embedding, with the text encoder of a pipeline's folder."""

import pathlib

import numpy as np

from lsaprobe_jax.models import text_encoder

# The encoders of MusicLDM and of AudioLDM: the file names one, and no other class runs.
_ENCODERS = ("ClapModel", "ClapTextModelWithProjection")


def embed_prompt(folder: pathlib.Path, prompt: str) -> np.ndarray:
  """Returns what diffusers' MusicLDM and AudioLDM pipelines condition on.

  Args:
    folder: of the pipeline, with `text_encoder` and `tokenizer`.
    prompt: any text; the empty one is what the pipelines guide away from.

  Returns:
    The embedding, of length one, float32 [width].

  Raises:
    ValueError: the folder has no text encoder, or one that is not CLAP's, or
      transformers is not installed.
  """
  encoder, inputs = text_encoder.load(
    folder, prompt, _ENCODERS, ", or give an embedding in a .npy file"
  )
  import torch

  with torch.no_grad():
    if hasattr(encoder, "get_text_features"):  # ClapModel, of MusicLDM
      found = encoder.get_text_features(**inputs)
      # Since transformers 5 an object with the embedding inside.
      found = getattr(found, "pooler_output", found)
    else:  # ClapTextModelWithProjection, of AudioLDM
      found = encoder(**inputs).text_embeds
  embedding = found[0].float()
  return (embedding / embedding.norm()).numpy()
