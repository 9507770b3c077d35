"""Times one pass of the probe: D with its gradient, ours and PyTorch's, in turns.

And counts what its parts do, against the best the machine did in the same run.
"""

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import torch_diffwave
from lsaprobe_jax import diffusion, distances, parallel
from lsaprobe_jax.models import diffwave

_ROUNDS = 7
_ETA = 0.2
_PRODUCT = 1024
_COPY = 16_000_000
_COPIES = 8


def report(
  generator,
  audio: np.ndarray,
  *,
  t_ratio: float,
  names: Sequence[str],
  seed: int,
) -> str:
  """Markdown: our pass against PyTorch's, then what each part of it costs.

  Args:
    generator: an unconditional DiffWave (`models.registry`).
    audio: float32 [clips, samples].
    t_ratio: t over T.
    names: of distances to time; the waveform's is timed in any case.
    seed: of noise and perturbation.
  """
  t = diffusion.timestep(generator.schedule, t_ratio)
  names = list(dict.fromkeys(["waveform", *names]))
  ours = {
    f"jax, {name}": _jax_program(generator, audio, t, name, seed) for name in names
  }
  half = generator.replace(network=generator.network.clone(dtype=jnp.bfloat16))
  ours["jax, waveform, bfloat16"] = _jax_program(half, audio, t, "waveform", seed)
  theirs = _torch_passes(generator, audio, t, seed)
  base = "jax, waveform"
  _check_alike(ours[base].run(), {name: run() for name, run in theirs.items()})
  parts = _parts(generator, audio, t, names, seed)
  peaks = _peaks()
  programs = ours | parts | peaks
  seconds = _in_turns({name: p.run for name, p in programs.items()} | theirs)
  count = len(audio)
  head = (
    f"{count} clips of {audio.shape[1]} samples, S = {generator.num_inference_steps},"
    f" DiffWave {generator.network.channels} x {generator.network.layers};"
    f" {_device()}; median of {_ROUNDS} rounds in turns. Ratios are taken within a"
    " round."
  )
  passes = _passes_table([*ours, *theirs], seconds, base, count)
  return "\n".join(
    [head, "", *passes, "", *_roofline(ours | parts, peaks, seconds, count)]
  )


def _passes_table(names, seconds, base: str, count: int) -> list[str]:
  """Seconds of each pass, and its ratio to the base's within a round."""
  lines = [f"| pass | ms a clip | over {base} [least, most] |", "|---|---|---|"]
  for name in names:
    ratio = np.array(seconds[name]) / np.array(seconds[base])
    lines.append(
      f"| {name} | {1e3 * np.median(seconds[name]) / count:.1f} |"
      f" {np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}] |"
    )
  return lines


def _roofline(programs, peaks, seconds, count: int) -> list[str]:
  """What each part does, against the best the machine did in the same rounds."""
  rate = lambda name, amount: amount / np.median(seconds[name])
  flops = rate("matrix product", peaks["matrix product"].flops)
  bandwidth = rate("copy", peaks["copy"].bytes)
  lines = [
    f"Roofs, measured in the same rounds: {flops / 1e9:.0f} GFLOP/s (float32 matrix"
    f" product of {_PRODUCT}), {bandwidth / 1e9:.0f} GB/s (copy of"
    f" {4e-6 * _COPY:.0f} MB). Operations and bytes are XLA's count for one clip, bytes"
    " as if nothing stayed in a cache between fused operations: above 100% of the"
    " memory's roof, most of it did.",
    "",
    "| part | Mflop | MB | ms a clip | GFLOP/s | of compute | GB/s | of memory |",
    "|---|---|---|---|---|---|---|---|",
  ]
  for name, program in programs.items():
    each = np.median(seconds[name]) / count
    lines.append(
      f"| {name} | {program.flops / 1e6:.0f} | {program.bytes / 1e6:.0f} |"
      f" {1e3 * each:.1f} | {program.flops / each / 1e9:.1f} |"
      f" {program.flops / each / flops:.0%} | {program.bytes / each / 1e9:.1f} |"
      f" {program.bytes / each / bandwidth:.0%} |"
    )
  return lines


@dataclasses.dataclass(frozen=True)
class _Program:
  """A compiled function of a batch, and XLA's count of what it does."""

  run: Callable[[], Any]
  flops: float
  bytes: float


def _program(fn, shared, *batches) -> _Program:
  """`fn(shared, *example)` over all devices; counts are those of one clip."""
  run = parallel.over_examples(fn, batch_size=len(batches[0]))
  one = jax.jit(fn).lower(shared, *(batch[0] for batch in batches)).compile()
  counts = one.cost_analysis()
  return _Program(
    run=lambda: next(run(shared, *batches))[1],
    # What does nothing has no counts.
    flops=counts.get("flops", 0.0),
    bytes=counts.get("bytes accessed", 0.0),
  )


