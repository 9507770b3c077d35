"""The weights that a training begins with: fresh, of parts, or of a whole model."""

import dataclasses
from typing import Any

import jax

from lsaprobe_jax.errors import LsaProbeError, SettingError
from lsaprobe_jax.models import checkpoints, conversion, registry
from lsaprobe_jax.training.settings import TrainSettings

_FRONT_END = ("sample_rate", "mel")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartingWeights:
  """Weights to train on from, and where they come from.

  Attributes:
    params: of all networks of the model.
    model: the model's configuration (`models.registry.build_model`).
    sources: hashes of the weights that come from elsewhere, by the setting's part.
    initial: the record of the model that is trained on from; None for random weights.
  """

  params: Any
  model: dict[str, Any]
  sources: dict[str, str]
  initial: dict[str, Any] | None = None


def starting_weights(settings: TrainSettings) -> StartingWeights:
  """Draws or reads the weights that the settings ask for.

  Raises:
    SettingError: `model`, `parts` or `initial` cannot be used.
  """
  model = settings.to_dict()["model"]
  if settings.initial:
    return _of_model(settings, model)
  key = jax.random.fold_in(jax.random.key(settings.seed), 0)
  try:
    params = registry.init_params(model, key)
  except ValueError as error:
    raise SettingError(f"model: {error}") from error
  sources = {}
  for name, folder in settings.parts.items():
    params[name], model[name], sources[name] = _part(name, folder, model)
  return StartingWeights(params=params, model=model, sources=sources)


def _of_model(settings: TrainSettings, model: dict[str, Any]) -> StartingWeights:
  """Weights of a whole model, of the same configuration but for its parts."""
  folder = settings.initial
  params, record = _load("initial", folder)
  found = record["model"]
  for name in sorted({*found, *model} - {*settings.parts}):
    # A converted pipeline has the rate in its VAE's configuration alone.
    if name == "sample_rate" and name not in found:
      continue
    if found.get(name) != model.get(name):
      raise SettingError(
        f"initial={folder}: its {name} is not that of `model`:"
        f" {found.get(name)!s:.100} and {model.get(name)!s:.100}"
      )
  try:
    expected = registry.abstract_params(found, len(jax.tree.leaves(params)))
    checkpoints.check_fit(params, expected, folder)
  except ValueError as error:
    raise SettingError(f"initial: {error}") from error
  sources = {"initial": record["weights_sha256"]}
  return StartingWeights(params=params, model=found, sources=sources, initial=record)


def _part(
  name: str, folder: str, model: dict[str, Any]
) -> tuple[Any, dict[str, Any], str]:
  """Weights, configuration and hash of a network that an earlier training exported."""
  params, record = _load(f"parts.{name}", folder)
  found = record["model"]
  if name not in params or name not in found:
    known = [part for part in params if part in found]
    raise SettingError(f"parts.{name}: {folder}: has no {name}, but {known}")
  # What it was trained to encode or to decode.
  for key in _FRONT_END:
    if key in found and key in model and found[key] != model[key]:
      raise SettingError(
        f"parts.{name}: {folder}: its {key} is not that of `model`:"
        f" {found[key]!s:.200} and {model[key]!s:.200}"
      )
  return params[name], found[name], record["weights_sha256"]


def _load(setting: str, source: str) -> tuple[Any, dict[str, Any]]:
  """Weights and record of a model that a setting names."""
  try:
    return checkpoints.load_model(conversion.find_model(source))
  except LsaProbeError as error:
    raise SettingError(f"{setting}: {error}") from error
