"""Functions of PyTorch modules beside the same in JAX: outputs and gradients."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax import diffusion, optional
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models.checkpoints import CheckpointError, reason
from lsaprobe_jax.models.torch_network import Tensors, array

# How far a second call may lie from the first, as a part of the largest value: kernels
# of accelerators add up in any order.
_SAME = 1e-6
# Gradients may lie so many times as far from PyTorch's as outputs.
_GRADIENT = 10


class Case(NamedTuple):
  """What a function returned in PyTorch.

  Attributes:
    name: of the function.
    inputs: what it was given.
    output: what it returned.
    cotangent: what the gradient is of, together with the output; None where nothing is
      differentiated.
    gradient: by the first input; None where PyTorch follows none.
  """

  name: str
  inputs: tuple[np.ndarray, ...]
  output: np.ndarray
  cotangent: np.ndarray | None = None
  gradient: np.ndarray | None = None


def record(
  functions: Mapping[str, Callable[..., Any]],
  tensors: Tensors,
  schedule: diffusion.Schedule,
  audio: np.ndarray,
) -> list[Case]:
  """Calls functions in PyTorch as the probe would: encode, the denoiser, decode.

  Args:
    functions: `call`, and perhaps `encode` and `decode`, of tensors.
    tensors: what the modules hold.
    schedule: the times are 1, T / 2 and T.
    audio: a clip [samples], or [2, samples].

  Raises:
    ArgumentError: one fails, draws random numbers, changes what a module holds, or
      returns something of a wrong shape.
  """
  cases, x_0 = [], audio
  if "encode" in functions:
    cases.append(_called(functions, tensors, "encode", audio))
    x_0 = cases[0].output
  noise = np.random.default_rng(1).normal(size=x_0.shape).astype(x_0.dtype)
  count = schedule.num_train_timesteps
  for t in sorted({1, (count + 1) // 2, count}):
    time = np.asarray(t - 1) if schedule.time is None else np.asarray(schedule.time[t])
    x_t = np.asarray(diffusion.add_noise(schedule, x_0, t, noise))
    case = _called(functions, tensors, "call", x_t, time)
    if case.output.shape != x_t.shape:
      raise ArgumentError(
        f"call: it returns {case.output.shape} for a state of {x_t.shape}; their shapes"
        " must be equal"
      )
    cases.append(case)
  if "decode" in functions:
    cases.append(_called(functions, tensors, "decode", x_0))
  decoded = cases[-1].output if "decode" in functions else x_0
  *channels, samples = audio.shape
  short = decoded.ndim == audio.ndim and decoded.shape[-1] < samples
  if decoded.shape[:-1] != tuple(channels) or decoded.ndim != audio.ndim or short:
    wanted = "two channels, [2, samples]" if channels else "one channel, [samples]"
    raise ArgumentError(
      f"decode: of a clip of {samples:,} samples there comes {decoded.shape}; it must"
      f" be {wanted}, and no shorter"
    )
  return cases


def _called(
  functions: Mapping[str, Callable[..., Any]],
  tensors: Tensors,
  name: str,
  *inputs: np.ndarray,
) -> Case:
  """Calls a function twice, and differentiates it unless it encodes."""
  torch = optional.require("torch", "torch")
  function = functions[name]
  # PyTorch's whole numbers, by which embeddings are looked up, are int64.
  given = [torch.tensor(x, device=tensors.device) for x in inputs]
  given = [x if x.is_floating_point() else x.long() for x in given]
  leaf = given[0].clone().requires_grad_(name != "encode")
  try:
    with torch.random.fork_rng(devices=[]):
      with torch.no_grad():
        first = array(function(*(x.clone() for x in given)))
      held = tensors.buffers()
      with torch.enable_grad():
        # A leaf could not be changed in place.
        output = function(leaf.clone(), *given[1:])
  except ArgumentError:
    raise
  except Exception as error:
    shapes = ", ".join(str(x.shape) for x in inputs)
    raise ArgumentError(
      f"{name}: it fails in PyTorch on {shapes} ({reason(error)}); give a function or"
      " an example that fit"
    ) from error
  _check_pure(name, first, array(output), held, tensors.buffers())
  if name == "encode":
    return Case(name, inputs, first)
  cotangent = np.random.default_rng(2).normal(size=first.shape).astype(first.dtype)
  gradient = None
  if output.requires_grad:
    weighted = torch.sum(output * torch.tensor(cotangent, device=output.device))
    (gradient,) = torch.autograd.grad(weighted, leaf, allow_unused=True)
  return Case(
    name, inputs, first, cotangent, None if gradient is None else array(gradient)
  )


def _check_pure(
  name: str,
  first: np.ndarray,
  second: np.ndarray,
  before: Mapping[str, np.ndarray],
  after: Mapping[str, np.ndarray],
) -> None:
  """Refuses a function that returns something else when it is called again."""
  if not np.isfinite(first).all():
    raise ArgumentError(f"{name}: what it returns in PyTorch is not finite")
  if first.shape != second.shape or difference(first, second) > _SAME:
    raise ArgumentError(
      f"{name}: it returns something else when it is called again; it may draw no"
      " random numbers (take the mode or the mean of an encoder) and keep no state"
    )
  for key, value in before.items():
    if not np.array_equal(value, after[key], equal_nan=True):
      raise ArgumentError(f"{name}: it changes {key} when it is called; keep no state")


def compare(
  cases: list[Case],
  in_jax: Mapping[str, Callable[..., jax.Array]],
  params: Any,
  tolerance: float,
) -> None:
  """Compares what JAX computes with what PyTorch returned.

  Args:
    cases: of `record`.
    in_jax: the same functions, of params and arrays.
    params: the weights.
    tolerance: how far outputs may lie apart, as a part of the largest value; gradients
      may ten times as far.

  Raises:
    CheckpointError: they lie farther apart, or JAX cannot compute them.
  """
  compiled = {name: jax.jit(_with_gradient(f)) for name, f in in_jax.items()}
  for case in cases:
    # Less exact products are the device's business, and the same for all models.
    with jax.default_matmul_precision("highest"):
      found = compiled[case.name](params, case.cotangent, *case.inputs)
    output, gradient = jax.tree.map(np.asarray, found)
    _check_close(f"{case.name}: its output", output, case.output, tolerance)
    if gradient is None:
      continue
    what = f"{case.name}: its gradient by the state"
    if case.gradient is not None:
      _check_close(what, gradient, case.gradient, _GRADIENT * tolerance)
    elif not (np.isfinite(gradient).all() and gradient.any()):
      raise CheckpointError(
        f"{what} is zero or not finite, and PyTorch follows none; take out detach()"
      )


def _with_gradient(function: Callable[..., jax.Array]) -> Callable[..., Any]:
  """Returns a function that returns the gradient by the first input beside."""

  def both(params, cotangent, x, *rest):
    if cotangent is None:
      return function(params, x, *rest), None
    output, pull_back = jax.vjp(lambda x: function(params, x, *rest), x)
    return output, pull_back(jnp.asarray(cotangent, output.dtype))[0]

  return both


def _check_close(
  what: str, found: np.ndarray, wanted: np.ndarray, tolerance: float
) -> None:
  """Refuses what lies too far apart."""
  if found.shape != wanted.shape:
    raise CheckpointError(
      f"{what} is {found.shape} in JAX and {wanted.shape} in PyTorch"
    )
  if not np.isfinite(found).all():
    raise CheckpointError(f"{what} is not finite in JAX")
  far = difference(wanted, found)
  if far > tolerance:
    raise CheckpointError(
      f"{what} lies {far:.2g} of the largest value from PyTorch's, more than the"
      f" tolerance of {tolerance:.2g}; find the operator that differs, or give a"
      " greater tolerance"
    )


def difference(wanted: np.ndarray, found: np.ndarray) -> float:
  """Returns the largest difference, as a part of the largest value wanted."""
  far = np.max(np.abs(wanted - found), initial=0)
  return float(
    far / max(np.max(np.abs(wanted), initial=0), np.finfo(wanted.dtype).tiny)
  )
