"""What the compiler says the probe's gradient needs; this reads no flags."""

import time
from typing import Any

import jax
import jax.numpy as jnp

from lsaprobe_jax import backends, distances, probe
from lsaprobe_jax.models import registry
from lsaprobe_jax.scoring import memory_estimate


def measure(
  config: dict[str, Any],
  params: Any,
  seconds: float,
  num_inference_steps: int,
  distance_name: str,
  rematerialise: bool = True,
) -> tuple[Any, float]:
  """Measures the gradient for one clip.

  Args:
    config: a model configuration.
    params: its abstract parameters.
    seconds: length of the clip.
    num_inference_steps: DDIM steps.
    distance_name: of the distance.
    rematerialise: see `models.memory`.

  Returns:
    (the compiler's memory analysis, seconds that compiling took).
  """
  samples = round(seconds * config["sample_rate"])
  model = registry.build_model(config, params, num_inference_steps).for_length(samples)
  model = model.replace(rematerialise=rematerialise)
  distance = distances.get(distance_name, sample_rate=config["sample_rate"])
  start = time.perf_counter()
  analysis = memory_estimate.compile_gradient(model, distance, samples)
  return analysis, time.perf_counter() - start


def _abstract(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def operations(
  config: dict[str, Any], params: Any, seconds: float, distance_name: str
) -> dict[str, float]:
  """Counts floating-point operations at S = 1, as XLA lowers them, for one clip.

  They are lowered as for an accelerator: XLA counts a loop's body once, and on a CPU
  DiffWave's blocks are a loop.

  Returns:
    By `value` and `gradient`: D alone, and D with its gradient by the perturbation.
  """
  samples = round(seconds * config["sample_rate"])
  with backends.written_for("gpu"):
    model = registry.build_model(config, params, 1).for_length(samples)
    model = model.replace(rematerialise=False)
    distance = distances.get(distance_name, sample_rate=config["sample_rate"])
    abstract = _abstract(model)
    audio = jax.ShapeDtypeStruct((samples,), jnp.float32)
    x_t = jax.eval_shape(lambda g, a: g.encode(a), abstract, audio)
    clean = jax.eval_shape(lambda d, a: d.embed(a), distance, audio)
    t = jax.ShapeDtypeStruct((), jnp.int32)
    arguments = (abstract, _abstract(distance), clean, x_t, t, x_t)
    gradient = jax.value_and_grad(probe.degradation, argnums=5)
    return {
      name: jax.jit(program).lower(*arguments).cost_analysis()["flops"]
      for name, program in (("value", probe.degradation), ("gradient", gradient))
    }
