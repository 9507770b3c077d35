"""How much memory the probe's gradient takes on MusicLDM at its published size.

python -m benchmarks.memory --output=benchmarks/musicldm_memory.md

It compiles the value and gradient of the degradation by the perturbation, through the
reverse process, the VAE decoder, the vocoder and a distance, for one clip, and writes
what the compiler says it needs. Nothing is run and no weights are made. About 10
minutes on one CPU core; --seconds=4.0 --num_inference_steps=1 for a look.
"""

import json
import pathlib
from typing import Any

import jax
from absl import flags, logging

from benchmarks import footprint
from launch import command, devices
from lsaprobe_jax.files import write_whole
from lsaprobe_jax.models import registry
from lsaprobe_jax.models.musicldm import porting

_OUTPUT = flags.DEFINE_string("output", None, "The table, in Markdown.")
_SECONDS = flags.DEFINE_multi_float("seconds", [4.0, 10.0], "Lengths of the clip.")
_STEPS = flags.DEFINE_multi_integer("num_inference_steps", [1, 10], "DDIM steps.")
_DISTANCE = flags.DEFINE_string("distance", "mr_stft", "The distance.")

_GIB = 2**30
_PAGE = """# Memory of the probe's gradient at MusicLDM's published size

python -m benchmarks.memory {seconds} {steps} --distance={distance}

`jax.value_and_grad` of D by the perturbation: DDIM reverse, VAE decoder, vocoder and
{distance}, for one clip at 16 kHz, float32, compiled for the backend `{backend}` by jax
{version}; from the compiler's memory analysis, nothing was run. All weights are
{weights:.2f} GiB; the gradient reads all but the VAE encoder's. A batch of n clips
takes the weights once and the working memory n times.

| clip, s | DDIM steps | working memory, GiB | with weights, GiB | compiling, s |
|---|---|---|---|---|
{rows}
"""


def _rows(config: dict[str, Any], params: Any) -> list[str]:
  """One line for each length and number of steps."""
  rows = []
  for seconds in _SECONDS.value:
    for steps in _STEPS.value:
      analysis, took = footprint.measure(
        config, params, seconds, steps, _DISTANCE.value
      )
      total = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes
      rows.append(
        f"| {seconds:g} | {steps} | {analysis.temp_size_in_bytes / _GIB:.2f} |"
        f" {total / _GIB:.2f} | {took:.0f} |"
      )
      logging.info("%s", rows[-1])
  return rows


def main(argv):
  """Measures and writes the table."""
  command.refuse_arguments(argv)
  devices.use_one()
  published = pathlib.Path(porting.__file__).with_name("published.json")
  config = porting.model_config(json.loads(published.read_text())["musicldm"])
  params = registry.abstract_params(config)
  weights = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
  text = _PAGE.format(
    seconds=" ".join(f"--seconds={value:g}" for value in _SECONDS.value),
    steps=" ".join(f"--num_inference_steps={value}" for value in _STEPS.value),
    distance=_DISTANCE.value,
    backend=jax.default_backend(),
    version=jax.__version__,
    weights=weights / _GIB,
    rows="\n".join(_rows(config, params)),
  )
  write_whole(pathlib.Path(_OUTPUT.value), text)


if __name__ == "__main__":
  flags.mark_flags_as_required(["output"])
  command.run(main)
