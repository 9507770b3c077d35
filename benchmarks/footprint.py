"""What the compiler says the probe's gradient needs of memory. Reads no flags."""

import time

import jax
import jax.numpy as jnp

from lsaprobe_jax import distances
from lsaprobe_jax.models import registry


def _abstract(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def _degradation(delta, generator, distance, clean, x_t, t):
  """D of one perturbation, with the clean side embedded: `probe.make_degradation`."""
  attacked = generator.reconstruct(x_t + generator.schedule.noise[t] * delta, t)
  return distance.compare(clean, distance.embed(attacked))


def measure(
  model, params, seconds: float, num_inference_steps: int, distance_name: str
):
  """The compiler's memory analysis of the gradient for one clip.

  Args:
    model: a model configuration.
    params: its abstract parameters.
    seconds: length of the clip.
    num_inference_steps: DDIM steps.
    distance_name: of the distance.

  Returns:
    (analysis, seconds that compiling took).
  """
  samples = round(seconds * model["sample_rate"])
  generator = registry.build_model(model, params, num_inference_steps).for_length(
    samples
  )
  distance = distances.get(distance_name, sample_rate=model["sample_rate"])
  abstract = _abstract(generator)
  audio = jax.ShapeDtypeStruct((samples,), jnp.float32)
  x_t = jax.eval_shape(lambda g, a: g.encode(a), abstract, audio)
  clean = jax.eval_shape(lambda d, a: d.embed(a), distance, audio)
  t = jax.ShapeDtypeStruct((), jnp.int32)
  start = time.perf_counter()
  lowered = jax.jit(jax.value_and_grad(_degradation)).lower(
    x_t, abstract, _abstract(distance), clean, x_t, t
  )
  analysis = lowered.compile().memory_analysis()
  return analysis, time.perf_counter() - start
