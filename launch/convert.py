"""Converts a published PyTorch checkpoint into a model folder.

python -m launch.convert --source=weights.pt --output=DIR
python -m launch.convert --source=PIPELINE_FOLDER --output=DIR [--prompt="..."]
  [--embedding=FILE.npy]

Reads the `.pt` files of LMNT's DiffWave, and MusicLDM and AudioLDM pipelines that
diffusers saved in safetensors (a folder, or a name on the Hugging Face hub), without
PyTorch and without running anything that the files contain. Only `--prompt` runs
PyTorch, once: the embedding is stored beside the weights. See docs/musicldm.md.
"""

import pathlib
import re
from typing import Any

import numpy as np
from absl import app, flags, logging

from launch import clap
from lsaprobe_jax import checkpoints, torch_reader
from lsaprobe_jax.models import generator as generators
from lsaprobe_jax.models import porting
from lsaprobe_jax.models.musicldm import porting as pipelines

_SOURCE = flags.DEFINE_string(
  "source",
  None,
  "A DiffWave .pt file, or the folder or hub name of a MusicLDM or AudioLDM pipeline.",
  required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "The model folder.", required=True)
_PROMPT = flags.DEFINE_string(
  "prompt", None, "Text that the pipeline is conditioned on; empty for the empty text."
)
_EMBEDDING = flags.DEFINE_string(
  "embedding", None, "A .npy file with the CLAP embedding to condition on."
)

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name

_Converted = tuple[Any, dict[str, Any], dict[str, Any]]


def _convert_diffwave(source: pathlib.Path) -> _Converted:
  """Parameters, model configuration and training record of an LMNT checkpoint."""
  if _PROMPT.value is not None or _EMBEDDING.value is not None:
    raise ValueError("a DiffWave takes no --prompt or --embedding")
  checkpoint = torch_reader.read_state_dict(source)
  for key in ("model", "params"):
    if not isinstance(checkpoint.get(key), dict):
      raise ValueError(f"no {key!r} in it: not a checkpoint of LMNT's DiffWave")
  model = porting.diffwave_model_config(checkpoint["params"], checkpoint["model"])
  params = porting.diffwave_params(checkpoint["model"])
  return params, model, {"steps": checkpoint.get("step")}


def _convert_pipeline(folder: pathlib.Path) -> _Converted:
  """Parameters, model configuration and training record of a diffusers pipeline."""
  params, model = pipelines.read_pipeline(folder)
  if _PROMPT.value is not None and _EMBEDDING.value is not None:
    raise ValueError("give --prompt or --embedding, not both")
  if _PROMPT.value is not None:
    condition = {"prompt": _PROMPT.value}
    embedding = clap.embed_prompt(folder, _PROMPT.value)
  elif _EMBEDDING.value is not None:
    condition = {"embedding": pathlib.Path(_EMBEDDING.value).name}
    embedding = np.load(_EMBEDDING.value, allow_pickle=False)
  else:
    return params, model, {"condition": "zero"}
  if "conditioning" not in params:
    raise ValueError("its UNet is unconditional: it takes no --prompt or --embedding")
  embedding = np.asarray(embedding, np.float32).squeeze()
  wanted = params["conditioning"]["embedding"].shape
  if embedding.shape != wanted:
    raise ValueError(
      f"the embedding has shape {embedding.shape}, the UNet takes {wanted}"
    )
  params["conditioning"]["embedding"] = embedding
  return params, model, {"condition": condition}


def _download(name: str) -> pathlib.Path:
  """Folder of a pipeline on the Hugging Face hub; only what conversion reads."""
  try:
    import huggingface_hub
  except ImportError as error:
    raise ValueError(
      "no such file or folder. To read it as a name on the Hugging Face hub, pip"
      " install huggingface_hub; or download the pipeline elsewhere and give its folder"
    ) from error
  weights = [f"{part}/{stem}.safetensors" for part, stem in pipelines.WEIGHTS.items()]
  text = ["text_encoder/model.safetensors", "tokenizer/*"] * (_PROMPT.value is not None)
  try:
    return pathlib.Path(
      huggingface_hub.snapshot_download(
        name, allow_patterns=["*.json", "*/*.json", *weights, *text]
      )
    )
  # What it raises without a network, or for a wrong name, differs by its version.
  except Exception as error:
    raise ValueError(
      f"neither a file nor a folder, nor can it be had from the Hugging Face hub"
      f" ({type(error).__name__}: {str(error).splitlines()[0]}); download the pipeline"
      " where there is a network and give its folder"
    ) from error


def _convert(source: str) -> _Converted:
  path = pathlib.Path(source)
  if path.is_dir():
    params, model, training = _convert_pipeline(path)
  elif not path.exists() and not path.suffix and _HUB_NAME.fullmatch(source):
    params, model, training = _convert_pipeline(_download(source))
    return params, model, {"converted_from": source} | training
  else:
    params, model, training = _convert_diffwave(path)
  return params, model, {"converted_from": path.name} | training


def main(argv):
  """Converts the checkpoint."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  source, output = _SOURCE.value, pathlib.Path(_OUTPUT.value)
  if output.exists() and not output.is_dir():
    raise app.UsageError(f"--output={output} is a file; name a folder to write to")
  try:
    params, model, training = _convert(source)
    checkpoints.check_fit(params, generators.abstract_params(model), source)
  except (ValueError, OSError, KeyError) as error:
    raise app.UsageError(f"--source={source}: {error}") from error
  checkpoints.save_model(output, params, model, training)
  logging.info("wrote %s", output)


if __name__ == "__main__":
  app.run(main)