def _parts(generator, audio, t, names, seed) -> dict[str, _Program]:
  """The reverse process and the distances, each alone."""
  x_t, delta, _ = _states(generator, audio, t, seed)
  reverse = lambda generator, x: generator.reconstruct(x, t)
  parts = {"reverse, no gradient": _program(reverse, generator, x_t)}
  for name in names:
    distance = distances.get(name, sample_rate=generator.sample_rate)
    noisy = (audio + 0.01 * delta).astype(np.float32)
    clean = [distance.embed(x) for x in audio]
    clean = jax.tree.map(lambda *x: np.stack(x), *clean)
    leaves, tree = jax.tree.flatten(clean)
    embed = lambda distance, x: distance.embed(x)

    def compare(distance, x, *leaves, tree=tree):
      clean = jax.tree.unflatten(tree, leaves)
      return jax.value_and_grad(lambda x: distance.compare(clean, distance.embed(x)))(x)

    if name != "waveform":  # Its embedding is the waveform.
      parts[f"{name}, embedding alone"] = _program(embed, distance, audio)
    parts[f"{name} and its gradient"] = _program(compare, distance, noisy, *leaves)
  return parts


def _peaks() -> dict[str, _Program]:
  """What the machine does at best: all devices at work, nothing sent to the host."""
  count = jax.local_device_count()
  devices = jax.sharding.Mesh(jax.local_devices(), "device")
  spread = jax.NamedSharding(devices, jax.P("device"))

  def peak(fn, *shape, flops, bytes):
    x = jax.jit(lambda: jnp.ones((count, *shape), jnp.float32), out_shardings=spread)()
    run = jax.jit(jax.vmap(fn))
    wait = lambda: jax.block_until_ready(run(x))
    return _Program(run=wait, flops=count * flops, bytes=count * bytes)

  return {
    "matrix product": peak(
      lambda x: x @ x,
      _PRODUCT,
      _PRODUCT,
      flops=2 * _PRODUCT**3,
      bytes=8 * _PRODUCT**2,
    ),
    # In place, so that the system's handing out of fresh pages is not measured.
    "copy": peak(
      lambda x: jax.lax.fori_loop(0, _COPIES, lambda _, x: x + 1, x),
      _COPY,
      flops=_COPIES * _COPY,
      bytes=_COPIES * 8 * _COPY,
    ),
  }


def _states(generator, audio, t, seed):
  """Noisy states and perturbations that both sides start from, as NumPy."""
  rng = np.random.default_rng(seed)
  noise, delta = rng.normal(size=(2, *audio.shape)).astype(np.float32)
  signal, sigma = (
    float(x[t]) for x in (generator.schedule.signal, generator.schedule.noise)
  )
  x_t = signal * generator.scale * audio + sigma * noise
  return x_t.astype(np.float32), (_ETA * delta).astype(np.float32), sigma


def _jax_program(generator, audio, t, name, seed) -> _Program:
  x_t, delta, sigma = _states(generator, audio, t, seed)
  distance = distances.get(name, sample_rate=generator.sample_rate)

  def one(shared, x_t, delta):
    generator, distance = shared
    clean = distance.embed(generator.reconstruct(x_t, t))

    def degradation(delta):
      attacked = generator.reconstruct(x_t + sigma * delta, t)
      return distance.compare(clean, distance.embed(attacked))

    return jax.value_and_grad(degradation)(delta)

  return _program(one, (generator, distance), x_t, delta)


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

  steps = torch_diffwave.reverse_steps(
    generator.schedule, t, generator.num_inference_steps
  )

  def degradations(delta):
    reverse = lambda x: torch_diffwave.reconstruct(network, steps, x)
    with torch.no_grad():
      clean = reverse(x_t)
    attacked = reverse(x_t + sigma * delta)
    return torch.mean(((attacked - clean) / generator.scale) ** 2, dim=1)

  def run(degradations):
    leaf = delta.clone().requires_grad_(True)
    found = degradations(leaf)
    found.sum().backward()
    return found.detach().cpu().numpy(), leaf.grad.cpu().numpy()

  passes = {"PyTorch eager, waveform": lambda: run(degradations)}
  compiled = torch.compile(degradations)
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
  """Seconds of each pass in every round.

  Each follows a run of its own that does not count: otherwise whoever comes after
  PyTorch pays for its threads, which spin for a while before they sleep.
  """
  seconds = {name: [] for name in passes}
  for _ in range(_ROUNDS):
    for name, run in passes.items():
      run()
      start = time.perf_counter()
      run()
      seconds[name].append(time.perf_counter() - start)
  return seconds


def _device() -> str:
  device = jax.devices()[0]
  cores = len(os.sched_getaffinity(0))
  where = f"{platform.machine()}, {cores} cores"
  return (
    f"{device.device_kind} ({where}), jax {jax.__version__}, torch {torch.__version__}"
  )
