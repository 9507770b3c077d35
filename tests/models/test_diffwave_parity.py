"""DiffWave against LMNT's PyTorch code (PyPI `diffwave` 0.1.7), random weights."""

import importlib.util
import pathlib
import subprocess
import sys
import tarfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import checkpoints
from lsaprobe_jax.models import generator as generators
from lsaprobe_jax.models import porting

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

  class Params(dict):
    __getattr__ = dict.__getitem__

  settings = Params(size, noise_schedule=np.linspace(1e-4, 0.05, 50).tolist())
  settings["sample_rate"] = 22050
  model = lmnt.DiffWave(settings)
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
  expected = jax.eval_shape(lambda: generators.init_params(config, jax.random.key(0)))
  checkpoints.check_fit(params, expected, "LMNT")
  network = generators.build_network(config)

  audio = real_audio(4096, 22050)
  mel = np.random.default_rng(0).normal(size=(16, size["n_mels"])).astype(np.float32)
  cotangent = np.random.default_rng(1).normal(size=4096).astype(np.float32)
  for step in (0, 7, 49):
    x = torch.tensor(audio[None], requires_grad=True)
    y = model(x, torch.tensor(mel.T[None]), torch.tensor([step]))[0, 0]
    (gradient,) = torch.autograd.grad(y, x, torch.tensor(cotangent))
    with jax.default_matmul_precision("highest"):
      args = (jnp.asarray(mel),) if conditional else ()
      ours, vjp = jax.vjp(
        lambda x: network.apply({"params": params}, x, jnp.int32(step), *args),  # noqa: B023
        jnp.asarray(audio),
      )
      (our_gradient,) = vjp(jnp.asarray(cotangent))
    for mine, original in ((ours, y.detach()), (our_gradient, gradient[0])):
      error = np.max(np.abs(mine - original.numpy())) / np.max(np.abs(original.numpy()))
      assert error < 1e-5, (step, error)


def test_fractional_steps_agree(lmnt, real_audio):
  torch, model, settings, state = _torch_model(lmnt, SIZES[0], True)
  network = generators.build_network(porting.diffwave_model_config(settings, state))
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
