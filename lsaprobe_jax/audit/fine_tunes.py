"""A fine-tune under audit: a base with a LoRA, and the base as the reference model."""

import os

from lsaprobe_jax.audit.findings import BY_REFERENCE, CANARY
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models.files import lora as lora_files
from lsaprobe_jax.models.trained import TrainedModel
from lsaprobe_jax.text import printable

Source = str | os.PathLike | TrainedModel
_SHOWN_HASH = 16


def reference_of(
  model: Source,
  reference_model: Source | None,
  lora: str | os.PathLike | None,
  lora_scale: float,
  mode: str,
) -> Source | None:
  """Returns the reference model of an audit, which of a LoRA is its base.

  Args:
    model: the model, or the base of the LoRA.
    reference_model: as it was given, which is taken where it is there.
    lora: the LoRA; None for none.
    lora_scale: what the LoRA is multiplied by.
    mode: of the audit; a reference model takes reference tracks.

  Raises:
    ArgumentError: the model is loaded already, or there is a scale and no LoRA.
  """
  if lora is None:
    lora_files.read_given(None, lora_scale)
    return reference_model
  if isinstance(model, TrainedModel):
    raise ArgumentError(
      "lora: the model is loaded already; give the folder of the pipeline that the LoRA"
      " was trained on, or load it by load_model(folder, lora=...)"
    )
  if reference_model is None and mode == BY_REFERENCE:
    return model
  return reference_model


def notes(
  model: TrainedModel,
  base: Source,
  given: Source | None,
  lora: str | os.PathLike | None,
  mode: str,
) -> list[str]:
  """Says what was merged into the model, and what its reference model is.

  Args:
    model: that is audited.
    base: as the model was named.
    given: the reference model that was given; None for none.
    lora: the LoRA that was given; None where the model has one in it, or none.
    mode: of the audit.
  """
  merged = model.lora
  if merged is None:
    return []
  shown = printable(name_of(base))
  file, digest = (printable(str(merged.get(key))) for key in ("file", "sha256"))
  said = [
    f"the model is {shown} with the LoRA {file} (sha256 {digest[:_SHOWN_HASH]}, scale"
    f" {printable(str(merged.get('scale')))}) merged into it"
  ]
  if merged.get("left_out"):
    said.append(
      f"the LoRA's changes to the {printable(str(merged['left_out']))} are left out,"
      " as no text encoder is run"
    )
  if lora is not None:
    said.append(_of_reference(shown, given, mode))
  return said


def _of_reference(base: str, given: Source | None, mode: str) -> str:
  if given is not None:
    return (
      f"the reference model is {printable(name_of(given))}, as given, and not the"
      f" LoRA's base {base}"
    )
  if mode == BY_REFERENCE:
    return (
      f"the reference model is the LoRA's base, {base} without it: what the base gives"
      " a clip is taken off, so that what is easy for both does not count"
    )
  why = "versions that were held back are compared" if mode == CANARY else (
    "without reference tracks the suspects are compared with their twins"
  )  # fmt: skip
  return f"the LoRA's base {base} is not scored: {why} under the model alone"


def name_of(source: Source, lora: str | os.PathLike | None = None) -> str:
  """Returns what a model is called, with the LoRA that is merged into it."""
  if lora is not None:
    return f"{name_of(source)} with the LoRA {os.fspath(lora)}"
  if isinstance(source, TrainedModel):
    return source.source or source.name
  return os.fspath(source)
