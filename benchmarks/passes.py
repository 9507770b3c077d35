"""One pass of the probe, D with its gradient: ours in parts, PyTorch's, and the roofs.

What each part does is XLA's count; what the machine can do at best is measured by a
matrix product and a copy.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import torch_diffwave
from lsaprobe_jax import distances, parallel, probe
from lsaprobe_jax.models.diffwave import network as diffwave

_ETA = 0.2
PRODUCT = 1024  # the side of the matrices that are multiplied
COPY = 16_000_000  # float32 that are copied
_COPIES = 8


@dataclasses.dataclass(frozen=True)
class Program:
  """A compiled function of a batch, and XLA's count of what it does for one clip."""

  run: Callable[[], Any]
  flops: float
  bytes: float


def jax_pass(model, audio: np.ndarray, t: int, name: str, seed: int) -> Program:
  """Our pass under a distance.

  Args:
    model: an unconditional DiffWave (`models.registry`).
    audio: float32 [clips, samples].
    t: the time.
    name: of the distance.
    seed: of noise and perturbation.
  """
  x_t, delta, _ = _states(model, audio, t, seed)
  distance = distances.get(name, sample_rate=model.sample_rate)

  def one(shared, x_t, delta):
    model, distance = shared
    clean = distance.embed(model.reconstruct(x_t, t))
    gradient = jax.value_and_grad(probe.degradation, argnums=5)
    return gradient(model, distance, clean, x_t, t, delta)

  return _program(one, (model, distance), x_t, delta)


def parts(
  model, audio: np.ndarray, t: int, names: Sequence[str], seed: int
) -> dict[str, Program]:
  """The reverse process and the distances, each alone; arguments as of `jax_pass`."""
  x_t, delta, _ = _states(model, audio, t, seed)
  reverse = lambda model, x: model.reconstruct(x, t)
  found = {"reverse, no gradient": _program(reverse, model, x_t)}
  for name in names:
    distance = distances.get(name, sample_rate=model.sample_rate)
    noisy = (audio + 0.01 * delta).astype(np.float32)
    clean = [distance.embed(x) for x in audio]
    clean = jax.tree.map(lambda *x: np.stack(x), *clean)
    leaves, tree = jax.tree.flatten(clean)
    embed = lambda distance, x: distance.embed(x)

    def compare(distance, x, *leaves, tree=tree):
      clean = jax.tree.unflatten(tree, leaves)
      return jax.value_and_grad(lambda x: distance.compare(clean, distance.embed(x)))(x)

    if name != "waveform":  # Its embedding is the waveform.
      found[f"{name}, embedding alone"] = _program(embed, distance, audio)
    found[f"{name} and its gradient"] = _program(compare, distance, noisy, *leaves)
  return found


def peaks() -> dict[str, Program]:
  """What the machine does at best: all devices at work, nothing sent to the host."""
  count = jax.local_device_count()
  devices = jax.sharding.Mesh(jax.local_devices(), "device")
  spread = jax.NamedSharding(devices, jax.P("device"))

  def peak(fn, *shape, flops, bytes):
    x = jax.jit(lambda: jnp.ones((count, *shape), jnp.float32), out_shardings=spread)()
    run = jax.jit(jax.vmap(fn))
    wait = lambda: jax.block_until_ready(run(x))
    return Program(run=wait, flops=count * flops, bytes=count * bytes)

  return {
    "matrix product": peak(
      lambda x: x @ x, PRODUCT, PRODUCT, flops=2 * PRODUCT**3, bytes=8 * PRODUCT**2
    ),
    # In place, so that the system's handing out of fresh pages is not measured.
    "copy": peak(
      lambda x: jax.lax.fori_loop(0, _COPIES, lambda _, x: x + 1, x),
      COPY,
      flops=_COPIES * COPY,
      bytes=_COPIES * 8 * COPY,
    ),
  }


def torch_passes(
  model, audio: np.ndarray, t: int, seed: int
) -> dict[str, Callable[[], Any]]:
  """PyTorch's pass under the mean square, eager and compiled; see `jax_pass`.

  Each returns (values [clips], gradients [clips, samples]).
  """
  device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
  settings = model.network
  network = torch_diffwave.TorchDiffWave(
    model.params,
    {"layers": settings.layers, "dilation_cycle": settings.dilation_cycle},
    diffwave.embedding_table(settings.max_steps),
    device,
  )
  x_t, delta, sigma = _states(model, audio, t, seed)
  x_t, delta = (torch.from_numpy(x).to(device) for x in (x_t, delta))
  steps = torch_diffwave.reverse_steps(model.schedule, t, model.num_inference_steps)

  def degradations(delta):
    reverse = lambda x: torch_diffwave.reconstruct(network, steps, x)
    with torch.no_grad():
      clean = reverse(x_t)
    attacked = reverse(x_t + sigma * delta)
    return torch.mean(((attacked - clean) / model.scale) ** 2, dim=1)

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


def _program(fn: Callable[..., Any], shared: Any, *batches: Any) -> Program:
  """`fn(shared, *example)` over all devices; the counts are those of one clip."""
  run = parallel.over_examples(fn, batch_size=len(batches[0]))
  one = jax.jit(fn).lower(shared, *(batch[0] for batch in batches)).compile()
  counts = one.cost_analysis()
  return Program(
    run=lambda: next(run(shared, *batches))[1],
    # What does nothing has no counts.
    flops=counts.get("flops", 0.0),
    bytes=counts.get("bytes accessed", 0.0),
  )


def _states(
  model, audio: np.ndarray, t: int, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
  """Noisy states and perturbations that both sides start from, and sigma_t."""
  rng = np.random.default_rng(seed)
  noise, delta = rng.normal(size=(2, *audio.shape)).astype(np.float32)
  signal, sigma = (float(x[t]) for x in (model.schedule.signal, model.schedule.noise))
  x_t = signal * model.scale * audio + sigma * noise
  return x_t.astype(np.float32), (_ETA * delta).astype(np.float32), sigma
