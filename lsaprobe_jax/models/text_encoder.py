"""The text encoder of a pipeline's folder, which embeds a prompt once.

The only part of a conversion that runs PyTorch; transformers does the work.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from lsaprobe_jax.models.files import pipeline_files
from lsaprobe_jax.text import printable

# CLAP's and T5's; a tokenizer that says nothing has 10^30.
_MOST_TOKENS = 512


def load(
  folder: pathlib.Path, prompt: str, known: Sequence[str], instead: str = ""
) -> tuple[Any, dict[str, Any]]:
  """Loads a folder's text encoder, and reads a prompt into tokens.

  Args:
    folder: as of `load_parts`, as are `known`, `instead` and what is raised.
    prompt: any text.
    known: classes of encoders.
    instead: what may be given where PyTorch is missing.

  Returns:
    The encoder, and `input_ids` and `attention_mask` [1, tokens], padded.
  """
  encoder, tokenizer = load_parts(folder, known, instead)
  tokens = tokenizer(
    prompt,
    padding="max_length",
    max_length=min(tokenizer.model_max_length, _MOST_TOKENS),
    truncation=True,
    return_tensors="pt",
  )
  return encoder, {name: tokens[name] for name in ("input_ids", "attention_mask")}


def load_parts(
  folder: pathlib.Path, known: Sequence[str], instead: str = ""
) -> tuple[Any, Any]:
  """Loads a folder's text encoder and its tokenizer.

  Args:
    folder: of the pipeline, with `text_encoder` and `tokenizer`.
    known: classes of encoders; the folder names one, and no other class runs.
    instead: what a message says may be given where PyTorch is missing.

  Returns:
    (the encoder, the tokenizer).

  Raises:
    ValueError: the folder has no text encoder, or one of another class, or transformers
      is not installed.
  """
  index = pipeline_files.read_json(folder / "model_index.json")
  for part in ("text_encoder", "tokenizer"):
    if not (folder / part).is_dir() or not index.get(part):
      raise ValueError(
        f"a prompt needs {part}, which {printable(folder)} does not have"
      )
  kind = index["text_encoder"][1]
  if kind not in known:
    raise ValueError(f"a prompt needs a text encoder that is a {' or '.join(known)}")
  try:
    import torch
    import transformers
  except ImportError as error:
    raise ValueError(
      f"a prompt needs PyTorch and transformers ({error}); pip install the extra"
      f" [parity]{instead}"
    ) from error
  where = folder / "text_encoder"
  if (where / "adapter_config.json").exists():
    raise ValueError(f"{printable(where)} is an adapter; merge it, and save it again")
  # A folder is never a download, whatever its files name.
  local = {"trust_remote_code": False, "local_files_only": True}
  encoder = getattr(transformers, kind).from_pretrained(
    where,
    use_safetensors=True,
    variant=pipeline_files.variant(where, "model"),
    dtype=torch.float32,
    **local,
  )
  tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer", **local)
  return encoder, tokenizer
