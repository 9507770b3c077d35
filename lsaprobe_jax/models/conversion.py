"""Published PyTorch checkpoints as models, read without PyTorch. Reads no flags."""

import hashlib
import os
import pathlib
import re
import tempfile
from typing import Any

import jax
import numpy as np
from absl import logging

import lsaprobe_jax
from lsaprobe_jax.models import checkpoints, porting, registry
from lsaprobe_jax.models.files import foreign, tensors, torch_reader
from lsaprobe_jax.models.musicldm import clap
from lsaprobe_jax.models.musicldm import porting as pipelines
from lsaprobe_jax.text import first_line, printable

# What is looked up on the Hugging Face hub says so: a mistyped folder must never become
# a download.
HUB = "hf:"
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # owner/name
CACHE = "~/.cache/lsaprobe_jax/models"
_LONGEST_STEM = 100

# Parameters, model configuration and training record.
Converted = tuple[Any, dict[str, Any], dict[str, Any]]


def convert(
  source: str, prompt: str | None = None, embedding: str | None = None
) -> Converted:
  """Reads a published checkpoint.

  Args:
    source: a DiffWave .pt file of LMNT's, the folder of a MusicLDM or AudioLDM
      pipeline, or `hf:owner/name` of one on the Hugging Face hub.
    prompt: text that a pipeline is conditioned on; None for an embedding of zeros.
    embedding: a .npy file with the CLAP embedding to condition on instead.

  Raises:
    CheckpointError: it cannot be read, or its tensors do not fit; one line that names
      neither.
  """
  with checkpoints.reading("{}"):
    return _convert(source, prompt, embedding)


def _convert(source: str, prompt: str | None, embedding: str | None) -> Converted:
  path = pathlib.Path(source)
  if hub := _hub_name(source):
    folder, name = download(hub, with_text=prompt is not None), hub
    params, model, training = _convert_pipeline(folder, prompt, embedding)
  elif not os.path.exists(source):
    raise checkpoints.CheckpointError(f"no such file or folder{_hub_hint(source)}")
  elif described := foreign.describe(path):
    raise checkpoints.CheckpointError(described)
  elif path.is_dir():
    params, model, training = _convert_pipeline(path, prompt, embedding)
    name = path.name
  else:
    if prompt is not None or embedding is not None:
      raise ValueError("a DiffWave takes no --prompt or --embedding")
    params, model, training = _convert_diffwave(path)
    name = path.name
  abstract = registry.abstract_params(model, len(jax.tree.leaves(params)))
  checkpoints.check_fit(params, abstract, source)
  return params, model, {"converted_from": name} | training


def find_model(name: str) -> pathlib.Path:
  """The folder of any model: a published checkpoint is converted when first named.

  Args:
    name: an embedded model, a model folder, or a source of `convert`. What was
      converted is kept below ~/.cache/lsaprobe_jax/models, under a hash of its source;
      a pipeline is conditioned on an embedding of zeros.

  Raises:
    CheckpointError: there is none, or it cannot be converted; says what is there
      instead, where that is known.
  """
  shown = printable(str(name)[:_LONGEST_STEM])
  if hub := _hub_name(name):
    with checkpoints.reading(f"{shown}: {{}}"):
      folder = download(hub)
    return _converted(folder, hub, name)
  path = pathlib.Path(name)
  published = os.path.isfile(path) or os.path.isfile(path / pipelines.INDEX_FILE)
  if published and not os.path.isfile(path / checkpoints.MODEL_FILE):
    return _converted(path, path.name, name)
  try:
    folder = checkpoints.find_model(name)
  except checkpoints.CheckpointError as error:
    raise checkpoints.CheckpointError(f"{error}{_hub_hint(name)}") from error
  if described := foreign.describe(folder):
    raise checkpoints.CheckpointError(f"{shown}: {described}")
  return folder


def _hub_name(name: str) -> str | None:
  """owner/name of a name on the hub, None of any other name.

  Raises:
    CheckpointError: what follows `hf:` is none.
  """
  if not name.startswith(HUB):
    return None
  found = name.removeprefix(HUB)
  if not _HUB_NAME.fullmatch(found):
    shown = printable(name[:_LONGEST_STEM])
    raise checkpoints.CheckpointError(
      f"{shown}: a name on the Hugging Face hub is {HUB}owner/name"
    )
  return found


def _hub_hint(name: str) -> str:
  """What to write for the hub, behind a message about a name that is no folder."""
  if not _HUB_NAME.fullmatch(name):
    return ""
  return f"; for the Hugging Face hub write {HUB}{name}"


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
      "to read from the Hugging Face hub, pip install huggingface_hub; or download the"
      " pipeline elsewhere and give its folder"
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
      f"it cannot be had from the Hugging Face hub ({type(error).__name__}:"
      f" {first_line(error)}); download the pipeline where there is a network and give"
      " its folder"
    ) from error


def _converted(source: pathlib.Path, name: str, given: str) -> pathlib.Path:
  """The model folder made of a file or a pipeline's folder, perhaps earlier.

  Args:
    source: the file or folder.
    name: what the model's record calls it.
    given: what an error calls it.

  Raises:
    CheckpointError: it is no such thing, or cannot be converted.
  """
  if described := foreign.describe(source):
    raise checkpoints.CheckpointError(f"{printable(given)}: {described}")
  cache = pathlib.Path(CACHE).expanduser()
  with checkpoints.reading(f"{printable(given)} cannot be converted: {{}}"):
    stem = re.sub(r"[^\w.-]+", "-", name)[:_LONGEST_STEM]
    target = cache / f"{stem}-{_fingerprint(source)[:16]}"
    if target.is_dir():
      return target
    logging.info("converting %s into %s", source, target)
    try:
      params, model, training = convert(str(source))
    # Its line does not say which.
    except checkpoints.CheckpointError as error:
      raise ValueError(str(error)) from error
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
    return target


def _fingerprint(source: pathlib.Path) -> str:
  """Hash of the files that a conversion reads, and of the version that reads them."""
  paths = [source]
  if source.is_dir():
    paths = [*source.glob("*.json"), *source.glob("*/*.json")]
    paths += [source / p / f"{s}.safetensors" for p, s in pipelines.WEIGHTS.items()]
  found = hashlib.sha256(lsaprobe_jax.__version__.encode())
  for path in sorted(path for path in paths if path.is_file()):
    found.update(os.fsencode(path.relative_to(source)))
    with path.open("rb") as file:
      found.update(hashlib.file_digest(file, "sha256").digest())
  return found.hexdigest()


def _convert_diffwave(source: pathlib.Path) -> Converted:
  """An LMNT checkpoint; the training record holds its steps."""
  checkpoint = torch_reader.read_state_dict(source)
  for key in ("model", "params"):
    if not isinstance(checkpoint.get(key), dict):
      raise ValueError(
        foreign.describe_tree(checkpoint)
        or f"no {key!r} in it, but {tensors.shortened(checkpoint)}: not a checkpoint of"
        " LMNT's DiffWave"
      )
  model = porting.diffwave_model_config(checkpoint["params"], checkpoint["model"])
  registry.check_settings(model)
  registry.build_schedule(model)
  params = porting.diffwave_params(checkpoint["model"])
  steps = porting.plain(checkpoint.get("step"))
  return params, model, {"steps": steps if type(steps) is int else None}


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
  values = tensors.weight("the embedding", values).squeeze()
  wanted = params["conditioning"]["embedding"].shape
  if values.shape != wanted:
    raise ValueError(f"the embedding has shape {values.shape}, the UNet takes {wanted}")
  params["conditioning"]["embedding"] = values
  return params, model, {"condition": condition}
