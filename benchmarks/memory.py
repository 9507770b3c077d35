"""How much memory the probe's gradient takes, rematerialised and kept.

python -m benchmarks.memory --size=lmnt --output=benchmarks/memory.md
python -m benchmarks.memory --size=published_musicldm --seconds=4.0 --seconds=10.0 \\
  --num_inference_steps=1 --output=benchmarks/musicldm_memory.md

It compiles the value and gradient of the degradation by the perturbation, through the
reverse process, the decoder and a distance, for one clip, and writes what the compiler
says it needs. Nothing is run and no weights are made. DiffWave takes two minutes of
one CPU core, MusicLDM two to three minutes for each program.
"""

import pathlib
import shlex
import sys

import jax
from absl import flags, logging

from benchmarks import footprint, problems
from launch import command, devices
from lsaprobe_jax import parallel
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models import memory, registry

_OUTPUT = flags.DEFINE_string("output", None, "The table, in Markdown.")
_SIZE = flags.DEFINE_enum(
  "size",
  "lmnt",
  [name for name, size in problems.SIZES.items() if size.config],
  "The network.",
)
_SECONDS = flags.DEFINE_multi_float("seconds", [0.5, 4, 10, 47], "Lengths of the clip.")
_STEPS = flags.DEFINE_multi_integer("num_inference_steps", [1, 4, 16], "DDIM steps.")
_DISTANCE = flags.DEFINE_string("distance", "mr_stft", "The distance.")

_GIB = 2**30
_PAGE = """# Memory of the probe's gradient: {title}

`python -m benchmarks.memory {flags}`

`jax.value_and_grad` of D by the perturbation: DDIM reverse, decoder and {distance}, for
one clip at {rate} Hz, float32, compiled for the backend `{backend}` by jax {version}.
Memory is the compiler's count for what it works with; nothing was run. All weights are
{weights:.2f} GiB besides. `kept, by JAX` is what `models.memory` decides by: the
residuals that a backward pass keeps where nothing is rematerialised. The last column
says up to how many clips at once an accelerator of 80 GB keeps them; with fewer than
eight it rematerialises.

| clip, s | DDIM steps | rematerialised, GiB | kept, GiB | kept, by JAX, GiB | kept on 80 GB |
|---|---|---|---|---|---|
{rows}
"""  # noqa: E501


def _row(config, params, seconds: float, steps: int) -> str:
  """One line of the table."""
  working = []
  for rematerialise in (True, False):
    analysis, took = footprint.measure(
      config, params, seconds, steps, _DISTANCE.value, rematerialise
    )
    working.append(analysis.temp_size_in_bytes / _GIB)
    logging.info("compiled in %.0f s", took)
  samples = round(seconds * config["sample_rate"])
  model = registry.build_model(config, params, steps).for_length(samples)
  kept = memory.kept_bytes(model, samples)
  clips = int(parallel.MEMORY_SHARE * 80e9 // kept)
  return (
    f"| {seconds:g} | {steps} | {working[0]:.2f} | {working[1]:.2f} |"
    f" {kept / _GIB:.2f} | {clips} |"
  )


def main(argv):
  """Measures and writes the table, anew after each row."""
  command.refuse_arguments(argv)
  devices.use_one()
  size = problems.SIZES[_SIZE.value]
  params = registry.abstract_params(size.config)
  weights = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
  rows = []
  for seconds in _SECONDS.value:
    for steps in _STEPS.value:
      rows.append(_row(size.config, params, seconds, steps))
      logging.info("%s", rows[-1])
      text = _PAGE.format(
        title=size.title,
        flags=shlex.join(sys.argv[1:]),
        distance=_DISTANCE.value,
        rate=size.config["sample_rate"],
        backend=jax.default_backend(),
        version=jax.__version__,
        weights=weights / _GIB,
        rows="\n".join(rows),
      )
      write_whole(pathlib.Path(_OUTPUT.value), text)


if __name__ == "__main__":
  flags.mark_flags_as_required(["output"])
  command.run(main)
