"""diffusers' MusicLDM with our weights: what `benchmarks.fair` compares with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from flax import traverse_util
from torch import Tensor, nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from lsaprobe_jax.models import torch_params

_SCALING_FACTOR = 0.18215  # diffusers' own default


def load(module: nn.Module, params: Any) -> nn.Module:
  """Gives a PyTorch module the weights of ours.

  Args:
    module: the original of one of our networks.
    params: our network's parameters.

  Raises:
    ValueError: a weight has no place in ours.
  """
  flat = traverse_util.flatten_dict(params, sep="/")
  state = {}
  for name, old in module.state_dict().items():
    # Its place is asked of what ports it, which maps the other way.
    (path,) = traverse_util.flatten_dict(
      torch_params.module_params({name: np.zeros(old.shape, np.float32)}), sep="/"
    )
    if path not in flat:
      if path in ("mean", "scale"):  # A vocoder has them, and need not use them.
        continue
      raise ValueError(f"{name}: there is no {path} in our parameters")
    state[name] = torch.from_numpy(_as_torch(path, np.asarray(flat[path]), old))
  missing = module.load_state_dict(state, strict=False).missing_keys
  if set(missing) - {"mean", "scale"}:
    raise ValueError(f"weights are missing: {missing}")
  return module.eval().requires_grad_(False)


def _as_torch(path: str, value: np.ndarray, old: Tensor) -> np.ndarray:
  """One of our tensors in PyTorch's order of axes."""
  if path.endswith("/kernel"):
    if "upsampler_" in path and value.ndim == 3:
      value = np.transpose(value, (2, 1, 0))
    else:
      order = (value.ndim - 1, value.ndim - 2, *range(value.ndim - 2))
      value = np.transpose(value, order)
  return np.array(value.reshape(old.shape), np.float32)


class TorchMusicLDM:
  """A batch of latents to waveforms: UNet, VAE decoder and vocoder."""

  def __init__(self, model: Any, config: Mapping[str, Any], device):
    """Takes our `LatentDiffusion` and its model configuration."""
    unet = UNet2DConditionModel.from_config(dict(config["unet"]))
    vae = AutoencoderKL.from_config(dict(config["vae"]))
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**config["vocoder"]))
    self._unet = load(unet, model.params).to(device)
    self._vae = load(vae, model.vae_params).to(device)
    self._vocoder = load(vocoder, model.vocoder_params).to(device)
    self._scaling = config["vae"].get("scaling_factor", _SCALING_FACTOR)
    self._samples = model.samples
    condition = model.condition
    self._condition = (
      None if condition is None else torch.from_numpy(np.array(condition)).to(device)
    )

  def predict_noise(self, x: Tensor, index: int) -> Tensor:
    """Predicted noise of latents [batch, channels, time, mel] at one step."""
    labels = None
    if self._condition is not None:
      labels = self._condition.expand(len(x), -1)
    return self._unet(x, index, None, class_labels=labels, return_dict=False)[0]

  def decode(self, x_0: Tensor) -> Tensor:
    """Latents -> waveforms [batch, samples]."""
    log_mel = self._vae.decode(x_0 / self._scaling, return_dict=False)[0]
    return self._vocoder(log_mel[:, 0])[:, : self._samples]

  def states(self, values: np.ndarray) -> Tensor:
    """Ours, [batch, time, mel, channels], in PyTorch's order of axes."""
    return torch.from_numpy(np.array(np.moveaxis(values, -1, 1), order="C"))
