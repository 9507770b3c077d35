"""PyTorch modules as JAX functions of their weights, by torchax.

torchax runs a module's own Python with tensors that hold JAX arrays, so that JAX can
trace, differentiate and compile it. Here the weights are arguments of every function,
and a module is left as it was found.
"""

import contextlib
import functools
import importlib.metadata
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax import optional
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models.checkpoints import CheckpointError, reason
from lsaprobe_jax.text import printable

EXTRA = "torch"
# The extra's versions in setup.py. torchax follows PyTorch's operators closely: 0.0.13,
# the last that is no nightly, does not import beside PyTorch 2.13.
KNOWN = {"torch": "2.13.0", "torchax": "0.0.14.dev20261026"}

# While a module holds JAX's arrays nobody else may call it.
_LOCK = threading.RLock()


def require_torchax() -> types.ModuleType:
  """Imports torchax.

  Raises:
    MissingPackageError: PyTorch or torchax is not installed, or they do not fit each
      other; names the pair that is known to.
  """
  known = " with ".join(f"{name} {version}" for name, version in KNOWN.items())
  try:
    optional.require("torch", EXTRA)
    return optional.require("torchax", EXTRA)
  except optional.MissingPackageError as error:
    raise optional.MissingPackageError(f"{error} (known to work: {known})") from error
  except Exception as error:  # What a pair that does not fit raises is anything.
    raise optional.MissingPackageError(
      f"{_installed()} cannot be imported ({reason(error)}); pip install"
      f" 'lsaprobe_jax[{EXTRA}]' (known to work: {known})"
    ) from error


def _installed() -> str:
  """Returns which versions of the two are there."""
  found = {}
  for name in KNOWN:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      found[name] = "of an unknown version"
  return f"torchax {found['torchax']} beside torch {found['torch']}"


@functools.cache
def _environment() -> Any:
  """Returns torchax's environment, but that what is not traced is computed at once.

  Modules keep tables (of rotations, of positions) for later calls, often where nobody
  sees it. Staged into one trace they could not be used in another.
  """
  torchax = require_torchax()
  tree = optional.require("torch.utils._pytree", EXTRA)

  class Environment(torchax.tensor.Environment):
    def dispatch(self, func, types, args, kwargs):
      # Operators that a user adds to torchax's own environment count.
      self._ops, self._decomps = shared._ops, shared._decomps
      arrays = (
        x.source_jax() if isinstance(x, torchax.view.View) else x.jax()
        for x in tree.tree_leaves((args, kwargs))
        if isinstance(x, torchax.view.View | torchax.tensor.Tensor)
      )
      if any(isinstance(x, jax.core.Tracer) for x in arrays):
        return super().dispatch(func, types, args, kwargs)
      with jax.ensure_compile_time_eval():
        return super().dispatch(func, types, args, kwargs)

  shared = torchax.default_env()
  # torchax 0.0.14's own changes the tensor that it is called on: a mask stays a number.
  torchax.tensor.Tensor.type_as = lambda self, other: self.to(other.dtype)
  return Environment()


class Tensors:
  """The tensors of PyTorch modules, and where each is held.

  Attributes:
    modules: all modules by path.
    places: by (path, name) of where a tensor was first met, each dictionary and key
      that holds it: parameters, buffers, and attributes that nobody registered.
  """

  def __init__(self, parts: dict[str, Any]):
    """Looks for what modules hold now.

    Args:
      parts: modules by the names that begin those of their weights.
    """
    self._torch = optional.require("torch", EXTRA)
    self.modules = {
      ".".join(filter(None, (part, name))): module
      for part, whole in parts.items()
      for name, module in whole.named_modules()
    }
    self.places, first = {}, {}
    for path, store, name, value in self._found():
      key = first.setdefault(id(value), (path, name))
      self.places.setdefault(key, []).append((store, name))

  def _found(self) -> Iterator[tuple[str, dict, str, Any]]:
    """Iterates over (path, dictionary, key, tensor)."""
    for path, module in self.modules.items():
      for store in stores(module):
        for name, value in store.items():
          if isinstance(value, self._torch.Tensor):
            yield path, store, name, value

  def __iter__(self) -> Iterator[tuple[tuple[str, str], Any]]:
    """Iterates over (path, name) and tensor, each tensor once."""
    for key, ((store, name), *_) in self.places.items():
      yield key, store[name]

  @property
  def device(self) -> Any:
    """Where the modules are."""
    return next((tensor.device for _, tensor in self), "cpu")

  def is_parameter(self, tensor: Any) -> bool:
    """Says whether it is a weight, and not a buffer."""
    return isinstance(tensor, self._torch.nn.Parameter)

  def buffers(self) -> dict[str, np.ndarray]:
    """Returns copies of what a call might change."""
    return {
      ".".join(key): array(tensor)
      for key, tensor in self
      if not self.is_parameter(tensor)
    }

  def check(self) -> None:
    """Refuses modules in training, which draw numbers, and any but float32.

    Raises:
      ArgumentError: names the first module, or the first tensor.
    """
    for path, module in self.modules.items():
      if module.training:
        raise ArgumentError(
          f"{printable(path)} ({type(module).__name__}) is in training mode; call"
          " eval() of the whole module"
        )
    for key, tensor in self:
      if tensor.is_floating_point() and tensor.dtype != self._torch.float32:
        raise ArgumentError(
          f"{printable('.'.join(key))} is of {tensor.dtype}; call float() of the whole"
          " module"
        )


