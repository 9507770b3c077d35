"""Published PyTorch checkpoints as model folders, read without PyTorch."""

import hashlib
import json
import os
import pathlib
import re
import tempfile
from typing import Any, NamedTuple

import jax
from absl import logging

from lsaprobe_jax import __version__
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models import checkpoints, hub, pipelines, registry, schedules
from lsaprobe_jax.models.diffwave import porting as diffwave
from lsaprobe_jax.models.files import foreign, tensors
from lsaprobe_jax.models.files import lora as lora_files
from lsaprobe_jax.text import printable

CACHE = "~/.cache/lsaprobe_jax/models"
_LONGEST_SHOWN = 2000
_LONGEST_STEM = 100


class Converted(NamedTuple):
  """A checkpoint that has been read.

  Attributes:
    params: its parameters under our names.
    model: the model configuration (`models.registry`).
    training: the record of where it comes from.
  """

  params: Any
  model: dict[str, Any]
  training: dict[str, Any]


def convert(
  source: str | os.PathLike,
  output: str | os.PathLike,
  *,
  prompt: str | None = None,
  embedding: str | os.PathLike | None = None,
  lora: str | os.PathLike | None = None,
  lora_scale: float = 1.0,
) -> pathlib.Path:
  """Writes a published checkpoint as a model folder.

  Nothing that the source's files contain is run. PyTorch is needed for a prompt alone,
  which transformers embeds; the embedding is stored beside the weights.

  Args:
    source: a DiffWave `.pt` file of LMNT's, the folder of a MusicLDM, AudioLDM, Stable
      Audio or ACE-Step pipeline that diffusers saved in safetensors, or `hf:owner/name`
      of one on the Hugging Face hub.
    output: the model folder, created if missing.
    prompt: text that a pipeline is conditioned on; the empty one is a text too.
    embedding: a .npy file with the CLAP embedding to condition on instead. Without
      either the condition is an embedding of zeros, or of Stable Audio and ACE-Step
      the pipeline's own null condition.
    lora: a LoRA file or its folder (`models.files.lora`), merged into the pipeline.
    lora_scale: what the LoRA adds is multiplied by it.

  Returns:
    The model folder.

  Raises:
    CheckpointError: the source cannot be read, or its tensors do not fit; the message
      begins with the source.
    ArgumentError: the output is no folder that can be written, or holds another model,
      or the LoRA cannot be used; it begins with the argument.
  """
  source, output = os.fspath(source), pathlib.Path(output)
  if output.exists() and not output.is_dir():
    raise ArgumentError(
      f"output={printable(output)} is a file; name a folder to write to"
    )
  shown = printable(source[:_LONGEST_SHOWN])
  adapter = lora_files.read_given(lora, lora_scale)
  with checkpoints.reading(f"{shown}: {{}}"):
    read = _read(source, prompt, embedding, adapter)
  try:
    checkpoints.save_model(output, *read, replace=False)
  except OSError as error:
    raise ArgumentError(
      f"output={printable(output)} cannot be written: {printable(error)}"
    ) from error
  return output


def find_model(
  name: str | os.PathLike,
  *,
  lora: str | os.PathLike | None = None,
  lora_scale: float = 1.0,
) -> pathlib.Path:
  """Finds the folder of any model, and converts a published one when first named.

  Args:
    name: an embedded model, a model folder, or a source of `convert`. What is converted
      is kept below ~/.cache/lsaprobe_jax/models, under a hash of its source; a pipeline
      is conditioned as `convert` has it without a prompt.
    lora: a LoRA that is merged into a pipeline; see `convert`.
    lora_scale: what the LoRA adds is multiplied by it.

  Raises:
    CheckpointError: there is none, or it cannot be converted; the message begins with
      the name, and says what is there instead where that is known.
    ArgumentError: the LoRA cannot be used, or the model is converted already.
  """
  name = os.fspath(name)
  adapter = lora_files.read_given(lora, lora_scale)
  shown = printable(name[:_LONGEST_SHOWN])
  if owned := hub.name_of(name):
    with checkpoints.reading(f"{shown}: {{}}"):
      folder = _download(owned)
    return _convert_once(folder, owned, name, adapter)
  path = pathlib.Path(name)
  published = os.path.isfile(path) or os.path.isfile(path / pipelines.INDEX_FILE)
  if published and not os.path.isfile(path / checkpoints.MODEL_FILE):
    return _convert_once(path, path.name, name, adapter)
  try:
    folder = checkpoints.find_model(name)
  except checkpoints.CheckpointError as error:
    raise checkpoints.CheckpointError(f"{error}{hub.hint(name)}") from error
  if described := foreign.describe(folder):
    raise checkpoints.CheckpointError(f"{shown}: {described}")
  if adapter is not None:
    _refuse_adapter(adapter, f"{shown} is embedded or converted already")
  return folder


