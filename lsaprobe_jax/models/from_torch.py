"""A diffusion model made of PyTorch modules, checked against PyTorch as it is made.

It needs the extra `[torch]`, and nothing else does.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax import diffusion, optional
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models import torch_check
from lsaprobe_jax.models.torch_network import Tensors, TorchNetwork, require_torchax
from lsaprobe_jax.models.trained import TrainedModel, from_denoiser
from lsaprobe_jax.text import printable


def from_torch(
  module: Callable[..., Any],
  path: diffusion.Schedule | diffusion.Path,
  encode: Callable[..., Any] | None = None,
  decode: Callable[..., Any] | None = None,
  *,
  sample_rate: int,
  call: Callable[..., Any] | None = None,
  prediction: str | None = None,
  example: Any = None,
  tolerance: float = 1e-4,
  num_inference_steps: int = 1,
  channels: int = 1,
  name: str = "model",
) -> TrainedModel:
  """Makes a model of PyTorch modules, by torchax; the extra `[torch]` has both.

  Everything with weights is `module`; several networks are one `torch.nn.ModuleDict`.
  The functions are given it first, and then tensors without a batch axis. Weights are
  copied, and are arguments of the compiled programs.

  Before it returns, each function is called in PyTorch and in JAX: on an example, and
  the denoiser at t = 1, T / 2 and T. Outputs must agree, and gradients by the state.

  Args:
    module: a `torch.nn.Module` in eval mode and float32, or any function of tensors
      that has no weights.
    path: the noise schedule that it was trained under, or a path in continuous time,
      which is tabulated at 1,000 times.
    encode: `(module, audio) -> x_0`, of [samples] and a clean state of any shape; or a
      module of its own, called on a batch of one, [1, samples]; the identity by
      default. It may draw no noise: return an encoder's mode or mean.
    decode: `(module, x_0) -> audio`, or a module, likewise; what is longer than the
      clip is cut off.
    sample_rate: of the audio, in Hz.
    call: `(module, x, t) -> out`, of the state's shape; by default a batch of one,
      `module(x[None], t[None])[0]`. t is a scalar: of a schedule a whole number from 0
      to T - 1, as PyTorch's schedulers count; of a path its continuous time, float32
      from 0 (music) to 1. What is returned may be a tensor, have one as `.sample`, or
      be a tuple that begins with one.
    prediction: what the network predicts, one of `diffusion.PREDICTIONS`; what the path
      says by default.
    example: a clip [samples] to check on, or [2, samples]; a second of noise by
      default.
    tolerance: how far outputs may lie from PyTorch's, as a part of the largest value;
      gradients may ten times as far.
    num_inference_steps: S, the steps of the reverse process.
    channels: of the audio, 1 or 2; with 2 audio is [2, samples] everywhere.
    name: what rows call the model.

  Raises:
    MissingPackageError: PyTorch or torchax is missing, or they do not fit each other.
    ArgumentError: what is given cannot be used, is in training mode or in half
      precision, draws random numbers or keeps a state.
    CheckpointError: JAX cannot compute it, or computes something else than PyTorch;
      names the operator, or the largest difference.
    SettingError: `num_inference_steps` is below 1.
  """
  require_torchax()
  schedule = _schedule(path, prediction)
  parts, functions = _functions(module, call, encode, decode)
  make = lambda params=None, **traced: from_denoiser(
    _counted(traced["call"], schedule),
    schedule,
    traced.get("encode"),
    traced.get("decode"),
    sample_rate=sample_rate,
    params=params,
    num_inference_steps=num_inference_steps,
    channels=channels,
    name=name,
  )
  make(**functions)  # Refuses other arguments before anything takes time.
  audio = _clip(example, sample_rate, channels)
  Tensors(parts).check()
  cases = torch_check.record(functions, Tensors(parts), schedule, audio)
  # Anew: a first call may have left something, such as a table of rotations.
  network = TorchNetwork(Tensors(parts))
  in_jax = {key: network.in_jax(function, key) for key, function in functions.items()}
  torch_check.compare(cases, in_jax, network.params, tolerance)
  return make(params=network.params, **in_jax)


def _schedule(path: Any, prediction: str | None) -> Any:
  """Returns the table of a path, with what the network predicts."""
  if isinstance(path, diffusion.Path):
    path = diffusion.Schedule.from_path(path)
  if prediction is not None and isinstance(path, diffusion.Schedule):
    path = path.replace(prediction=prediction)
  return path  # from_denoiser refuses what is none.


def _functions(
  module: Any, call: Any, encode: Any, decode: Any
) -> tuple[dict[str, Any], dict[str, Callable[..., Any]]]:
  """Returns the modules by part, and the functions of tensors by argument."""
  torch = optional.require("torch", "torch")
  given = {"module": module, "encode": encode, "decode": decode, "call": call}
  for argument, function in given.items():
    if (function is not None or argument == "module") and not callable(function):
      kind = printable(type(function).__name__)
      raise ArgumentError(
        f"{argument}={kind}: it must be a torch.nn.Module or a function of tensors"
      )
  parts = {key: m for key, m in given.items() if isinstance(m, torch.nn.Module)}
  functions = {"call": _batched(module) if call is None else _of(module, call)}
  for argument, function in (("encode", encode), ("decode", decode)):
    if argument in parts:
      functions[argument] = _batched(function)
    elif function is not None:
      functions[argument] = _of(module, function)
  return parts, {key: _checked(key, function) for key, function in functions.items()}


def _batched(module: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a module's call on a batch of one."""
  return lambda *tensors: _first(module(*(tensor[None] for tensor in tensors)))[0]


def _of(module: Any, function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a function of the user's, which is given the module first."""
  return lambda *tensors: _first(function(module, *tensors))


def _first(found: Any) -> Any:
  """Returns the tensor in what modules of diffusers and transformers return."""
  found = getattr(found, "sample", found)
  return found[0] if isinstance(found, tuple | list) and found else found


def _checked(argument: str, function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns a function that refuses to return anything but a tensor."""
  torch = optional.require("torch", "torch")

  def checked(*tensors: Any) -> Any:
    found = function(*tensors)
    if not isinstance(found, torch.Tensor):
      kind = printable(type(found).__name__)
      raise ArgumentError(f"{argument}: it returns {kind}; return a tensor")
    return found

  return checked


def _counted(call: Callable[..., Any], schedule: Any) -> Callable[..., Any]:
  """Returns the denoiser of t in 1..T, or in continuous time, in JAX."""
  if getattr(schedule, "time", None) is not None:
    return call

  def predict(params: Any, x: jax.Array, t: Any) -> jax.Array:
    return call(params, x, jnp.asarray(t) - 1)

  return predict


def _clip(example: Any, sample_rate: int, channels: int) -> np.ndarray:
  """Returns the clip that is checked on, or noise in its place."""
  before = () if channels == 1 else (channels,)
  if example is None:
    random = np.random.default_rng(0)
    return random.normal(scale=0.1, size=(*before, sample_rate)).astype("float32")
  example = np.asarray(example)
  fits = example.shape[:-1] == before and example.ndim == 1 + len(before)
  if not fits or not example.size or example.dtype.kind != "f":
    raise ArgumentError(
      f"example of {example.dtype} {example.shape}: it must be the samples of one clip,"
      f" of floating point{'' if channels == 1 else f', [{channels}, samples]'}"
    )
  return example.astype("float32")