def stores(module: Any) -> tuple[dict[str, Any], ...]:
  """Returns the dictionaries in which a module holds tensors."""
  return module._parameters, module._buffers, vars(module)


def array(tensor: Any) -> np.ndarray:
  """Returns a copy of a tensor's values."""
  return np.array(tensor.detach().cpu().resolve_conj().resolve_neg().numpy())


class TorchNetwork:
  """Modules whose functions are called on JAX's arrays.

  Attributes:
    params: copies of the parameters, and of buffers of floating point, `{path: {name:
      array}}`. A tensor that several modules share is there once. Other buffers
      (positions, masks) are no weights and become constants of a compiled program.
  """

  def __init__(self, tensors: Tensors):
    self._torchax = require_torchax()
    self._torch = optional.require("torch", EXTRA)
    self._tensors = tensors
    self.params, self._fixed, self._learned = {}, {}, set()
    for key, tensor in tensors:
      path, name = key
      if tensor.is_floating_point():
        self.params.setdefault(path, {})[name] = jnp.array(array(tensor))
      else:
        self._fixed[key] = jnp.array(array(tensor))
      if tensors.is_parameter(tensor):
        self._learned.add(key)

  def in_jax(self, function: Callable[..., Any], name: str) -> Callable[..., jax.Array]:
    """Returns `(params, *arrays) -> array` of a function of tensors.

    Args:
      function: maps tensors to one tensor, by the modules.
      name: what errors call it.

    Raises:
      CheckpointError: where it is traced, if it does what JAX cannot.
    """
    env = _environment()

    def call(params: Any, *arrays: Any) -> jax.Array:
      tensors = env.j2t_iso([jnp.asarray(x) for x in arrays])
      with (
        self._explained(name),
        self._holding(env.j2t_iso(self._held(params))),
        env,
        # Keys that a trace draws stay in it.
        env.override_property(prng=jax.random.key(0)),
        # A tensor that is made without a device is JAX's, too.
        self._torch.device("jax"),
      ):
        return env.t2j_iso(function(*tensors))

    return call

  def _held(self, params: Any) -> dict[tuple[str, str], Any]:
    """Returns all arrays by place; by buffers nothing is differentiated."""
    found = dict(self._fixed)
    for path, arrays in params.items():
      for name, value in arrays.items():
        learned = (path, name) in self._learned
        found[path, name] = value if learned else jax.lax.stop_gradient(value)
    return found

  @contextlib.contextmanager
  def _holding(self, values: dict[tuple[str, str], Any]) -> Iterator[None]:
    """Puts tensors in the place of the modules' own, and afterwards those back.

    What a call itself sets in a module is taken out, too: it belongs to one trace.
    """
    with _LOCK:
      before = [
        (store, dict(store))
        for module in self._tensors.modules.values()
        for store in stores(module)
      ]
      try:
        for key, value in values.items():
          for store, name in self._tensors.places[key]:
            store[name] = value
        yield
      finally:
        for store, held in before:
          store.clear()
          store.update(held)

  @contextlib.contextmanager
  def _explained(self, name: str) -> Iterator[None]:
    """Turns what goes wrong in a trace into one line that says what to do."""
    try:
      yield
    except ArgumentError:
      raise
    except Exception as error:
      raise CheckpointError(f"{name}: {self._mend(error)}") from error

  def _mend(self, error: Exception) -> str:
    """Returns what an error of a trace is about, and what can be done."""
    said = reason(error)
    if isinstance(error, self._torchax.tensor.OperatorNotFound):
      operator = str(error).removeprefix("Operator with name ").split(" ")[0]
      return (
        f"{_installed()} has no {printable(operator)} in JAX; compute it of other"
        " operators, hand its result in as a buffer, or give it one:"
        " torchax.default_env().override_op_definition(operator, function)"
      )
    if isinstance(error, jax.errors.JAXTypeError | jax.errors.JAXIndexError):
      return (
        "its Python asks for the value of a tensor (if, item, numpy, a mask as an"
        f" index), which a compiled program does not know yet; use torch.where ({said})"
      )
    if isinstance(error, AssertionError) and "mixed math" in said:
      return (
        "it uses a tensor that is no parameter, buffer or attribute of the modules that"
        " were given; put all networks into one torch.nn.ModuleDict, and other tensors"
        " (prompts, windows) into it by register_buffer"
      )
    return f"it fails in JAX by {_installed()} ({said})"
