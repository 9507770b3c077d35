"""MusicLDM's modules against diffusers and transformers, live, on random weights.

Values on tiny networks; names and shapes at the published sizes, which PyTorch builds
on its `meta` device.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_musicldm as tiny

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import checkpoints, registry, torch_params
from lsaprobe_jax.models.musicldm import porting, scheduler, unet, vae, vocoder

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

UNETS = {
  "musicldm": {},
  "other choices": {
    "resnet_time_scale_shift": "scale_shift",
    "use_linear_projection": True,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "time_embedding_dim": 20,
    "class_embeddings_concat": False,
    "layers_per_block": 2,
    "transformer_layers_per_block": 2,
    "attention_head_dim": 2,
    "norm_eps": 1e-3,
  },
  "unconditional": {
    "class_embed_type": None,
    "projection_class_embeddings_input_dim": None,
    "class_embeddings_concat": False,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"],
  },
}


def to_torch(x, dtype=torch.float32):
  """[time, mel, channels] -> [1, channels, time, mel]."""
  return torch.tensor(np.asarray(x), dtype=dtype).permute(2, 0, 1)[None]


def to_ours(y):
  return y[0].permute(1, 2, 0).detach().numpy()


def error(ours, original):
  return np.max(np.abs(np.asarray(ours) - original)) / np.max(np.abs(original))


@pytest.mark.parametrize("name", UNETS)
def test_unet(name):
  configs = tiny.configs(unet=UNETS[name])
  modules, states = tiny.torch_modules(configs)
  network = unet.from_config(configs["unet"])
  params = {"params": torch_params.module_params(states["unet"])}
  conditional = configs["unet"]["class_embed_type"] is not None
  condition = tiny.draw("condition", (6,)) if conditional else None
  labels = torch.tensor(condition)[None] if conditional else None
  run = jax.jit(network.apply)
  # The second is odd on its way down: the UNet crops on its way up.
  for shape in ((8, 4, 4), (7, 6, 4)):
    x = tiny.draw("latent", shape)
    for step in (0, 371, 999):
      with torch.no_grad():
        y = modules["unet"](to_torch(x), step, None, class_labels=labels).sample
      assert error(run(params, x, step, condition), to_ours(y)) < 1e-4, (shape, step)


@pytest.mark.parametrize(
  "change",
  [
    {},
    {"block_out_channels": [8, 12, 16], "down_block_types": ["DownEncoderBlock2D"] * 3,
     "up_block_types": ["UpDecoderBlock2D"] * 3, "layers_per_block": 2},
    {"use_quant_conv": False, "use_post_quant_conv": False,
     "mid_block_add_attention": False},
  ],
  ids=["tiny", "three levels", "bare"],
)  # fmt: skip
def test_vae(change):
  configs = tiny.configs(vae=change)
  modules, states = tiny.torch_modules(configs)
  network = vae.from_config(configs["vae"])
  params = {"params": torch_params.module_params(states["vae"])}
  run = jax.jit(network.apply, static_argnames="method")
  log_mel, latent = tiny.draw("log_mel", (12, 8, 1)), tiny.draw("latent", (6, 4, 4))
  with torch.no_grad():
    posterior = modules["vae"].encode(to_torch(log_mel)).latent_dist
    decoded = modules["vae"].decode(to_torch(latent)).sample
  assert error(run(params, log_mel, method="encode"), to_ours(posterior.mode())) < 1e-4
  moments = run(params, log_mel, method="moments")
  assert error(moments, to_ours(posterior.parameters)) < 1e-4
  assert error(run(params, latent, method="decode"), to_ours(decoded)) < 1e-4


def test_old_names_of_the_vaes_attention():
  modules, states = tiny.torch_modules(tiny.CONFIGS)
  new = modules["vae"].state_dict()
  names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
  old = {}
  for name, value in states["vae"].items():
    for after, before in names.items():
      name = name.replace(f"attentions.0.{after}.", f"attentions.0.{before}.")
    old[name] = value
  assert len(set(old) - set(new)) == 16
  ours = torch_params.module_params(old)
  jax.tree.map(
    np.testing.assert_array_equal, ours, torch_params.module_params(states["vae"])
  )
  # As convolutions of width 1, which the original checkpoints have.
  square = {k: v[:, :, None, None] if k in set(old) - set(new) and v.ndim == 2 else v
            for k, v in old.items()}  # fmt: skip
  jax.tree.map(np.testing.assert_array_equal, ours, torch_params.module_params(square))


@pytest.mark.parametrize("norm", [None, "old", "new"])
@pytest.mark.parametrize("normalise", [False, True])
def test_vocoder(norm, normalise):
  configs = tiny.configs(vocoder={"normalize_before": normalise})
  modules, _ = tiny.torch_modules(configs)
  module = modules["vocoder"].requires_grad_(True)
  log_mel = tiny.draw("log_mel", (12, 8, 1))[:, :, 0]
  if norm == "new":
    module.apply_weight_norm()
  elif norm == "old":
    for layer in module.modules():
      if isinstance(layer, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
        torch.nn.utils.weight_norm(layer)
  if norm is not None:  # else g / ||v|| is 1
    for name, parameter in module.named_parameters():
      if name.endswith(("weight_g", "original0")):
        parameter.data *= torch.tensor(tiny.draw(name, (1,)))
  state = {k: v.detach().numpy() for k, v in module.state_dict().items()}
  if not normalise:
    del state["mean"], state["scale"]
  network = vocoder.from_config(configs["vocoder"])
  params = torch_params.module_params(state)
  expected = jax.eval_shape(network.init, jax.random.key(0), log_mel)["params"]
  checkpoints.check_fit(params, expected, "vocoder")
  ours = jax.jit(network.apply)({"params": params}, log_mel)
  with torch.no_grad():
    y = module(torch.tensor(log_mel)).numpy()
  assert error(ours, y) < 1e-4


@pytest.mark.parametrize("name", ["musicldm", "audioldm"])
def test_names_and_shapes_at_the_published_sizes(name):
  path = pathlib.Path(porting.__file__).parent / "published.json"
  config = json.loads(path.read_text())[name]
  with torch.device("meta"):
    modules = {
      "unet": diffusers.UNet2DConditionModel.from_config(config["unet"]),
      "vae": diffusers.AutoencoderKL.from_config(config["vae"]),
      "vocoder": transformers.SpeechT5HifiGan(
        transformers.SpeechT5HifiGanConfig(**config["vocoder"])
      ),
    }
  params = {}
  for part, module in modules.items():
    # Never written, and so never more than addresses.
    tensors = {k: np.zeros(v.shape, np.float32) for k, v in module.state_dict().items()}
    tensors = {k: v for k, v in tensors.items() if k not in ("mean", "scale")}
    params[part] = torch_params.module_params(tensors)
  params["conditioning"] = {"embedding": np.zeros(512)}
  abstract = registry.abstract_params(porting.model_config(config))
  checkpoints.check_fit(params, abstract, name)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("to_one", [False, True])
def test_ddim_step_by_step(prediction, to_one):
  # diffusers' grid: from 901 in steps of 100 to 1, and then past the beginning. Its
  # index i is our t = i + 1, and whatever lies before index 0 is our t = 0.
  config = tiny.CONFIGS["scheduler"] | {
    "prediction_type": prediction,
    "set_alpha_to_one": to_one,
  }
  original = diffusers.DDIMScheduler.from_config(config)
  original.set_timesteps(10)
  schedule = scheduler.build_schedule(config)
  assert schedule.prediction == prediction
  params, model = tiny.params()
  model = model | {"scheduler": config}
  ldm = registry.build_model(model, params, 1)
  raw = jax.jit(
    lambda x, t: ldm.network.apply({"params": ldm.params}, x, t - 1, ldm.condition)
  )
  x = tiny.draw("latent", (6, 4, 4))
  assert original.timesteps.tolist() == list(range(901, 0, -100))
  for index in original.timesteps.tolist():
    t, s = index + 1, max(index - 100 + 1, 0)
    theirs = original.step(torch.tensor(np.asarray(raw(x, t))), index, torch.tensor(x))
    ours = diffusion.step(schedule, x, diffusion.predicted(ldm, x, t), t, s)
    assert error(ours, theirs.prev_sample.numpy()) < 1e-4, index
    x = np.asarray(ours)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_reverse_and_decode_with_gradient(prediction):
  # diffusers' spacing `trailing` is our grid from t = T: 1000, 750, 500, 250, 0. In
  # float64: in float32 a leaky ReLU whose input is zero to rounding may fall on either
  # side, in either framework.
  config = tiny.configs(
    scheduler={"prediction_type": prediction, "timestep_spacing": "trailing"},
    vocoder={"normalize_before": True},
  )
  modules, states = tiny.torch_modules(config)
  for module in modules.values():
    module.double()
  original = diffusers.DDIMScheduler.from_config(config["scheduler"])
  original.set_timesteps(4)
  latent = tiny.draw("latent", (6, 4, 4))
  condition = tiny.draw("condition", (6,))
  samples = 1700
  cotangent = tiny.draw("cotangent", (samples, 1))[:, 0].astype(np.float64)

  x_t = to_torch(latent, torch.float64).requires_grad_(True)
  x = x_t
  labels = torch.tensor(condition, dtype=torch.float64)[None]
  assert original.timesteps.tolist() == [999, 749, 499, 249]
  for index in original.timesteps.tolist():
    out = modules["unet"](x, index, None, class_labels=labels).sample
    x = original.step(out, index, x).prev_sample
  log_mel = modules["vae"].decode(x / config["vae"]["scaling_factor"]).sample
  waveform = modules["vocoder"](log_mel[:, 0])[0, :samples]
  (expected,) = torch.autograd.grad(waveform, x_t, torch.tensor(cotangent))

  params = {part: torch_params.module_params(state) for part, state in states.items()}
  params["conditioning"] = {"embedding": condition}
  with jax.enable_x64(True):
    wide = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
    ldm = registry.build_model(porting.model_config(config), wide, 4)
    ldm = ldm.for_length(samples)
    ours, vjp = jax.vjp(
      jax.jit(lambda x: ldm.reconstruct(x, 1000)),
      jnp.asarray(latent, jnp.float64),
    )
    (gradient,) = vjp(jnp.asarray(cotangent))
  assert gradient.dtype == np.float64
  # Measured: 8e-8 and 4e-7.
  assert error(ours, waveform.detach().numpy()) < 1e-6
  assert error(gradient, to_ours(expected)) < 1e-5
