"""A plain PyTorch DiffWave with our weights: what `benchmarks.fair` compares with.

Written as LMNT's is (Conv1d on [batch, channels, samples]), without conditioning.
"""

import itertools
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class TorchDiffWave:
  """The unconditional network of `models.diffwave.network.DiffWave`, on a batch."""

  def __init__(self, params: Any, network: dict[str, Any], table: np.ndarray, device):
    """Takes the Flax parameters, the network's settings and its embedding table."""
    to = lambda x: torch.from_numpy(np.array(x, np.float32)).to(device)
    self._table = to(table)
    self._layers, self._cycle = network["layers"], network["dilation_cycle"]
    embedding = params["diffusion_embedding"]
    linear = lambda p: (to(p["kernel"]).T.contiguous(), to(p["bias"]))
    conv1 = lambda p: (to(p["kernel"]).T.contiguous()[..., None], to(p["bias"]))
    conv3 = lambda p: (to(p["kernel"]).permute(2, 1, 0).contiguous(), to(p["bias"]))
    self._embed = [linear(embedding[f"projection{i}"]) for i in (1, 2)]
    self._input = conv1(params["input_projection"])
    self._skip = conv1(params["skip_projection"])
    self._output = conv1(params["output_projection"])
    self._blocks = []
    for i in range(self._layers):
      block = params[f"residual_layers_{i}"]
      self._blocks.append(
        (
          linear(block["diffusion_projection"]),
          conv3(block["dilated_conv"]),
          conv1(block["output_projection"]),
        )
      )

  def __call__(self, x: Tensor, index: int) -> Tensor:
    """Predicted noise [batch, samples] of states [batch, samples] at one step."""
    embedding = self._table[index]
    for weight, bias in self._embed:
      embedding = F.silu(F.linear(embedding, weight, bias))
    h = F.relu(F.conv1d(x[:, None], *self._input))
    total = torch.zeros_like(h)
    for i, (projection, dilated, output) in enumerate(self._blocks):
      dilation = 2 ** (i % self._cycle)
      y = h + F.linear(embedding, *projection)[None, :, None]
      y = F.conv1d(y, *dilated, padding=dilation, dilation=dilation)
      gate, signal = y.chunk(2, dim=1)
      y = F.conv1d(torch.sigmoid(gate) * torch.tanh(signal), *output)
      residual, skip = y.chunk(2, dim=1)
      h = (h + residual) / math.sqrt(2.0)
      total = total + skip
    h = F.relu(F.conv1d(total / math.sqrt(self._layers), *self._skip))
    return F.conv1d(h, *self._output)[:, 0]


def reverse_steps(
  schedule, t: int, num_inference_steps: int
) -> list[tuple[int, float, float]]:
  """The steps of `diffusion.reverse` as plain numbers, which torch.compile can read.

  Returns:
    One (network index, factor of the state, factor of the predicted noise) a step.
  """
  signal, noise = np.asarray(schedule.signal), np.asarray(schedule.noise)
  grid = [
    (2 * t * left + num_inference_steps) // (2 * num_inference_steps)
    for left in range(num_inference_steps, -1, -1)
  ]
  steps = []
  for t, s in itertools.pairwise(grid):
    ratio = float(signal[s] / signal[t])
    steps.append((max(t, 1) - 1, ratio, float(noise[s]) - ratio * float(noise[t])))
  return steps


def reconstruct(
  network: TorchDiffWave, steps: list[tuple[int, float, float]], x_t: Tensor
) -> Tensor:
  """`diffusion.reverse` for a batch of states [batch, samples]."""
  x = x_t
  for index, ratio, factor in steps:
    x = ratio * x + factor * network(x, index)
  return x
