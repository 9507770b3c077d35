"""Pipelines on the Hugging Face hub, which `hf:owner/name` names."""

import pathlib
import re
from collections.abc import Sequence

from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.text import first_line, printable

# What is looked up on the hub says so: a mistyped folder must never become a download.
PREFIX = "hf:"
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")  # owner/name
_LONGEST_SHOWN = 2000


def name_of(source: str) -> str | None:
  """Returns owner/name of a source on the hub, and None of any other source.

  Raises:
    CheckpointError: what follows `hf:` is no such name.
  """
  if not source.startswith(PREFIX):
    return None
  found = source.removeprefix(PREFIX)
  if not _NAME.fullmatch(found):
    shown = printable(source[:_LONGEST_SHOWN])
    raise checkpoints.CheckpointError(
      f"{shown}: a name on the Hugging Face hub is {PREFIX}owner/name"
    )
  return found


def hint(source: str) -> str:
  """Returns what to write for the hub, behind a message about what is no folder."""
  if not _NAME.fullmatch(source):
    return ""
  return f"; for the Hugging Face hub write {PREFIX}{source}"


def download(name: str, patterns: Sequence[str]) -> pathlib.Path:
  """Downloads a part of a pipeline, or finds it in the hub's own cache.

  Args:
    name: owner/name.
    patterns: of the files to fetch.

  Returns:
    The folder of the pipeline.

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
  try:
    return pathlib.Path(
      huggingface_hub.snapshot_download(name, allow_patterns=list(patterns))
    )
  # What it raises without a network, or for a wrong name, differs by its version.
  except Exception as error:
    raise ValueError(
      f"it cannot be had from the Hugging Face hub ({type(error).__name__}:"
      f" {first_line(error)}); download the pipeline where there is a network and give"
      " its folder"
    ) from error
