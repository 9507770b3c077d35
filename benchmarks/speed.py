"""Times one pass of the probe, D with its gradient: ours and PyTorch's, in turns.

python -m benchmarks.speed --config=configs/mini.py --output=benchmarks/speed.md \
  [--distances=waveform,log_mel,mr_stft,cdpam]

The other side is a plain PyTorch DiffWave with the same weights on the same machine.
Each distance is timed against the others too, and each part's operations and bytes
against the best that the machine did in the same run. It needs PyTorch (`pip install
torch`).
"""

import os
import pathlib
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from launch import command, devices
from lsaprobe_jax import diffusion
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.scoring import experiment_inputs
from lsaprobe_jax.scoring.settings import Experiment

_CONFIG = config_flags.DEFINE_config_file(
  "config", None, "An evaluation of DiffWaves, whose first model is timed.",
  lock_config=True,
)  # fmt: skip
_OUTPUT = flags.DEFINE_string("output", None, "The tables, in Markdown.")
_DISTANCES = flags.DEFINE_list(
  "distances", ["waveform", "mr_stft"], "Distances to time; waveform in any case."
)

_CLIPS, _ROUNDS = 16, 7
_BASE = "jax, waveform"


def report(
  model, audio: np.ndarray, *, t_ratio: float, names: Sequence[str], seed: int
) -> str:
  """Markdown: our pass against PyTorch's, then what each part of it costs.

  Args:
    model: an unconditional DiffWave (`models.registry`).
    audio: float32 [clips, samples].
    t_ratio: t over T.
    names: of distances to time; the waveform's is timed in any case.
    seed: of noise and perturbation.
  """
  from benchmarks import passes

  t = diffusion.timestep(model.schedule, t_ratio)
  names = list(dict.fromkeys(["waveform", *names]))
  ours = {
    f"jax, {name}": passes.jax_pass(model, audio, t, name, seed) for name in names
  }
  half = model.replace(network=model.network.clone(dtype=jnp.bfloat16))
  ours["jax, waveform, bfloat16"] = passes.jax_pass(half, audio, t, "waveform", seed)
  theirs = passes.torch_passes(model, audio, t, seed)
  _check_alike(ours[_BASE].run(), {name: run() for name, run in theirs.items()})
  parts = passes.parts(model, audio, t, names, seed)
  peaks = passes.peaks()
  programs = ours | parts | peaks
  seconds = _in_turns({name: p.run for name, p in programs.items()} | theirs)
  return "\n".join(
    [
      *(_head(model, audio), ""),
      *_passes_table([*ours, *theirs], seconds, len(audio)),
      "",
      *_roofs(peaks, seconds),
      "",
      *_parts_table(ours | parts, peaks, seconds, len(audio)),
    ]
  )


def _head(model, audio: np.ndarray) -> str:
  """What was timed, where and how often."""
  return (
    f"{len(audio)} clips of {audio.shape[1]} samples, S ="
    f" {model.num_inference_steps}, DiffWave {model.network.channels} x"
    f" {model.network.layers}; {_device()}; median of {_ROUNDS} rounds in turns. Ratios"
    " are taken within a round."
  )


def _passes_table(names, seconds, count: int) -> list[str]:
  """Milliseconds of each pass, and its ratio to ours within a round."""
  lines = [f"| pass | ms a clip | over {_BASE} [least, most] |", "|---|---|---|"]
  for name in names:
    ratio = np.array(seconds[name]) / np.array(seconds[_BASE])
    lines.append(
      f"| {name} | {1e3 * np.median(seconds[name]) / count:.1f} |"
      f" {np.median(ratio):.2f} [{ratio.min():.2f}, {ratio.max():.2f}] |"
    )
  return lines


def _peak_rates(peaks, seconds) -> tuple[float, float]:
  """(flop/s, byte/s) that the machine did at best."""
  rate = lambda name, amount: amount / np.median(seconds[name])
  return (
    rate("matrix product", peaks["matrix product"].flops),
    rate("copy", peaks["copy"].bytes),
  )


def _roofs(peaks, seconds) -> list[str]:
  from benchmarks import passes

  flops, bandwidth = _peak_rates(peaks, seconds)
  return [
    f"Roofs, measured in the same rounds: {flops / 1e9:.0f} GFLOP/s (float32 matrix"
    f" product of {passes.PRODUCT}), {bandwidth / 1e9:.0f} GB/s (copy of"
    f" {4e-6 * passes.COPY:.0f} MB). Operations and bytes are XLA's count for one clip,"
    " bytes as if nothing stayed in a cache between fused operations: above 100% of the"
    " memory's roof, most of it did."
  ]


def _parts_table(programs, peaks, seconds, count: int) -> list[str]:
  """What each part does, against the best the machine did in the same rounds."""
  flops, bandwidth = _peak_rates(peaks, seconds)
  lines = [
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
  import torch

  kind = jax.devices()[0].device_kind
  cores = len(os.sched_getaffinity(0))
  where = f"{platform.machine()}, {cores} cores"
  return f"{kind} ({where}), jax {jax.__version__}, torch {torch.__version__}"


def main(argv):
  """Times the passes, prints and writes the tables."""
  command.refuse_arguments(argv)
  devices.use_all()
  settings = Experiment.from_dict(_CONFIG.value.to_dict())
  inputs = experiment_inputs.open_inputs(settings)
  try:
    found = report(
      inputs.targets[0].model,
      inputs.halves.audio[:_CLIPS],
      t_ratio=settings.t_ratio,
      names=_DISTANCES.value,
      seed=settings.seed,
    )
  except ImportError as error:
    raise app.UsageError(f"benchmarks.speed needs PyTorch: {error}") from error
  text = f"`python -m benchmarks.speed {shlex.join(sys.argv[1:])}`\n\n{found}\n"
  write_whole(pathlib.Path(_OUTPUT.value), text)
  print(text)


if __name__ == "__main__":
  flags.mark_flags_as_required(["config", "output"])
  command.run(main)
