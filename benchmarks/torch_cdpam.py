"""CDPAM as a plain PyTorch program, on a batch of waveforms.

The published weights as our distance has read them, BatchNorm folded in; PyTorch's own
convolutions.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lsaprobe_jax import distances

_FULL_SCALE = 32768.0


def make(sample_rate: int, device):
  """What is compared of waveforms [batch, samples], and how two of those are."""
  # As an accelerator has them: the weights of the convolutions themselves.
  ours = distances.get("cdpam", sample_rate=sample_rate, backend="gpu")
  tensor = lambda x: torch.from_numpy(np.array(x, np.float32)).to(device)
  layers = [
    (tensor(np.transpose(layer.taps, (2, 1, 0))), tensor(layer.bias), layer.stride)
    for layer in ours.encoder
  ]
  head = [tuple(map(tensor, layer)) for layer in ours.head]
  blocks = ours.resampler and tensor(ours.resampler.matrix.T)[:, None]

  def resampled(audio: Tensor) -> Tensor:
    up, down, width = ours.resampler.up, ours.resampler.down, blocks.shape[-1]
    length = -(-audio.shape[-1] * up // down)
    count, margin = -(-length // up), (width - down) // 2
    right = (count - 1) * down + width - margin - audio.shape[-1]
    frames = F.conv1d(F.pad(audio, (margin, right))[:, None], blocks, stride=down)
    return frames.mT.flatten(1)[:, :length]

  def embed(audio: Tensor) -> list[Tensor]:
    x = audio if blocks is None else resampled(audio)
    x = _FULL_SCALE * x[:, None]
    for taps, bias, stride in layers:
      x = F.conv1d(x, taps, bias, stride=stride, padding=taps.shape[-1] // 2)
      x = F.leaky_relu(x, 0.1)
    x = F.normalize(x.mean(-1), dim=1)
    found = []
    for i, (weight, bias, _) in enumerate(head):
      x = x @ weight + bias
      if i < len(head) - 1:
        x = F.leaky_relu(x, 0.01)
      found.append(x)
    return found

  def compare(clean: list[Tensor], other: list[Tensor]) -> Tensor:
    pairs = zip(head, clean, other, strict=True)
    return sum((weight * (y - x)).abs().sum(1) for (_, _, weight), x, y in pairs)

  return embed, compare
