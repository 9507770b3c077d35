"""A prompt's CLAP embedding, with the text encoder of a pipeline's folder.

The only part of a conversion that runs PyTorch; transformers does the work.
"""

import pathlib

import numpy as np

from lsaprobe_jax.models.files import pipeline_files

# The encoders of MusicLDM and of AudioLDM: the file names one, and no other class runs.
_ENCODERS = ("ClapModel", "ClapTextModelWithProjection")
# CLAP's; a tokenizer that says nothing has 10^30.
_MOST_TOKENS = 512


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
  index = pipeline_files.read_json(folder / "model_index.json")
  for part in ("text_encoder", "tokenizer"):
    if not (folder / part).is_dir() or not index.get(part):
      raise ValueError(f"a prompt needs {part}, which {folder} does not have")
  kind = index["text_encoder"][1]
  if kind not in _ENCODERS:
    known = " or ".join(_ENCODERS)
    raise ValueError(f"a prompt needs a text encoder that is a {known}")
  try:
    import torch
    import transformers
  except ImportError as error:
    raise ValueError(
      f"a prompt needs PyTorch and transformers ({error}); pip install the extra"
      " [parity], or give an embedding in a .npy file"
    ) from error
  encoder = getattr(transformers, kind).from_pretrained(
    folder / "text_encoder", use_safetensors=True, trust_remote_code=False
  )
  tokenizer = transformers.AutoTokenizer.from_pretrained(
    folder / "tokenizer", trust_remote_code=False
  )
  tokens = tokenizer(
    prompt,
    padding="max_length",
    max_length=min(tokenizer.model_max_length, _MOST_TOKENS),
    truncation=True,
    return_tensors="pt",
  )
  inputs = {name: tokens[name] for name in ("input_ids", "attention_mask")}
  with torch.no_grad():
    if hasattr(encoder, "get_text_features"):  # ClapModel, of MusicLDM
      found = encoder.get_text_features(**inputs)
      # Since transformers 5 an object with the embedding inside.
      found = getattr(found, "pooler_output", found)
    else:  # ClapTextModelWithProjection, of AudioLDM
      found = encoder(**inputs).text_embeds
  embedding = found[0].float()
  return (embedding / embedding.norm()).numpy()
