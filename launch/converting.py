"""Published PyTorch checkpoints as models, read without PyTorch. Reads no flags."""

import hashlib
import os
import pathlib
import re
import tempfile
from typing import Any

import numpy as np
from absl import logging

import lsaprobe_jax
from launch import clap
from lsaprobe_jax import checkpoints, torch_reader
from lsaprobe_jax.models import generator as generators
from lsaprobe_jax.models import porting
from lsaprobe_jax.models.musicldm import porting as pipelines
from lsaprobe_jax.results import first_line

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name
CACHE = "~/.cache/lsaprobe_jax/models"

# Parameters, model configuration and training record.
Converted = tuple[Any, dict[str, Any], dict[str, Any]]


def convert(
  source: str, prompt: str | None = None, embedding: str | None = None
) -> Converted:
  """Reads a published checkpoint.

  Args:
    source: a DiffWave .pt file of LMNT's, or the folder or hub name of a MusicLDM or
      AudioLDM pipeline.
    prompt: text that a pipeline is conditioned on; None for an embedding of zeros.
    embedding: a .npy file with the CLAP embedding to condition on instead.

  Raises:
    ValueError, OSError: it cannot be read, or its tensors do not fit.
  """
  try:
    return _convert(source, prompt, embedding)
  except (ValueError, OSError):
    raise
  # Sizes that make no network: what flax and jax raise on them is almost anything.
  except Exception as error:
    raise ValueError(
      f"its files do not describe a model ({type(error).__name__}: {first_line(error)})"
    ) from error


def _convert(source: str, prompt: str | None, embedding: str | None) -> Converted:
  path = pathlib.Path(source)
  if path.is_dir():
    params, model, training = _convert_pipeline(path, prompt, embedding)
    name = path.name
  elif _is_hub_name(source):
    folder = download(source, with_text=prompt is not None)
    params, model, training = _convert_pipeline(folder, prompt, embedding)
    name = source
  else:
    if prompt is not None or embedding is not None:
      raise ValueError("a DiffWave takes no --prompt or --embedding")
    params, model, training = _convert_diffwave(path)
    name = path.name
  checkpoints.check_fit(params, generators.abstract_params(model), source)
  return params, model, {"converted_from": name} | training


def find_model(name: str) -> pathlib.Path:
  """The folder of any model: a published checkpoint is converted when first named.

  Args:
    name: an embedded model, a model folder, or a source of `convert`. What was
      converted is kept below ~/.cache/lsaprobe_jax/models, under a hash of its source;
      a pipeline is conditioned on an embedding of zeros.

  Raises:
    CheckpointError: there is none, or it cannot be converted.
  """
  path = pathlib.Path(name)
  published = os.path.isfile(path) or os.path.isfile(path / pipelines.INDEX_FILE)
  if published and not os.path.isfile(path / checkpoints.MODEL_FILE):
    return _converted(path, path.name, name)
  try:
    return checkpoints.find_model(name)
  except checkpoints.CheckpointError as absent:
    if not _is_hub_name(name):
      raise
    try:
      folder = download(name)
    except ValueError as error:
      raise checkpoints.CheckpointError(f"{absent}; {error}") from error
  return _converted(folder, name, name)


def download(name: str, *, with_text: bool = False) -> pathlib.Path:
  """Folder of a pipeline on the Hugging Face hub; only what conversion reads.

  Args:
    name: owner/name.
    with_text: also the text encoder, which a prompt needs.

  Raises:
    ValueError: it cannot be had.
  """
  try:
    import huggingface_hub
  except ImportError as error:
    raise ValueError(
      "no such file or folder. To read it as a name on the Hugging Face hub, pip"
      " install huggingface_hub; or download the pipeline elsewhere and give its folder"
    ) from error
  weights = [f"{part}/{stem}.safetensors" for part, stem in pipelines.WEIGHTS.items()]
  text = ["text_encoder/model.safetensors", "tokenizer/*"] * with_text
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
      f" ({type(error).__name__}: {first_line(error)}); download the pipeline"
      " where there is a network and give its folder"
    ) from error


def _is_hub_name(name: str) -> bool:
  path = pathlib.Path(name)
  # Unlike pathlib's, it says no to a name that is too long.
  there = os.path.exists(name)
  return bool(_HUB_NAME.fullmatch(name)) and not path.suffix and not there


def _converted(source: pathlib.Path, name: str, given: str) -> pathlib.Path:
  """The model folder made of a file or a pipeline's folder, perhaps earlier.

  Args:
    source: the file or folder.
    name: what the model's record calls it.
    given: what an error calls it.
  """
  cache = pathlib.Path(CACHE).expanduser()
  try:
    stem = re.sub(r"[^\w.-]+", "-", name)
    target = cache / f"{stem}-{_fingerprint(source)[:16]}"
    if target.is_dir():
      return target
    logging.info("converting %s into %s", source, target)
    params, model, training = convert(str(source))
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
      made = pathlib.Path(scratch) / "model"
      record = training | {"converted_from": name}
      checkpoints.save_model(made, params, model, record)
      try:
        made.rename(target)
      except OSError:
        # Another process may have been first, with the same.
        if not target.is_dir():
          raise
  except (ValueError, OSError) as error:
    line = " ".join(str(error).split())
    raise checkpoints.CheckpointError(f"{given} cannot be converted: {line}") from error
  return target


def _fingerprint(source: pathlib.Path) -> str:
  """Hash of the files that a conversion reads, and of the version that reads them."""
  paths = [source]
  if source.is_dir():
    paths = [*source.glob("*.json"), *source.glob("*/*.json")]
    paths += [source / p / f"{s}.safetensors" for p, s in pipelines.WEIGHTS.items()]
  found = hashlib.sha256(lsaprobe_jax.__version__.encode())
  for path in sorted(path for path in paths if path.is_file()):
    found.update(str(path.relative_to(source)).encode())
    with path.open("rb") as file:
      found.update(hashlib.file_digest(file, "sha256").digest())
  return found.hexdigest()


def _convert_diffwave(source: pathlib.Path) -> Converted:
  """An LMNT checkpoint; the training record holds its steps."""
  checkpoint = torch_reader.read_state_dict(source)
  for key in ("model", "params"):
    if not isinstance(checkpoint.get(key), dict):
      raise ValueError(f"no {key!r} in it: not a checkpoint of LMNT's DiffWave")
  model = porting.diffwave_model_config(checkpoint["params"], checkpoint["model"])
  params = porting.diffwave_params(checkpoint["model"])
  return params, model, {"steps": checkpoint.get("step")}


def _convert_pipeline(
  folder: pathlib.Path, prompt: str | None, embedding: str | None
) -> Converted:
  """A diffusers pipeline; the training record holds its condition."""
  params, model = pipelines.read_pipeline(folder)
  if prompt is not None and embedding is not None:
    raise ValueError("give --prompt or --embedding, not both")
  if prompt is not None:
    condition = {"prompt": prompt}
    values = clap.embed_prompt(folder, prompt)
  elif embedding is not None:
    condition = {"embedding": pathlib.Path(embedding).name}
    values = np.load(embedding, allow_pickle=False)
  else:
    return params, model, {"condition": "zero"}
  if "conditioning" not in params:
    raise ValueError("its UNet is unconditional: it takes no --prompt or --embedding")
  values = np.asarray(values, np.float32).squeeze()
  wanted = params["conditioning"]["embedding"].shape
  if values.shape != wanted:
    raise ValueError(f"the embedding has shape {values.shape}, the UNet takes {wanted}")
  params["conditioning"]["embedding"] = values
  return params, model, {"condition": condition}