def _read(
  source: str,
  prompt: str | None = None,
  embedding: str | os.PathLike | None = None,
  adapter: lora_files.Adapter | None = None,
  *,
  called: str | None = None,
) -> Converted:
  """Reads a published checkpoint, and compares its tensors with its configuration.

  Args:
    source: see `convert`, as are `prompt` and `embedding`.
    prompt: text to condition on.
    embedding: file to condition on.
    adapter: a LoRA to merge.
    called: what an error about its tensors calls it; its source by default.
  """
  path = pathlib.Path(source)
  if adapter is not None and adapter.text and prompt is not None:
    raise ArgumentError(
      f"lora={adapter.name}: it changes the text encoder too"
      f" ({tensors.shortened(adapter.text)}), which is not merged, and would embed the"
      " prompt; leave out the prompt"
    )
  if owned := hub.name_of(source):
    folder, name = _download(owned, with_text=prompt is not None), owned
    read = _read_pipeline(folder, prompt, embedding, adapter)
  elif not os.path.exists(source):
    raise ValueError(f"no such file or folder{hub.hint(source)}")
  elif described := foreign.describe(path):
    raise ValueError(described)
  elif path.is_dir():
    if adapter is not None and not (path / pipelines.INDEX_FILE).is_file():
      _refuse_adapter(adapter, f"{printable(source)} is no pipeline")
    read, name = _read_pipeline(path, prompt, embedding, adapter), path.name
  else:
    if adapter is not None:
      _refuse_adapter(adapter, f"{printable(source)} is a DiffWave")
    if prompt is not None or embedding is not None:
      raise ValueError("a DiffWave takes no prompt and no embedding")
    read, name = _read_diffwave(path), path.name
  abstract = registry.abstract_params(read.model, len(jax.tree.leaves(read.params)))
  checkpoints.check_fit(read.params, abstract, called or source)
  return read._replace(training={"converted_from": name} | read.training)


def _download(owned: str, with_text: bool = False) -> pathlib.Path:
  """Downloads what is read of a pipeline; variants where a part has no full weights."""
  folder = hub.download(owned, pipelines.file_patterns(with_text))
  if pipelines.lacks_weights(folder):
    folder = hub.download(owned, pipelines.file_patterns(with_text, with_variants=True))
  return folder


def _read_diffwave(path: pathlib.Path) -> Converted:
  """Reads an LMNT checkpoint; the training record holds its steps."""
  state, model, steps = diffwave.read_checkpoint(path)
  registry.check_settings(model)
  if (mels := model["network"].get("mels")) is not None:
    raise ValueError(
      f"it is conditional: it draws a clip from {mels} mel bands of it, as a vocoder"
      " does, and nothing here gives it any; take an unconditional DiffWave"
    )
  schedules.build(model["schedule"])
  return Converted(diffwave.diffwave_params(state), model, {"steps": steps})


def _read_pipeline(
  folder: pathlib.Path,
  prompt: str | None,
  embedding: str | os.PathLike | None,
  adapter: lora_files.Adapter | None,
) -> Converted:
  """Reads a diffusers pipeline; the training record holds its condition and LoRA."""
  params, model, said = pipelines.read(folder, prompt, embedding, adapter)
  record = {} if adapter is None else {"lora": adapter.record}
  return Converted(params, model, {"condition": said} | record)


def _refuse_adapter(adapter: lora_files.Adapter, why: str) -> None:
  raise ArgumentError(
    f"lora={adapter.name}: a LoRA is merged into the pipeline that it was trained on,"
    f" as diffusers saved it, and {why}; give that pipeline's folder or hf:owner/name"
  )


def _convert_once(
  source: pathlib.Path,
  name: str,
  given: str,
  adapter: lora_files.Adapter | None = None,
) -> pathlib.Path:
  """Returns the model folder made of a source, perhaps earlier.

  Args:
    source: the file, or the pipeline's folder.
    name: what the model's record calls it.
    given: what an error calls it.
    adapter: a LoRA to merge.

  Raises:
    CheckpointError: it is no such thing, or cannot be converted.
  """
  if described := foreign.describe(source):
    raise checkpoints.CheckpointError(f"{printable(given)}: {described}")
  cache = pathlib.Path(CACHE).expanduser()
  with checkpoints.reading(f"{printable(given)} cannot be converted: {{}}"):
    stem = re.sub(r"[^\w.-]+", "-", name)[:_LONGEST_STEM]
    target = cache / f"{stem}-{_fingerprint(source, adapter)[:16]}"
    if target.is_dir():
      return target
    logging.info("converting %s into %s", source, target)
    read = _read(str(source), adapter=adapter, called=given)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
      made = pathlib.Path(scratch) / "model"
      record = read.training | {"converted_from": name}
      checkpoints.save_model(made, read.params, read.model, record)
      try:
        made.rename(target)
      except OSError:
        # Another process may have been first, with the same.
        if not target.is_dir():
          raise
    return target


def _fingerprint(
  source: pathlib.Path, adapter: lora_files.Adapter | None = None
) -> str:
  """Hash of the files that a conversion reads, and of the version that reads them."""
  paths = [source]
  if source.is_dir():
    patterns = pipelines.file_patterns(with_variants=True)
    paths = [path for pattern in patterns for path in source.glob(pattern)]
  found = hashlib.sha256(__version__.encode())
  for path in sorted({path for path in paths if path.is_file()}):
    found.update(os.fsencode(path.relative_to(source)))
    with path.open("rb") as file:
      found.update(hashlib.file_digest(file, "sha256").digest())
  if adapter is not None:
    found.update(json.dumps(adapter.record, sort_keys=True).encode())
  return found.hexdigest()
