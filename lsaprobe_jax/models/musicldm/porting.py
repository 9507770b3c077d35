"""Pipelines that diffusers saved onto our parameters, name by name.

Only JSON and safetensors are read, so nothing in the folder can run code.
"""

import pathlib
import re
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from lsaprobe_jax import strict_json
from lsaprobe_jax.models.files import safetensors_reader, tensors
from lsaprobe_jax.models.musicldm import family, scheduler, vocoder
from lsaprobe_jax.text import printable

INDEX_FILE = "model_index.json"
PIPELINES = ("MusicLDMPipeline", "AudioLDMPipeline")
# The part's folder, and its weights as diffusers or transformers name them.
WEIGHTS = {
  "unet": "diffusion_pytorch_model",
  "vae": "diffusion_pytorch_model",
  "vocoder": "model",
}
_MOST_JSON_BYTES = 1 << 24
# AudioLDM's training front end; what of it a pipeline's files say is read from there.
_MEL = {"fft_size": 1024, "low": 0.0, "floor": 1e-5, "peak": 0.5}

# Attention in VAEs saved before diffusers 0.15.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_NORMS = re.compile(r"norm\w*$")


def file_patterns(with_text: bool = False) -> list[str]:
  """Returns patterns of the files of a pipeline that are read.

  Args:
    with_text: also the text encoder, which a prompt needs.
  """
  weights = [f"{part}/{stem}.safetensors" for part, stem in WEIGHTS.items()]
  text = ["text_encoder/model.safetensors", "tokenizer/*"] * with_text
  return ["*.json", "*/*.json", *weights, *text]


