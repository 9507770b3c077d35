"""How much memory the probe's gradient takes on MusicLDM at its published size.

python -m launch.memory --output=benchmarks/musicldm_memory.md

Compiles the value and gradient of the damage by the perturbation, through the reverse
process, the VAE decoder, the vocoder and a distance, for one clip, and writes what the
compiler says it needs. Nothing is run and no weights are made. About 10 minutes on one
CPU core; --seconds=4.0 --num_steps=1 for a look.
"""

import json
import pathlib
import time

import jax
import jax.numpy as jnp
from absl import app, flags, logging

from launch import common
from lsaprobe_jax import distances
from lsaprobe_jax.models import generator as generators
from lsaprobe_jax.models.musicldm import porting
from lsaprobe_jax.results import write_whole

_OUTPUT = flags.DEFINE_string("output", None, "The table, in Markdown.", required=True)
_SECONDS = flags.DEFINE_multi_float("seconds", [4.0, 10.0], "Lengths of the clip.")
_STEPS = flags.DEFINE_multi_integer("num_steps", [1, 10], "DDIM steps.")
_DISTANCE = flags.DEFINE_string("distance", "mr_stft", "The distance.")

_GIB = 2**30


def _abstract(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _damage(delta, generator, distance, clean, x_t, t):
  """D of one perturbation, with the clean side embedded: `probe.make_damage`."""
  attacked = generator.reconstruct(x_t + generator.schedule.noise[t] * delta, t)
  return distance.compare(clean, distance.embed(attacked))


def measure(model, params, seconds: float, num_steps: int, distance_name: str):
  """The compiler's memory analysis of the gradient for one clip.

  Args:
    model: a model configuration.
    params: its abstract parameters.
    seconds: length of the clip.
    num_steps: DDIM steps.
    distance_name: of the distance.

  Returns:
    (analysis, seconds that compiling took).
  """
  samples = round(seconds * model["sample_rate"])
  generator = generators.build_generator(model, params, num_steps).for_length(samples)
  distance = distances.get(distance_name, sample_rate=model["sample_rate"])
  abstract = _abstract(generator)
  audio = jax.ShapeDtypeStruct((samples,), jnp.float32)
  x_t = jax.eval_shape(lambda g, a: g.encode(a), abstract, audio)
  clean = jax.eval_shape(lambda d, a: d.embed(a), distance, audio)
  t = jax.ShapeDtypeStruct((), jnp.int32)
  start = time.perf_counter()
  lowered = jax.jit(jax.value_and_grad(_damage)).lower(
    x_t, abstract, _abstract(distance), clean, x_t, t
  )
  analysis = lowered.compile().memory_analysis()
  return analysis, time.perf_counter() - start


def main(argv):
  """Measures and writes the table."""
  if argv[1:]:
    raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
  common.use_compilation_cache()
  path = pathlib.Path(porting.__file__).parent / "published.json"
  model = porting.model_config(json.loads(path.read_text())["musicldm"])
  params = generators.abstract_params(model)
  weights = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(params))
  rows = []
  for seconds in _SECONDS.value:
    for steps in _STEPS.value:
      analysis, took = measure(model, params, seconds, steps, _DISTANCE.value)
      total = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes
      rows.append(
        f"| {seconds:g} | {steps} | {analysis.temp_size_in_bytes / _GIB:.2f} |"
        f" {total / _GIB:.2f} | {took:.0f} |"
      )
      logging.info("%s", rows[-1])
  text = _PAGE.format(
    seconds=" ".join(f"--seconds={value:g}" for value in _SECONDS.value),
    steps=" ".join(f"--num_steps={value}" for value in _STEPS.value),
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
  app.run(main)
