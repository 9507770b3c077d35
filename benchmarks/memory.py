"""How much memory the probe's gradient takes on MusicLDM at its published size.

python -m launch.memory --output=benchmarks/musicldm_memory.md

Compiles the value and gradient of the degradation by the perturbation, through the reverse
process, the VAE decoder, the vocoder and a distance, for one clip, and writes what the
compiler says it needs. Nothing is run and no weights are made. About 10 minutes on one
CPU core; --seconds=4.0 --num_inference_steps=1 for a look.
"""

import json
import pathlib

import jax
from absl import app, flags, logging

from benchmarks import footprint
from launch import command, common
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models import registry
from lsaprobe_jax.models.musicldm import porting

_OUTPUT = flags.DEFINE_string("output", None, "The table, in Markdown.", required=True)
_SECONDS = flags.DEFINE_multi_float("seconds", [4.0, 10.0], "Lengths of the clip.")
_STEPS = flags.DEFINE_multi_integer("num_inference_steps", [1, 10], "DDIM steps.")
_DISTANCE = flags.DEFINE_string("distance", "mr_stft", "The distance.")

_GIB = 2**30


def main(argv):
  """Measures and writes the table."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_compilation_cache()
  path = pathlib.Path(porting.__file__).parent / "published.json"
  model = porting.model_config(json.loads(path.read_text())["musicldm"])
  params = registry.abstract_params(model)
  weights = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
  rows = []
  for seconds in _SECONDS.value:
    for steps in _STEPS.value:
      analysis, took = footprint.measure(model, params, seconds, steps, _DISTANCE.value)
      total = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes
      rows.append(
        f"| {seconds:g} | {steps} | {analysis.temp_size_in_bytes / _GIB:.2f} |"
        f" {total / _GIB:.2f} | {took:.0f} |"
      )
      logging.info("%s", rows[-1])
  text = _PAGE.format(
    seconds=" ".join(f"--seconds={value:g}" for value in _SECONDS.value),
    steps=" ".join(f"--num_inference_steps={value}" for value in _STEPS.value),
    distance=_DISTANCE.value,
    backend=jax.default_backend(),
    version=jax.__version__,
    weights=weights / _GIB,
    rows="\n".join(rows),
  )
  write_whole(pathlib.Path(_OUTPUT.value), text)


_PAGE = """# Memory of the probe's gradient at MusicLDM's published size

python -m launch.memory {seconds} {steps} --distance={distance}

`jax.value_and_grad` of D by the perturbation: DDIM reverse, VAE decoder, vocoder and
{distance}, for one clip at 16 kHz, float32, compiled for the backend `{backend}` by jax
{version}; from the compiler's memory analysis, nothing was run. All weights are
{weights:.2f} GiB; the gradient reads all but the VAE encoder's. A batch of n clips
takes the weights once and the working memory n times.

| clip, s | DDIM steps | working memory, GiB | with weights, GiB | compiling, s |
|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
  command.run(main)