def fold_weight_norm(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Returns weights for the pairs (g, v) that weight normalisation stores.

  `w = g v / ||v||`, the norm over all axes but the first. Both spellings are known:
  `weight_g`, `weight_v`, and `parametrizations.weight.original0`, `original1`.

  Raises:
    ValueError: one of a pair is missing, or they do not fit.
  """
  folded = dict(state)
  for magnitude, direction in (
    ("weight_g", "weight_v"),
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
  ):
    for name in [name for name in state if name.endswith(f".{magnitude}")]:
      stem = name.removesuffix(magnitude)
      if f"{stem}{direction}" not in folded:
        shown = f"{printable(name)} lacks {printable(stem)}{direction}"
        raise ValueError(f"weight normalisation: {shown}")
      if f"{stem}weight" in folded:
        raise ValueError(f"two tensors are both {printable(stem)}weight")
      g = np.asarray(folded.pop(name), np.float64)
      v = np.asarray(folded.pop(f"{stem}{direction}"), np.float64)
      if v.ndim == 0 or g.shape != v.shape[:1] + (1,) * (v.ndim - 1):
        raise ValueError(
          f"weight normalisation: {printable(name)} has shape {g.shape}, which is not"
          f" that of one number for each of {v.shape}"
        )
      with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        norm = np.sqrt(np.sum(v**2, axis=tuple(range(1, v.ndim)), keepdims=True))
        folded[f"{stem}weight"] = g * v / norm
  return folded


def _leaf(name: str, value: np.ndarray) -> tuple[str, np.ndarray]:
  """Returns one PyTorch tensor under its Flax name and axis order."""
  layer, _, kind = name.rpartition(".")
  if not layer:  # a buffer of the module itself: the vocoder's mean and scale
    return kind, value
  path = re.sub(r"\.(\d+)", r"_\1", layer).replace(".", "/")
  if kind == "bias":
    return f"{path}/bias", value
  if kind != "weight":
    raise ValueError(f"unexpected tensor {printable(name)!r}")
  if _NORMS.search(path):
    return f"{path}/scale", value
  if re.search(r"(^|/)upsampler_\d+$", path):  # ConvTranspose1d [in, out, width]
    return f"{path}/kernel", np.transpose(value, (2, 1, 0))
  # Linear [out, in], Conv1d [out, in, width], Conv2d [out, in, time, mel]
  return f"{path}/kernel", np.transpose(value, (*range(2, value.ndim), 1, 0))


def module_params(state: Mapping[str, np.ndarray]) -> Any:
  """Returns parameters of one of our modules from a state dict of the original.

  Args:
    state: `{"down_blocks.0.resnets.0.conv1.weight": array, ...}`.

  Raises:
    ValueError: on a tensor of a kind that none of the modules has, or that may not be
      a weight (`tensors.weight`).
  """
  flat = {}
  # Folding divides by a norm: what is folded is checked, not only what was stored.
  for name, value in fold_weight_norm(state).items():
    value = tensors.weight(name, value)
    for old, new in _OLD_NAMES.items():
      name = re.sub(rf"(attentions\.\d+)\.{old}\.", rf"\1.{new}.", name)
    if re.search(r"\.to_(q|k|v|out\.0)\.weight$", name):
      # Older ones still are convolutions of width 1.
      value = value.reshape(value.shape[:2])
    path, array = _leaf(name, value)
    if path in flat:
      raise ValueError(f"two tensors are both {printable(path)}")
    flat[path] = np.ascontiguousarray(array)
  return traverse_util.unflatten_dict(flat, sep="/")


def _read_json(path: pathlib.Path) -> dict[str, Any]:
  try:
    with path.open("rb") as file:
      data = file.read(_MOST_JSON_BYTES + 1)
    if len(data) > _MOST_JSON_BYTES:
      raise ValueError(f"over {_MOST_JSON_BYTES:,} bytes")
    found = strict_json.loads(data)
  except FileNotFoundError as error:
    raise ValueError(f"no {path.name} in {printable(path.parent)}") from error
  except ValueError as error:
    raise ValueError(f"{printable(path)} is damaged ({error})") from error
  if not isinstance(found, dict):
    raise ValueError(f"{printable(path)} is damaged (no table)")
  return found


def _read_weights(folder: pathlib.Path, stem: str) -> dict[str, np.ndarray]:
  path = folder / f"{stem}.safetensors"
  if not path.is_file():
    found = [p.name for p in folder.glob("*") if p.suffix != ".json"]
    sharded = any(p.name.endswith(".index.json") for p in folder.glob("*.json"))
    raise ValueError(
      f"no {path.name} in {printable(folder)} (found: {_listed(found) or 'no weights'}"
      f"{', sharded' * sharded}). Pickled and sharded weights are not read; where"
      " PyTorch is at hand, save the pipeline again with save_pretrained(folder,"
      " safe_serialization=True, max_shard_size='100GB')"
    )
  try:
    return safetensors_reader.read_weights(path)
  # The library in Rust, NumPy and JSON: each raises errors of its own.
  except Exception as error:
    raise ValueError(f"{printable(path)} cannot be read ({error})") from error


def _listed(names: list[str]) -> str:
  """Returns names of files for a message, ten of them."""
  more = [f"and {len(names) - 10:,} more"] if len(names) > 10 else []
  return ", ".join([printable(name) for name in sorted(names)[:10]] + more)


def read_pipeline(folder: str | pathlib.Path) -> tuple[Any, dict[str, Any]]:
  """Reads weights and configuration of a MusicLDM or AudioLDM pipeline's folder.

  Text encoder and tokenizer are not needed, nor is PyTorch. Buffers that a vocoder
  stores without using them (`mean`, `scale`, where `normalize_before` is false) are
  left out.

  Args:
    folder: what `DiffusionPipeline.save_pretrained` wrote.

  Returns:
    (parameters, model configuration) as of `family.MusicLDM`; the condition is zero.

  Raises:
    ValueError: something is missing, damaged or not supported.
  """
  folder = pathlib.Path(folder)
  index = _read_json(folder / INDEX_FILE)
  if index.get("_class_name") not in PIPELINES:
    shown = printable(reprlib.repr(index.get("_class_name")))
    raise ValueError(f"a pipeline of class {shown}; known: {', '.join(PIPELINES)}")
  config = {name: _read_json(folder / name / "config.json") for name in WEIGHTS}
  config["scheduler"] = _read_json(folder / "scheduler" / "scheduler_config.json")
  model = model_config(config)
  family.FAMILY.check_settings(model)
  networks = dict(zip(WEIGHTS, family.build_networks(model), strict=True))
  scheduler.build_schedule(model["scheduler"])
  params = {}
  for name, stem in WEIGHTS.items():
    state = _read_weights(folder / name, stem)
    if name == "vocoder" and not networks[name].normalise:
      state = {k: v for k, v in state.items() if k not in ("mean", "scale")}
    try:
      params[name] = module_params(state)
    except ValueError as error:
      raise ValueError(f"{printable(folder / name)}: {error}") from error
  width = networks["unet"].condition_width
  if width is not None:
    params["conditioning"] = {"embedding": np.zeros(width, np.float32)}
  return params, model


def model_config(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
  """Returns the model configuration of a pipeline.

  Args:
    configs: `unet`, `vae`, `vocoder`, `scheduler`: their JSON files. The mel front
      end's hop, mels and rate follow the vocoder's; the rest is AudioLDM's.
  """
  voice = vocoder.from_config(configs["vocoder"])
  rate = configs["vocoder"].get("sampling_rate", 16000)
  front_end = _MEL | {"hop": voice.hop, "mels": voice.mels, "high": rate / 2}
  parts = {name: dict(configs[name]) for name in (*WEIGHTS, "scheduler")}
  return {"family": "musicldm", **parts, "mel": front_end, "sample_rate": rate}
