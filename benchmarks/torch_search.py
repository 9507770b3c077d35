"""The default search as a plain PyTorch program, on a batch of clips.

It is what somebody who knows PyTorch would write: one loop over the budgets, momentum
of normalised gradients, and nothing computed that is not needed.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import problems, torch_cdpam, torch_diffwave
from lsaprobe_jax import distances, search
from lsaprobe_jax.models.diffwave import network as diffwave

# A distance of a batch: what is compared of waveforms, and how two of those are.
Distance = tuple[Callable[[Tensor], Any], Callable[[Any, Any], Tensor]]


def _power(audio: Tensor, fft_size: int, hop: int, width: int) -> Tensor:
  window = torch.hann_window(width, device=audio.device)
  spectrum = torch.stft(
    audio, fft_size, hop, width, window, center=True, return_complex=True
  )
  return spectrum.real.square() + spectrum.imag.square()


def _mean_square(one: Tensor, other: Tensor) -> Tensor:
  return (one - other).square().flatten(1).mean(1)


def make_distance(name: str, sample_rate: int, device) -> Distance:
  """Makes a distance by name, with the settings and weights of ours."""
  if name == "cdpam":
    return torch_cdpam.make(sample_rate, device)
  ours = distances.get(name, sample_rate=sample_rate)
  if name == "waveform":
    return (lambda audio: audio), _mean_square
  if name == "log_mel":
    filters = torch.from_numpy(np.array(ours.filters.T)).to(device)

    def log_mel(audio):
      power = _power(audio, ours.fft_size, ours.hop, ours.fft_size)
      mel = filters @ power.clamp_min(1e-20).sqrt()
      return mel.clamp_min(ours.floor).log()

    return log_mel, _mean_square
  sizes = list(zip(ours.fft_sizes, ours.hops, ours.widths, strict=True))

  def magnitudes(audio):
    return [_power(audio, *size).clamp_min(ours.floor).sqrt() for size in sizes]

  def compare(clean, other):
    total = 0.0
    for x, y in zip(clean, other, strict=True):
      # A norm's gradient is 0 at 0 in PyTorch.
      norm = lambda z: torch.linalg.vector_norm(z, dim=(1, 2))
      total = total + norm(y - x) / norm(x)
      total = total + (y.log() - x.log()).abs().mean((1, 2))
    return total / len(sizes)

  return magnitudes, compare


@dataclasses.dataclass(frozen=True)
class TorchModel:
  """A model as the loop sees it.

  Attributes:
    reconstruct: states -> waveforms [batch, samples].
    states: our states as tensors.
    sigma: noise level at t.
  """

  reconstruct: Callable[[Tensor], Tensor]
  states: Callable[[np.ndarray], Tensor]
  sigma: float


def make_model(size: str, problem: problems.Problem, device) -> TorchModel:
  """The PyTorch model of a problem, with the same weights."""
  model, t = problem.model, problem.t
  steps = torch_diffwave.reverse_steps(model.schedule, t, model.num_inference_steps)
  sigma = float(model.schedule.noise[t])
  if model.state_kind == "waveform":
    settings = model.network
    network = torch_diffwave.TorchDiffWave(
      model.params,
      {"layers": settings.layers, "dilation_cycle": settings.dilation_cycle},
      diffwave.embedding_table(settings.max_steps),
      device,
    )
    reverse = lambda x: torch_diffwave.reconstruct(network, steps, x) / model.scale
    return TorchModel(reverse, torch.from_numpy, sigma)
  from benchmarks import torch_musicldm

  if model.schedule.prediction != "epsilon":
    raise ValueError(f"{size} does not predict noise; the PyTorch program does")
  config = problems.model_config(size)
  latent = torch_musicldm.TorchMusicLDM(model, config, device)
  reverse = lambda x: latent.decode(
    torch_diffwave.reconstruct(latent.predict_noise, steps, x)
  )
  return TorchModel(reverse, latent.states, sigma)


class Degradation:
  """D of a batch, its gradient, and the clean side.

  Attributes:
    device: where it is computed.
  """

  def __init__(
    self,
    model: TorchModel,
    distance: Distance,
    *,
    compiled: bool,
    precision: str,
    device,
  ):
    """Takes the parts; nothing is compiled before the first call."""
    self.device = device
    self._embed, compare = distance
    self._precision = precision

    def degradations(x_t, delta, clean):
      """D [batch] of perturbations."""
      attacked = model.reconstruct(x_t + model.sigma * delta)
      return compare(clean, self._embed(attacked.float()))

    self._reconstruct = model.reconstruct
    self._degradations = degradations
    if compiled:
      self._degradations = torch.compile(degradations, dynamic=False)

  def _half(self):
    if self._precision == "bfloat16":
      return torch.autocast(torch.device(self.device).type, torch.bfloat16)
    return contextlib.nullcontext()

  def clean(self, x_t: Tensor) -> Any:
    """What D compares with: the clean reconstructions, embedded."""
    with self._half(), torch.no_grad():
      return self._embed(self._reconstruct(x_t).float())

  def value(self, x_t: Tensor, delta: Tensor, clean: Any) -> Tensor:
    """D [batch], without gradient."""
    with self._half(), torch.no_grad():
      return self._degradations(x_t, delta, clean)

  def with_gradient(self, x_t: Tensor, delta: Tensor, clean: Any):
    """D [batch], and its gradient by the perturbations."""
    delta = delta.detach().requires_grad_(True)
    with self._half():
      found = self._degradations(x_t, delta, clean)
    (gradient,) = torch.autograd.grad(found.sum(), delta)
    return found.detach(), gradient

  def at(self, x_t: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """D [batch] and its gradient at one perturbation each."""
    x_t, delta = x_t.to(self.device), delta.to(self.device)
    found, gradient = self.with_gradient(x_t, delta, self.clean(x_t))
    return found.float().cpu(), gradient.float().cpu()


def climb(
  degradation: Degradation, settings: search.Continuation, x_t, direction
) -> tuple[Tensor, int]:
  """Climbs the ladder of the default search.

  Args:
    degradation: D of the batch.
    settings: of the search.
    x_t: noisy states, [batch, ...].
    direction: where to start, shaped as they are.

  Returns:
    D [batch, gradients + 1], at each budget and once more after the last step; and how
    many gradients were taken.
  """
  x_t, direction = x_t.to(degradation.device), direction.to(degradation.device)
  met, gradients = [], 0
  momentum = torch.zeros_like(direction)
  clean = degradation.clean(x_t)
  for eta in problems.budgets(settings):
    found, gradient = degradation.with_gradient(x_t, eta * direction, clean)
    met.append(found)
    gradients += 1
    momentum = settings.momentum * momentum + unit(gradient)
    direction = unit(momentum)
  met.append(degradation.value(x_t, eta * direction, clean))
  return torch.stack(met, 1).float().cpu(), gradients


def unit(x: Tensor) -> Tensor:
  """Each example of a batch at a root mean square of 1; 0 where it is 0."""
  flat = F.normalize(x.flatten(1), dim=1, eps=1e-30) * x[0].numel() ** 0.5
  return flat.reshape(x.shape)


def costs(met: np.ndarray, settings: search.Continuation, tau: float) -> list[float]:
  """C_adv of each clip off [clips, gradients + 1] values of D; NaN if not reached."""
  ladder = np.array(problems.budgets(settings))
  ladder = np.append(ladder, ladder[-1])
  return [
    float(ladder[np.argmax(row >= tau)]) if np.any(row >= tau) else float("nan")
    for row in met
  ]
