"""A prompt's CLAP embedding, with the text encoder of a pipeline's folder.

The only part of a conversion that runs PyTorch; transformers does the work.
"""

import json
import pathlib

import numpy as np

from lsaprobe_jax.models.musicldm import porting as pipelines


def embed_prompt(folder: pathlib.Path, prompt: str) -> np.ndarray:
  """What diffusers' MusicLDM and AudioLDM pipelines condition on.

  Args:
    folder: of the pipeline, with `text_encoder` and `tokenizer`.
    prompt: any text; the empty one is what the pipelines guide away from.

  Returns:
    Embedding of length one, float32 [width].

  Raises:
    ValueError: the folder has no text encoder, or transformers is not installed.
  """
  index = json.loads((folder / pipelines.INDEX_FILE).read_text())
  for part in ("text_encoder", "tokenizer"):
    if not (folder / part).is_dir() or not index.get(part):
      raise ValueError(f"--prompt needs {part}, which {folder} does not have")
  try:
    import torch
    import transformers
  except ImportError as error:
    raise ValueError(
      f"--prompt needs PyTorch and transformers ({error}); pip install the extra"
      " [parity], or give an embedding by --embedding=FILE.npy"
    ) from error
  encoder = getattr(transformers, index["text_encoder"][1]).from_pretrained(
    folder / "text_encoder", use_safetensors=True
  )
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
  tokens = tokenizer(
    prompt,
    padding="max_length",
    max_length=tokenizer.model_max_length,
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
