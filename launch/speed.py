"""Times one pass of the probe: D with its gradient, ours and PyTorch's, in turns."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import torch

from launch import torch_diffwave
from lsaprobe_jax import diffusion, distances, parallel
from lsaprobe_jax.models import diffwave

_ROUNDS = 7
_ETA = 0.2


def report(
  generator,
  audio: np.ndarray,
  *,
  t_ratio: float,
  names: Sequence[str],
  seed: int,
) -> str:
  """Markdown: our pass against PyTorch's, then the distances against each other.

  Args:
    generator: an unconditional DiffWave (`models.generator`).
    audio: float32 [clips, samples].
    t_ratio: t over T.
    names: of distances to time; the waveform's is timed in any case.
    seed: of noise and perturbation.
  """
  t = diffusion.timestep(generator.schedule, t_ratio)
  ours = {name: _jax_pass(generator, audio, t, name, seed) for name in names}
  ours["waveform"] = _jax_pass(generator, audio, t, "waveform", seed)
  theirs = _torch_passes(generator, audio, t, seed)
  _check_alike(ours["waveform"](), {name: run() for name, run in theirs.items()})
  seconds = _in_turns({f"jax, {name}": run for name, run in ours.items()} | theirs)
  base = np.array(seconds["jax, waveform"])
  lines = [
    f"{len(audio)} clips of {audio.shape[1]} samples, S = {generator.num_steps},"
    f" DiffWave {generator.network.channels} x {generator.network.layers};"
    f" {_device()}; median of {_ROUNDS} rounds in turns. Ratios are taken within a"
    " round.",
    "",
    "| pass | ms a clip | over jax, waveform [least, most] |",
    "|---|---|---|",
  ]
  for name, values in seconds.items():
    ratio = np.array(values) / base
    lines.append(
      f"| {name} | {1e3 * np.median(values) / len(audio):.1f} |"
      f" {np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}] |"
    )
  return "\n".join(lines)


def _states(generator, audio, t, seed):
  """Noisy states and perturbations that both sides start from, as NumPy."""
  rng = np.random.default_rng(seed)
  noise, delta = rng.normal(size=(2, *audio.shape)).astype(np.float32)
  signal, sigma = (
    float(x[t]) for x in (generator.schedule.signal, generator.schedule.noise)
  )
  x_t = signal * generator.scale * audio + sigma * noise
  return x_t.astype(np.float32), (_ETA * delta).astype(np.float32), sigma


def _jax_pass(generator, audio, t, name, seed) -> Callable[[], Any]:
  x_t, delta, sigma = _states(generator, audio, t, seed)
  distance = distances.get(name, sample_rate=generator.sample_rate)

  def one(shared, x_t, delta):
    generator, distance = shared
    clean = distance.embed(generator.reconstruct(x_t, t))

    def damage(delta):
      attacked = generator.reconstruct(x_t + sigma * delta, t)
      return distance.compare(clean, distance.embed(attacked))

    return jax.value_and_grad(damage)(delta)

  run = parallel.over_examples(one, batch_size=len(x_t))
  return lambda: next(run((generator, distance), x_t, delta))[1]


def _torch_passes(generator, audio, t, seed) -> dict[str, Callable[[], Any]]:
  device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
  settings = generator.network
  network = torch_diffwave.TorchDiffWave(
    generator.params,
    {"layers": settings.layers, "dilation_cycle": settings.dilation_cycle},
    diffwave.embedding_table(settings.max_steps),
    device,
  )
  x_t, delta, sigma = _states(generator, audio, t, seed)
  x_t, delta = (torch.from_numpy(x).to(device) for x in (x_t, delta))

  def damages(delta):
    reverse = lambda x: torch_diffwave.reconstruct(
      network, generator.schedule, x, t, generator.num_steps
    )
    with torch.no_grad():
      clean = reverse(x_t)
    attacked = reverse(x_t + sigma * delta)
    return torch.mean(((attacked - clean) / generator.scale) ** 2, dim=1)

  def run(damages):
    leaf = delta.clone().requires_grad_(True)
    found = damages(leaf)
    found.sum().backward()
    return found.detach().cpu().numpy(), leaf.grad.cpu().numpy()

  passes = {"PyTorch eager, waveform": lambda: run(damages)}
  compiled = torch.compile(damages)
  try:
    run(compiled)
    passes["torch.compile, waveform"] = lambda: run(compiled)
  except Exception as error:
    print(f"torch.compile is left out: {type(error).__name__}: {error}"[:200])
  return passes


def _check_alike(ours, theirs) -> None:
  """Times mean nothing unless both compute the same."""
  for name, found in theirs.items():
    for mine, other in zip(ours, found, strict=True):
      error = np.linalg.norm(mine - other) / np.linalg.norm(other)
      if not error < 1e-3:
        raise ValueError(f"{name} differs from ours by {error:.2g} of its norm")


def _in_turns(passes: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
  """Seconds of each pass in every round, after one that does not count."""
  seconds = {name: [] for name in passes}
  for count in range(_ROUNDS + 1):
    for name, run in passes.items():
      start = time.perf_counter()
      run()
      if count:
        seconds[name].append(time.perf_counter() - start)
  return seconds


def _device() -> str:
  device = jax.devices()[0]
  cores = len(os.sched_getaffinity(0))
  where = f"{platform.machine()}, {cores} cores"
  return (
    f"{device.device_kind} ({where}), jax {jax.__version__}, torch {torch.__version__}"
  )
