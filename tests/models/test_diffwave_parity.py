"""DiffWave against LMNT's PyTorch code (PyPI `diffwave` 0.1.7), random weights."""

import copy
import importlib.util
import pathlib
import subprocess
import sys
import tarfile
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.diffwave import family as diffwave
from lsaprobe_jax.models.diffwave import porting

pytestmark = pytest.mark.parity

SIZES = [
  dict(residual_channels=16, residual_layers=4, dilation_cycle_length=2, n_mels=20),
  dict(residual_channels=24, residual_layers=10, dilation_cycle_length=10, n_mels=40),
  dict(residual_channels=64, residual_layers=30, dilation_cycle_length=10, n_mels=80),
]


@pytest.fixture(scope="session")
def lmnt(tmp_path_factory):
  """LMNT's model module alone; the package's own imports need a training stack."""
  folder = tmp_path_factory.mktemp("diffwave")
  command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
  command += ["--no-binary=:all:", "-d", str(folder), "diffwave==0.1.7"]
  subprocess.run(command, check=True, capture_output=True)
  with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
    archive.extractall(folder, filter="data")
  path = next(pathlib.Path(folder).glob("*/src/diffwave/model.py"))
  spec = importlib.util.spec_from_file_location("lmnt_diffwave_model", path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _torch_model(lmnt, size, conditional):
  torch = pytest.importorskip("torch")
  torch.manual_seed(0)

  settings = dict(size, noise_schedule=np.linspace(1e-4, 0.05, 50).tolist())
  settings["sample_rate"] = 22050
  model = lmnt.DiffWave(types.SimpleNamespace(**settings))
  # The original starts with a last layer of zeros: every output would agree.
  torch.nn.init.normal_(model.output_projection.weight, std=0.3)
  for parameter in model.parameters():
    if parameter.ndim == 1:
      torch.nn.init.normal_(parameter, std=0.1)
  state = {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}
  if not conditional:
    # Unconditional LMNT models lack these layers; at zero they change nothing.
    for layer in model.residual_layers:
      torch.nn.init.zeros_(layer.conditioner_projection.weight)
      torch.nn.init.zeros_(layer.conditioner_projection.bias)
    state = {
      k: v
      for k, v in state.items()
      if "conditioner_projection" not in k and "spectrogram_upsampler" not in k
    }
  return torch, model, settings, state


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"c{s['residual_channels']}")
def test_forward_and_gradient_agree(lmnt, real_audio, size, conditional):
  torch, model, settings, state = _torch_model(lmnt, size, conditional)
  config = porting.diffwave_model_config(settings, state)
  params = porting.diffwave_params(state)
  expected = jax.eval_shape(lambda: registry.init_params(config, jax.random.key(0)))
  checkpoints.check_fit(params, expected, "LMNT")
  network = diffwave.FAMILY.build_network(config)
  double = copy.deepcopy(model).double()

  rng = np.random.default_rng(0)
  audio = real_audio(4096, 22050)
  mel = rng.normal(size=(16, size["n_mels"])).astype(np.float32)
  cotangent = rng.normal(size=4096)
  for step in (0, 7, 49):
    # The forward pass in float32, as it is used.
    with jax.default_matmul_precision("highest"):
      ours = _ours(network, params, audio, step, mel if conditional else None)
    with torch.no_grad():
      y = model(*map(torch.tensor, (audio[None], mel.T[None], [step])))[0, 0].numpy()
    assert _error(ours, y) < 1e-5, step
    # The gradient in float64: in float32 a ReLU whose input is zero to rounding may
    # fall on either side, in PyTorch's own float32 against its float64 too.
    x = torch.tensor(audio[None], dtype=torch.float64, requires_grad=True)
    condition = torch.tensor(mel.T[None], dtype=torch.float64)
    y = double(x, condition, torch.tensor([step]))[0, 0]
    (expected,) = torch.autograd.grad(y, x, torch.tensor(cotangent))
    with jax.enable_x64(True):
      wide = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
      args = (mel.astype(np.float64),) if conditional else (None,)
      ours, vjp = jax.vjp(
        lambda x: _ours(network, wide, x, step, *args),  # noqa: B023
        jnp.asarray(audio, jnp.float64),
      )
      (gradient,) = vjp(jnp.asarray(cotangent))
    assert gradient.dtype == np.float64
    assert _error(ours, y.detach().numpy()) < 1e-6, step
    assert _error(gradient, expected[0].numpy()) < 1e-6, step


def _ours(network, params, audio, step, mel):
  args = () if mel is None else (mel,)
  return network.apply({"params": params}, audio, jnp.int32(step), *args)


def _error(ours, original):
  return np.max(np.abs(ours - original)) / np.max(np.abs(original))


def test_fractional_steps_agree(lmnt, real_audio):
  torch, model, settings, state = _torch_model(lmnt, SIZES[0], True)
  network = diffwave.FAMILY.build_network(
    porting.diffwave_model_config(settings, state)
  )
  audio = real_audio(1024, 22050)
  mel = np.random.default_rng(0).normal(size=(4, 20)).astype(np.float32)
  with torch.no_grad():
    y = model(
      torch.tensor(audio[None]), torch.tensor(mel.T[None]), torch.tensor([3.25])
    )[0, 0]
  ours = network.apply(
    {"params": porting.diffwave_params(state)}, audio, jnp.float32(3.25), mel
  )
  np.testing.assert_allclose(ours, y.numpy(), atol=1e-5 * float(y.abs().max()))
