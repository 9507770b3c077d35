"""Our modules beside PyTorch's, on random weights: outputs and gradients."""

import jax
import jax.numpy as jnp
import numpy as np

from lsaprobe_jax.models import torch_params

# Outputs and gradients, relative to the largest value.
BOUNDS = {"float32": (1e-4, 1e-3), "float64": (1e-6, 1e-6)}


def draw(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape)


def randomised(module, dtype):
  """The module with weights that are all drawn, no bias or snake at zero."""
  import torch

  torch.manual_seed(0)
  with torch.no_grad():
    for name, parameter in module.named_parameters():
      if parameter.ndim < 2 or name.endswith(("alpha", "beta")):
        parameter.add_(0.3 * torch.randn_like(parameter))
  return module.to(getattr(torch, dtype)).eval()


def state(module, dtype):
  found = {name: value.numpy() for name, value in module.state_dict().items()}
  params = torch_params.module_params(found)
  return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)


def assert_close(ours, original, bound):
  ours, original = np.asarray(ours), original.detach().numpy()
  assert ours.shape == original.shape
  assert np.max(np.abs(ours - original)) < bound * np.max(np.abs(original))


def compare(dtype, ours, original, x, to_torch, back):
  """Compares outputs, and gradients of their product with a random cotangent."""
  import torch

  forward, gradient = BOUNDS[dtype]
  x = jnp.asarray(x, dtype)
  theirs = to_torch(x).requires_grad_()
  wanted = back(original(theirs))
  found, pull_back = jax.vjp(jax.jit(ours), x)
  assert found.dtype == dtype
  assert_close(found, wanted, forward)
  cotangent = draw(9, *found.shape).astype(dtype)
  torch.sum(wanted * torch.tensor(cotangent)).backward()
  assert_close(
    jax.jit(pull_back)(jnp.asarray(cotangent))[0], back(theirs.grad), gradient
  )


def to_torch(x):
  """[time, channels] -> [1, channels, time]."""
  import torch

  return torch.tensor(np.asarray(x)).T[None]


def back(y):
  return y[0].T


def published(module):
  """Shapes of our parameters for a module on PyTorch's meta device."""
  # A single number stands for each tensor, and costs no memory.
  state = {
    name: np.broadcast_to(np.float32(1), tuple(value.shape))
    for name, value in module.state_dict().items()
  }
  return shapes(torch_params.module_params(state))


def shapes(tree):
  return jax.tree.map(lambda leaf: leaf.shape, tree)
