"""PyTorch's modules in JAX beside themselves: values, gradients, scores."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsaprobe_jax import attacks, diffusion, distances, search
from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models.from_torch import from_torch
from lsaprobe_jax.probe import noisy_state

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
pytest.importorskip("torchax")

RATE, SAMPLES, T = 2000, 32, 12
PATH = diffusion.linear(20, 1e-3, 0.2)
KEY = jax.random.key(3)
AUDIO = np.random.default_rng(0).normal(scale=0.5, size=SAMPLES).astype(np.float32)


class Net(torch.nn.Module):
  """Predicts noise: weight norm, a table, statistics, a buffer, an embedded index."""

  def __init__(self):
    super().__init__()
    conv = functools.partial(torch.nn.Conv1d, kernel_size=3, padding=1)
    self.first = torch.nn.utils.parametrizations.weight_norm(conv(1, 4))
    self.norm = torch.nn.BatchNorm1d(4)
    self.last = conv(4, 1)
    self.embedding = torch.nn.Embedding(20, 4)
    self.register_buffer("scale", torch.tensor([0.5, 1.5, 1.0, 2.0]))
    self.shift = torch.linspace(0, 1, 4)  # Nobody registered it.

  def forward(self, x, t):
    hidden = self.norm(self.first(x[:, None])) + self.embedding(t)[..., None]
    hidden = hidden * self.scale[:, None] + self.shift[:, None] * self.table(x.device)
    return self.last(torch.nn.functional.silu(hidden))[:, 0] + 0.1 * x

  @functools.lru_cache  # noqa: B019 (as networks of diffusers do)
  def table(self, device):
    position = torch.arange(SAMPLES, device=device)
    # No number but a mask, which it stays when another is made of it.
    even = position % 2 == 0
    return even.type_as(self.last.weight) + torch.where(even, 0.0, 0.5)


def net(seed=0):
  torch.manual_seed(seed)
  module = Net()
  module.norm.running_mean.normal_()
  module.norm.running_var.uniform_(0.5, 2)
  return module.eval()


def make(module, path=PATH, **settings):
  settings = {"sample_rate": RATE, "example": AUDIO, **settings}
  return from_torch(module, path, **settings)


@pytest.fixture(scope="module")
def module():
  return net()


@pytest.fixture(scope="module")
def model(module):
  return make(module, num_inference_steps=2).model


@functools.partial(jax.jit, static_argnums=3)
def attacked(attack, model, audio, t=T):
  return attack(model, KEY, audio, t)


def test_values_and_gradients_are_those_of_autograd_over_clips_and_times(module, model):
  rng = np.random.default_rng(1)
  x = rng.normal(size=(3, SAMPLES)).astype(np.float32)
  cotangent = rng.normal(size=(2, 3, SAMPLES)).astype(np.float32)
  times = jnp.array([1, 17])

  def both(model, x):
    each = jax.vmap(model.predict, (0, None))
    # Rematerialised and in a loop, as the reverse process has it.
    step = jax.checkpoint(lambda _, t: (None, each(x, t)))
    return jax.lax.scan(step, None, times)[1]

  found, pull_back = jax.vjp(jax.jit(both), model, x)
  theirs = torch.tensor(x, requires_grad=True)
  # PyTorch's index counts from 0.
  wanted = torch.stack(
    [module(theirs, torch.full((3,), t - 1)) for t in times.tolist()]
  )
  close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())
  close(found, wanted.detach().numpy())
  weighted = torch.sum(wanted * torch.tensor(cotangent))
  by_x, by_last, by_embedding = torch.autograd.grad(
    weighted, (theirs, module.last.weight, module.embedding.weight)
  )
  by_model, by_state = pull_back(jnp.asarray(cotangent))
  close(by_state, by_x.numpy())
  close(by_model.params["module.last"]["weight"], by_last.numpy())
  close(by_model.params["module.embedding"]["weight"], by_embedding.numpy())


def test_the_gradient_norm_is_that_by_the_parameters(module, model):
  """Neither statistics nor other buffers are weights."""
  found = attacked(attacks.get("gradient_norm", times=1), model, AUDIO)
  x_t, noise = noisy_state(model, KEY, AUDIO, T, 0)
  out = module(torch.tensor(np.array(x_t))[None], torch.tensor([T - 1]))[0]
  loss = torch.mean((torch.tensor(np.array(noise)) - out) ** 2)
  grads = torch.autograd.grad(loss, list(module.parameters()))
  wanted = torch.sqrt(sum(torch.sum(grad**2) for grad in grads))
  np.testing.assert_allclose(-found.score, wanted.numpy(), rtol=1e-4)


@pytest.mark.parametrize("name", attacks.names())
def test_every_baseline_scores(model, name):
  distance = distances.get("waveform", sample_rate=RATE)
  ladder = search.get("continuation", rungs=2)
  settings = {
    "random_stability": {"eta": 0.3},
    "relative_degradation": {"eta": 0.3, "search": ladder},
  }
  attack = attacks.get(name, distance, **settings.get(name, {}))
  assert np.isfinite(attacked(attack, model, AUDIO).score)


def test_weights_are_arguments_and_the_module_stays_as_it_was():
  module = net(1)
  state = {name: value.clone() for name, value in module.state_dict().items()}
  before = module(torch.ones(1, SAMPLES), torch.tensor([3]))
  model = make(module).model
  traced = jax.make_jaxpr(lambda model, x: model.predict(x, 4))(model, np.ones(SAMPLES))
  held = [np.shape(x) for x in traced.consts]
  # The table alone, and no weight: none has more than 20 times 4 numbers.
  assert sum(np.prod(shape, dtype=int) for shape in held) <= 2 * SAMPLES
  assert (4, 1, 3) not in held
  assert (20, 4) not in held
  predict = jax.jit(lambda model, x: model.predict(x, 4))
  ones = np.ones(SAMPLES, np.float32)
  found = predict(model, ones)
  np.testing.assert_allclose(found, before[0].detach(), atol=1e-5)
  assert all(type(p) is torch.nn.Parameter for p in module.parameters())
  for name, value in module.state_dict().items():
    assert torch.equal(value, state[name]), name
  assert torch.equal(module(torch.ones(1, SAMPLES), torch.tensor([3])), before)
  # The weights of the module are copied, and those of the model can be replaced.
  with torch.no_grad():
    module.last.weight.zero_()
    module.last.bias.zero_()
  np.testing.assert_array_equal(predict(model, ones), found)
  params = model.params | {
    "module.last": jax.tree.map(jnp.zeros_like, model.params["module.last"])
  }
  np.testing.assert_allclose(predict(model.replace(params=params), ones), 0.1)


def test_a_weight_that_modules_share_is_there_once():
  module = torch.nn.Sequential(torch.nn.Linear(SAMPLES, SAMPLES), torch.nn.Tanh())
  module.append(torch.nn.Linear(SAMPLES, SAMPLES))
  module[2].weight = module[0].weight
  model = make(module.eval(), call=lambda m, x, t: m(x)).model
  assert {key: set(held) for key, held in model.params.items()} == {
    "module.0": {"weight", "bias"},
    "module.2": {"bias"},
  }
  grad = jax.grad(lambda p: model.replace(params=p).predict(AUDIO, 1).sum())
  module(torch.tensor(AUDIO)).sum().backward()
  wanted = module[0].weight.grad.numpy()
  found = grad(model.params)["module.0"]["weight"]
  np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
  ("path", "prediction", "time"),
  [
    (PATH, None, T - 1),
    (PATH, "v_prediction", T - 1),
    (diffusion.TRIGONOMETRIC, None, T / 1000),
    (diffusion.RECTIFIED_FLOW, None, T / 1000),
  ],
)
def test_networks_are_told_time_as_they_count_it_and_predict_what_the_path_says(
  path, prediction, time
):
  # A function without weights.
  tells = lambda x, t: t[:, None] + 0 * x
  model = make(tells, path, prediction=prediction).model
  assert model.params == {}
  x = jnp.asarray(AUDIO)
  np.testing.assert_allclose(model.predict(x, T), time, rtol=1e-6)
  signal, noise = model.schedule.signal[T], model.schedule.noise[T]
  kind = prediction or getattr(path, "prediction", "epsilon")
  wanted = {
    "epsilon": time,
    "v_prediction": signal * time + noise * x,
    "flow": x + signal * time,
  }
  np.testing.assert_allclose(model.predict_noise(x, T), wanted[kind], rtol=1e-5)


def test_encoders_and_decoders_are_modules_of_their_own_or_functions():
  torch.manual_seed(0)
  encoder = torch.nn.Conv1d(1, 2, 4, stride=4)
  decoder = torch.nn.ConvTranspose1d(2, 1, 4, stride=4)
  networks = torch.nn.ModuleDict({"net": torch.nn.Conv1d(2, 2, 1), "decoder": decoder})

  class Encoder(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.conv = encoder

    def forward(self, audio):
      return (self.conv(audio[:, None]),)

  model = make(
    networks.eval(), encode=Encoder().eval(), call=lambda m, x, t: m["net"](x[None])[0],
    decode=lambda m, x: m["decoder"](x[None])[0, 0],
  ).model  # fmt: skip
  state = encoder(torch.tensor(AUDIO)[None, None])
  np.testing.assert_allclose(model.encode(AUDIO), state[0].detach(), atol=1e-6)
  audio = decoder(state)[0, 0].detach()
  np.testing.assert_allclose(model.decode(state[0].detach().numpy()), audio, atol=1e-6)
  assert "encode.conv" in model.params


class Stereo(torch.nn.Module):
  """Mixes two channels, unlike one another."""

  def __init__(self):
    super().__init__()
    self.mix = torch.nn.Conv1d(2, 2, kernel_size=3, padding=1)

  def forward(self, x, t):
    return self.mix(x) * (1 + t[:, None, None] / 10)


def test_a_module_of_two_channels_is_scored_in_stereo():
  torch.manual_seed(0)
  module = Stereo().eval()
  audio = np.stack([AUDIO, np.roll(AUDIO, 3)])
  model = make(module, example=audio, channels=2)
  assert model.channels == 2
  own = model.for_length(SAMPLES).model
  found = jax.jit(own.predict_noise)(audio, 4)
  with torch.no_grad():
    wanted = module(torch.tensor(audio)[None], torch.tensor([3]))[0].numpy()
  np.testing.assert_allclose(found, wanted, atol=1e-6)
  distance = distances.get("waveform", sample_rate=RATE)
  attack = attacks.get("rediffuse", distance, draws=1)
  score = jax.jit(lambda model, audio: attack(model, KEY, audio, 4).score)
  assert np.isfinite(score(own, audio))
  # Which channel is which matters to it.
  assert score(own, audio) != score(own, audio[::-1])
  with pytest.raises(ArgumentError, match=r"example .*\(32,\).*\[2, samples\]"):
    make(module, channels=2)
