"""What `from_torch` refuses, in one line that names the part and the mend."""

import re

import numpy as np
import pytest

from lsaprobe_jax import diffusion
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models.checkpoints import CheckpointError
from lsaprobe_jax.models.from_torch import from_torch

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
torchax = pytest.importorskip("torchax")

RATE = 32
PATH = diffusion.linear(20, 1e-3, 0.2)
functional = torch.nn.functional


class Net(torch.nn.Module):
  """One layer, whose forward a test may replace."""

  def __init__(self, forward=None):
    super().__init__()
    self.layer = torch.nn.Linear(RATE, RATE)
    self.register_buffer("count", torch.zeros(()))
    self._forward = forward

  def forward(self, x, t):
    x = self.layer(x)
    return x if self._forward is None else self._forward(self, x, t)


def net(forward=None):
  torch.manual_seed(0)
  return Net(forward).eval()


def counted(module, x, t):
  module.count += 1
  return x


def closed_over(module, x, t, other=torch.nn.Linear(RATE, RATE)):  # noqa: B008
  return other(x)


def refuse(error, match, module, **settings):
  with pytest.raises(error, match=match) as caught:
    from_torch(module, **{"path": PATH, "sample_rate": RATE, **settings})
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize(
  ("match", "settings"),
  [
    (r"^module=int: .* torch\.nn\.Module", {"module": 3}),
    (r"^encode=int: .* function of tensors", {"encode": 3}),
    (r"^call=str: ", {"call": "forward"}),
    (r"^path=str: .*diffusion\.Schedule", {"path": "linear"}),
    ("^prediction=flow is of a path", {"prediction": "flow"}),
    ("^sample_rate=0: ", {"sample_rate": 0}),
    (r"^example of float64 \(2, 32\)", {"example": np.zeros((2, RATE))}),
    (r"^example of int64 \(32,\)", {"example": np.zeros(RATE, int)}),
  ],
)
def test_arguments(match, settings):
  refuse(ArgumentError, match, settings.pop("module", net()), **settings)


def test_steps():
  refuse(SettingError, "num_inference_steps", net(), num_inference_steps=0)


@pytest.mark.parametrize(
  ("change", "match"),
  [
    (
      lambda m: m.layer.train(),
      r"^module\.layer \(Linear\) is in training .* eval\(\)",
    ),
    (
      lambda m: m.layer.half(),
      r"^module\.layer\.weight is of torch\.float16; .* float",
    ),
    (lambda m: m.double(), r"^module\.count is of torch\.float64|layer\.weight is of"),
  ],
)
def test_modules_that_are_not_ready(change, match):
  module = net()
  change(module)
  refuse(ArgumentError, match, module)


@pytest.mark.parametrize(
  ("forward", "match"),
  [
    (
      lambda m, x, t: functional.dropout(x, 0.5, training=True),
      "^call: it returns something else when it is called again; .* random",
    ),
    (counted, r"^call: it changes module\.count when it is called"),
    (lambda m, x, t: x[:, 1:], r"^call: it returns \(31,\) for a state of \(32,\)"),
    (lambda m, x, t: x * torch.inf, "^call: .* not finite"),
    (lambda m, x, t: {"out": x}, r"^call: it fails in PyTorch on \(32,\), \(\) \(KeyE"),
    (
      lambda m, x, t: m.layer(x[:, 1:]),
      r"^call: it fails in PyTorch .*\(Runtime.*shape",
    ),
  ],
)
def test_networks_that_are_no_functions_of_a_state(forward, match):
  refuse(ArgumentError, match, net(forward))


@pytest.mark.parametrize(
  ("forward", "match"),
  [
    (lambda m, x, t: x if x.sum() > 0 else -x, "^call: its Python asks .*torch.where"),
    (lambda m, x, t: x * float(x.detach().numpy().max()), "^call: its Python asks"),
    (closed_over, "^call: it uses a tensor that is no .*ModuleDict.*register_buffer"),
    (lambda m, x, t: x * torch.tensor(np.ones(RATE)).float().cpu(), "^call: "),
    (
      lambda m, x, t: torch.special.airy_ai(x),
      r"^call: torchax 0\.\S+ beside torch \S+ has no aten::special_airy_ai in JAX;"
      r" .*override_op_definition",
    ),
  ],
)
def test_what_jax_cannot_compute(forward, match):
  refuse(CheckpointError, match, net(forward))


def test_what_an_encoder_or_a_decoder_may_not_do():
  same = lambda m, audio: audio
  noisy = lambda m, audio: audio + 0.01 * torch.randn_like(audio)
  refuse(
    ArgumentError, "^encode: it returns something else .* mean", net(), encode=noisy
  )
  cut = lambda m, x: x[:-1]
  match = r"^decode: of a clip of 32 samples there comes \(31,\)"
  refuse(ArgumentError, match, net(), encode=same, decode=cut)
  stereo = lambda m, x: torch.stack([x, x])
  match = r"^decode: .* there comes \(2, 32\); it must be one channel"
  refuse(ArgumentError, match, net(), encode=same, decode=stereo)
  unread = lambda m, audio: [{"latent": audio}]
  refuse(ArgumentError, "^encode: it returns dict; return a", net(), encode=unread)
  # State is of any shape, and a decoder may give more than the clip.
  longer = lambda m, x: torch.cat([x, x[:3]])
  assert from_torch(net(), PATH, same, longer, sample_rate=RATE).for_length(RATE)


def test_an_operator_can_be_given_and_a_wrong_one_is_found(monkeypatch):
  env = torchax.default_env()
  monkeypatch.setattr(env, "_ops", dict(env._ops))
  leaky = net(lambda m, x, t: functional.rrelu(x))
  refuse(CheckpointError, "has no aten::rrelu_with_noise", leaky)

  def give(slope):
    env.override_op_definition(
      torch.ops.aten.rrelu_with_noise.default,
      lambda x, noise, low=1 / 8, high=1 / 3, *rest: torch.where(
        x > 0, x, slope(low, high) * x
      ),
    )

  give(lambda low, high: 0.5 * low)
  said = refuse(CheckpointError, "^call: its output lies .* from PyTorch's", leaky)
  far, tolerance = re.search(r"lies (\S+) of .* tolerance of (\S+);", said).groups()
  assert float(tolerance) == 1e-4 < float(far) < 1
  give(lambda low, high: (low + high) / 2)
  assert from_torch(leaky, PATH, sample_rate=RATE)


def test_a_gradient_that_is_another_is_found():
  """The output is PyTorch's to the last digit."""

  class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
      return x.clone()

    @staticmethod
    def backward(ctx, grad):
      return 2 * grad

  twice = net(lambda m, x, t: Doubled.apply(x))
  refuse(CheckpointError, "^call: its gradient by the state lies 0.5 of", twice)
  cut = net(lambda m, x, t: x.detach())
  refuse(CheckpointError, r"^call: its gradient by the state .*take out detach", cut)
