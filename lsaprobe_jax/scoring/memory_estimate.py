"""What the compiler says the probe's gradient needs, before any weight is loaded."""

import dataclasses
import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lsaprobe_jax import backends, distances, parallel, probe
from lsaprobe_jax.distances import channels
from lsaprobe_jax.errors import SettingError
from lsaprobe_jax.models import checkpoints, conversion, memory, registry

_PUBLISHED = pathlib.Path(registry.__file__).parent / "published"
_GIB = 2**30
_ROW = "| {:g} | {} | {} | {} | {:.2f} | {:.2f} | {:.2f} | {:.0f} |"
# What tables of estimates begin with.
HEAD = """| clip, s | steps | type | distance | weights, GiB | gradient, GiB | kept, GiB | compile, s |
|---|---|---|---|---|---|---|---|"""  # noqa: E501


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
  """What one gradient of D by the perturbation takes, for one clip; a table's line.

  Attributes:
    seconds: length of the clip.
    num_inference_steps: S.
    precision: of the networks, `float32` or `bfloat16`.
    distance: its name.
    weights_bytes: all weights, as float32.
    working_bytes: what the compiler says the program works with besides weights and
      states. In bfloat16 it holds a copy of the weights.
    kept_bytes: what a backward pass would keep where nothing is rematerialised
      (`models.memory.kept_bytes`).
    compile_seconds: what compiling took.
  """

  seconds: float
  num_inference_steps: int
  precision: str
  distance: str
  weights_bytes: int
  working_bytes: int
  kept_bytes: int
  compile_seconds: float

  @property
  def total_bytes(self) -> int:
    """Weights and what the program works with."""
    return self.weights_bytes + self.working_bytes

  def __str__(self) -> str:
    """A line of the table."""
    return _ROW.format(
      self.seconds,
      self.num_inference_steps,
      self.precision,
      self.distance,
      self.weights_bytes / _GIB,
      self.working_bytes / _GIB,
      self.kept_bytes / _GIB,
      self.compile_seconds,
    )


def published() -> list[str]:
  """Returns the published models whose configuration is known without their files."""
  return sorted(path.stem for path in _PUBLISHED.glob("*.json"))


def read_config(source: str | os.PathLike) -> dict[str, Any]:
  """Reads the configuration of a model.

  Args:
    source: one of `published`, or what `load_model` takes: of a model folder no weights
      are read, and a pipeline is converted once.

  Raises:
    CheckpointError: there is no such model, or it describes none.
  """
  if os.fspath(source) in published():
    return json.loads((_PUBLISHED / f"{source}.json").read_text())
  try:
    folder = conversion.find_model(source)
  except checkpoints.CheckpointError as error:
    raise checkpoints.CheckpointError(
      f"{error}; published configurations: {', '.join(published())}"
    ) from error
  record = checkpoints.read_record(folder)
  with checkpoints.reading(f"{folder}: its model.json describes no model ({{}})"):
    registry.check_settings(record["model"])
    return record["model"]


def estimate_memory(
  config: Mapping[str, Any],
  *,
  seconds: float,
  num_inference_steps: int = 1,
  distance: str = "mr_stft",
  precision: str = "float32",
  rematerialise: bool = True,
  as_accelerator: bool = False,
  device: jax.Device | None = None,
) -> MemoryEstimate:
  """Compiles the gradient of D by the perturbation for one clip; runs nothing.

  A search holds one such gradient at a time for each clip that is on a device.

  Args:
    config: the model configuration (`models.registry.build_model`).
    seconds: length of the clip.
    num_inference_steps: S, deterministic steps.
    distance: name of a distance.
    precision: of the networks, `float32` or `bfloat16`.
    rematerialise: see `models.memory`.
    as_accelerator: whether convolutions are those that accelerators run, on whatever
      compiles; a CPU's own copy their input once for every tap.
    device: what is compiled for, a chip that need not be there
      (`backends.tpu_devices`); the default one where None.

  Raises:
    SettingError: a setting cannot be used, or the clip is too short for the distance.
  """
  if not 0 < seconds < math.inf:
    raise SettingError(f"seconds={seconds:g}: it must be positive")
  params = registry.abstract_params(config)
  model = registry.build_model(config, params, num_inference_steps, precision=precision)
  rate = model.sample_rate
  samples = round(seconds * rate)
  model = model.for_length(samples).replace(rematerialise=rematerialise)
  written_for = device.platform if device else "gpu" if as_accelerator else None
  with backends.written_for(written_for):
    made = distances.get(distance, sample_rate=rate)
  try:
    silence = jax.ShapeDtypeStruct((samples,), jnp.float32)
    jax.eval_shape(lambda d, audio: d.embed(audio), made, silence)
  except ValueError as error:
    raise SettingError(f"seconds={seconds:g}: {error}") from error
  with backends.written_for(written_for):
    start = time.perf_counter()
    analysis = compile_gradient(model, made, samples, device)
    took = time.perf_counter() - start
    kept = memory.kept_bytes(model, samples)
  return MemoryEstimate(
    seconds=seconds,
    num_inference_steps=num_inference_steps,
    precision=precision,
    distance=distance,
    weights_bytes=4 * sum(leaf.size for leaf in jax.tree.leaves(params)),
    working_bytes=analysis.temp_size_in_bytes,
    kept_bytes=kept,
    compile_seconds=took,
  )


def compile_gradient(
  model: Any, distance: Any, samples: int, device: jax.Device | None = None
) -> Any:
  """Compiles the value and the gradient of D by the perturbation, for one clip.

  Args:
    model: a `DiffusionModel` for clips of this length; its leaves may be abstract.
    distance: a distance.
    samples: length of the clip.
    device: what is compiled for; the default device where None.

  Returns:
    The compiler's memory analysis.
  """
  distance = channels.for_model(distance, model)
  abstract = _abstract(model)
  audio = jax.ShapeDtypeStruct(_audio_shape(model, samples), jnp.float32)
  x_t = jax.eval_shape(lambda g, a: g.encode(a), abstract, audio)
  clean = jax.eval_shape(lambda d, a: d.embed(a), distance, audio)
  t = jax.ShapeDtypeStruct((), jnp.int32)
  # By delta~, the last argument, which is shaped as x_t.
  gradient = jax.value_and_grad(probe.degradation, argnums=5)
  arguments = (abstract, _abstract(distance), clean, x_t, t, x_t)
  if device is not None:
    there = jax.sharding.SingleDeviceSharding(device)
    arguments = jax.tree.map(lambda x: x.update(sharding=there), arguments)
  with parallel.products_in_float32():
    return jax.jit(gradient).lower(*arguments).compile().memory_analysis()


def _audio_shape(model: Any, samples: int) -> tuple[int, ...]:
  """The shape of a clip that a model decodes to."""
  count = getattr(model, "channels", 1)
  return (samples,) if count == 1 else (count, samples)


def _abstract(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)
