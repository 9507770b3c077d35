"""LoRAs that peft and diffusers made and saved, merged, beside the originals with them.

Every comparison is with PyTorch's network and the adapter active in it, unmerged.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_musicldm
import tiny_stable_audio
from compared import draw, randomised
from safetensors.numpy import load_file, save_file

from lsaprobe_jax.models import checkpoints, conversion
from lsaprobe_jax.models.files import lora
from lsaprobe_jax.models.musicldm import family as musicldm
from lsaprobe_jax.models.stable_audio import family as stable_audio

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
peft = pytest.importorskip("peft")

BOUND = 1e-4
FRAMES = 9
# What of attention and of feed-forward layers is trained, under diffusers' names.
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"]
CONFIGS = {
  "plain": {"r": 4, "lora_alpha": 4},
  "alpha": {"r": 4, "lora_alpha": 10},
  "patterns": {
    "r": 4,
    "lora_alpha": 10,
    "rank_pattern": {"to_q": 2, "ff.net.2": 3},
    "alpha_pattern": {"attn1.to_q": 3, "^transformer_blocks.1.attn2.to_v": 20},
  },
  "stabilised": {"r": 4, "lora_alpha": 6, "use_rslora": True},
}


def config_of(name, **more):
  return peft.LoraConfig(**{"target_modules": TARGETS} | CONFIGS[name] | more)


def train(network):
  """Draws the adapter's weights, as if trained; B begins at zero."""
  torch.manual_seed(1)
  with torch.no_grad():
    for name, parameter in network.named_parameters():
      if "lora_" in name:
        parameter.copy_(0.3 * torch.randn_like(parameter))
  return network.eval()


def relative(ours, original):
  return np.max(np.abs(np.asarray(ours) - original)) / np.max(np.abs(original))


def agree(predict, base, source, wanted, **options):
  """Merges a saved LoRA, and compares what is predicted with the original's."""
  adapted = predict(base, source, **options)
  assert relative(adapted, wanted) < BOUND
  plain = predict(base, None)
  assert relative(plain, wanted) > 100 * BOUND


@pytest.fixture(scope="module")
def stable(tmp_path_factory):
  """The folder of a Stable Audio pipeline's parts, drawn at random."""
  folder = tmp_path_factory.mktemp("stable") / "pipeline"
  described = {
    part: {k: v for k, v in values.items() if not k.startswith("_")}
    for part, values in tiny_stable_audio.CONFIG.items()
    if isinstance(values, dict)
  }
  index = {"_class_name": "StableAudioPipeline"}
  kinds = {
    "transformer": diffusers.StableAudioDiTModel,
    "vae": diffusers.AutoencoderOobleck,
    "projection_model": diffusers.pipelines.stable_audio.StableAudioProjectionModel,
  }
  for part, kind in kinds.items():
    randomised(kind(**described[part]), "float32").save_pretrained(folder / part)
  (folder / "scheduler").mkdir()
  text = json.dumps(tiny_stable_audio.CONFIG["scheduler"])
  (folder / "scheduler" / "scheduler_config.json").write_text(text)
  (folder / "model_index.json").write_text(json.dumps(index))
  return folder


def transformer(folder):
  return diffusers.StableAudioDiTModel.from_pretrained(folder / "transformer")


X, TOKENS, OVERALL = draw(0, FRAMES, 4), draw(1, 5, 6), draw(2, 12)
X, TOKENS, OVERALL = (value.astype(np.float32) for value in (X, TOKENS, OVERALL))


def their_v(network):
  rotary = diffusers.models.embeddings.get_1d_rotary_pos_embed(
    4, FRAMES + 1, use_real=True, repeat_interleave_real=False
  )
  with torch.no_grad():
    return network(
      torch.tensor(X).T[None], torch.tensor([0.3]),
      encoder_hidden_states=torch.tensor(TOKENS)[None],
      global_hidden_states=torch.tensor(OVERALL)[None, None], rotary_embedding=rotary,
    ).sample[0].T.numpy()  # fmt: skip


@pytest.fixture(scope="module")
def our_v(tmp_path_factory):
  """v of a converted pipeline, perhaps with a LoRA."""
  described = stable_audio.build_networks(tiny_stable_audio.config()).transformer
  run = jax.jit(described.apply)

  def predict(base, source, **options):
    output = tmp_path_factory.mktemp("converted") / "model"
    conversion.convert(base, output, lora=source, **options)
    params, _ = checkpoints.load_model(output)
    weights = {"params": params["transformer"]}
    return run(weights, X, jnp.float32(0.3), TOKENS, OVERALL)

  return predict


@pytest.mark.parametrize("name", CONFIGS)
def test_what_peft_saves(stable, our_v, tmp_path, name):
  """v of Stable Audio's transformer: attention, feed-forward, patterns and rsLoRA."""
  adapted = train(peft.get_peft_model(transformer(stable), config_of(name)))
  adapted.save_pretrained(tmp_path / "adapter")
  names = {path.name for path in (tmp_path / "adapter").iterdir()}
  assert {"adapter_model.safetensors", "adapter_config.json"} <= names
  wanted = their_v(adapted)
  agree(our_v, stable, tmp_path / "adapter", wanted)
  agree(our_v, stable, tmp_path / "adapter" / lora.PEFT_WEIGHTS, wanted)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_diffusers_saves_of_a_transformer(stable, our_v, tmp_path, name):
  """As pipelines save: `transformer.` before the names, settings in the header."""
  network = transformer(stable)
  config = config_of(name)
  adapted = train(peft.inject_adapter_in_model(config, network))
  diffusers.loaders.lora_pipeline.AceStepLoraLoaderMixin.save_lora_weights(
    tmp_path,
    transformer_lora_layers=peft.get_peft_model_state_dict(adapted),
    transformer_lora_adapter_metadata=config.to_dict(),
  )
  assert (tmp_path / lora.DIFFUSERS_WEIGHTS).is_file()
  wanted = their_v(adapted)
  agree(our_v, stable, tmp_path, wanted)
  agree(our_v, stable, tmp_path / lora.DIFFUSERS_WEIGHTS, wanted)


def test_a_scale_of_the_user(stable, our_v, tmp_path):
  adapted = train(peft.get_peft_model(transformer(stable), config_of("patterns")))
  adapted.save_pretrained(tmp_path)
  for module in adapted.modules():
    if isinstance(module, peft.tuners.lora.LoraLayer):
      module.scale_layer(0.5)
  agree(our_v, stable, tmp_path, their_v(adapted), lora_scale=0.5)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_a_base_and_a_lora_of_half_precision(stable, our_v, tmp_path, kind):
  """Variants are widened first; the original computes in float32 on the same values."""
  dtype = getattr(torch, kind)
  base = tmp_path / "pipeline"
  for part in ("vae", "projection_model", "scheduler", "model_index.json"):
    (base / part).parent.mkdir(exist_ok=True)
    (base / part).symlink_to(stable / part)
  network = transformer(stable).to(dtype)
  network.save_pretrained(base / "transformer", variant="fp16", max_shard_size="10KB")
  assert len(list((base / "transformer").glob("*.fp16-*"))) > 1
  adapted = peft.get_peft_model(network.float(), config_of("alpha"))
  train(adapted).to(dtype).save_pretrained(tmp_path / "adapter")
  agree(our_v, base, tmp_path / "adapter", their_v(adapted.float()))


def unet():
  """MusicLDM's UNet of `tiny_musicldm`, drawn."""
  return tiny_musicldm.torch_modules(tiny_musicldm.CONFIGS)[0]["unet"]


LATENT = tiny_musicldm.draw("latent", (8, 4, 4))
CONDITION = tiny_musicldm.draw("condition", (6,))
# Convolutions of widths 3 and 1 too.
OF_UNET = [*TARGETS, "conv1", "proj_in", "downsamplers.0.conv", "conv_shortcut"]


def their_noise(network):
  with torch.no_grad():
    found = network(
      torch.tensor(LATENT).permute(2, 0, 1)[None], 371, None,
      class_labels=torch.tensor(CONDITION)[None],
    ).sample  # fmt: skip
  return found[0].permute(1, 2, 0).numpy()


@pytest.fixture(scope="module")
def music(tmp_path_factory):
  return tiny_musicldm.save_pipeline(tmp_path_factory.mktemp("music") / "pipeline")


@pytest.fixture(scope="module")
def our_noise(tmp_path_factory):
  described = tiny_musicldm.params()[1]
  run = jax.jit(musicldm.build_networks(described)[0].apply)

  def predict(base, source, **options):
    output = tmp_path_factory.mktemp("converted") / "model"
    conversion.convert(base, output, lora=source, **options)
    params, _ = checkpoints.load_model(output)
    return run({"params": params["unet"]}, LATENT, 371, CONDITION)

  return predict


@pytest.fixture(scope="module")
def adapted_unet():
  network = unet()
  config = {"r": 4, "lora_alpha": 10, "rank_pattern": {"conv1": 2}}
  config["alpha_pattern"] = {"proj_in": 3}
  network.add_adapter(peft.LoraConfig(target_modules=OF_UNET, **config))
  return train(network)


def test_what_a_unet_saves(music, our_noise, adapted_unet, tmp_path):
  adapted_unet.save_lora_adapter(tmp_path)
  agree(our_noise, music, tmp_path, their_noise(adapted_unet))


def test_what_diffusers_saves_of_a_unet(music, our_noise, adapted_unet, tmp_path):
  diffusers.loaders.StableDiffusionLoraLoaderMixin.save_lora_weights(
    tmp_path,
    unet_lora_layers=peft.get_peft_model_state_dict(adapted_unet),
    unet_lora_adapter_metadata=adapted_unet.peft_config["default"].to_dict(),
  )
  names = load_file(tmp_path / lora.DIFFUSERS_WEIGHTS)
  assert all(name.startswith("unet.") for name in names)
  agree(our_noise, music, tmp_path, their_noise(adapted_unet))


def as_saved(network, change):
  """The adapter's tensors under `unet.` and other names, as NumPy arrays."""
  state = peft.get_peft_model_state_dict(network)
  return {f"unet.{change(name)}": value.numpy() for name, value in state.items()}


def downs_and_ups(name):
  return name.replace("lora_A", "lora.down").replace("lora_B", "lora.up")


def of_processors(name):
  """Names of diffusers before 0.17; only attention had them."""
  for old in ("to_q", "to_k", "to_v", "to_out.0"):
    stem = old.removesuffix(".0")
    name = name.replace(f".{old}.lora_A.", f".processor.{stem}_lora.down.")
    name = name.replace(f".{old}.lora_B.", f".processor.{stem}_lora.up.")
  return name


ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


@pytest.mark.parametrize("alphas", [False, True])
@pytest.mark.parametrize(
  "change", [str, downs_and_ups, of_processors], ids=["new", "down", "processor"]
)
def test_files_without_settings(music, our_noise, tmp_path, change, alphas):
  """Diffusers itself says what these mean: it loads the same file."""
  network = unet()
  ranks = {"to_q": 2} if not alphas else {}
  network.add_adapter(
    peft.LoraConfig(target_modules=ATTENTION, r=4, lora_alpha=9, rank_pattern=ranks)
  )
  saved = as_saved(train(network), change)
  path = tmp_path / "lora.safetensors"
  told = {}
  if alphas:
    new = as_saved(network, str)
    modules = sorted({name.split(".lora_")[0] for name in new})
    told = {f"{module}.alpha": 1.0 + i % 3 for i, module in enumerate(modules)}
  tensors = {name: np.array(value, np.float32) for name, value in told.items()}
  save_file(saved | tensors, path)
  loaded = unet()
  torches = {name: torch.tensor(value) for name, value in saved.items()}
  loaded.load_lora_adapter(torches, prefix="unet", network_alphas=told or None)
  agree(our_noise, music, path, their_noise(loaded.eval()))


def test_names_of_ace_steps_own_repository():
  """The renaming of diffusers' loader, module by module."""
  rename = (
    diffusers.loaders.lora_conversion_utils
  )._convert_non_diffusers_ace_step_lora_to_diffusers
  stem = "layers.3.cross_attn"
  for projection in ("q_proj", "k_proj", "v_proj", "o_proj"):
    (theirs,) = rename({f"base_model.model.{stem}.{projection}.lora_A.weight": None})
    module = theirs.removeprefix("transformer.").removesuffix(".lora_A.weight")
    state = {f"{module}.weight": np.zeros((3, 3), np.float32)}
    update = lora.Update(np.ones((1, 3), np.float32), np.ones((3, 1), np.float32), 1.0)
    adapter = lora.Adapter(
      name="x", part=None, updates={f"{stem}.{projection}": update}, text=(), record={}
    )
    merged = lora.merge(state, adapter, "transformer")
    np.testing.assert_array_equal(merged[f"{module}.weight"], np.ones((3, 3)))


def test_what_began_by_changing_the_base_is_refused(stable, tmp_path):
  """peft's file of such a LoRA is relative to weights that it does not hold."""
  config = config_of("plain", init_lora_weights="pissa")
  peft.get_peft_model(transformer(stable), config).save_pretrained(tmp_path)
  with pytest.raises(ValueError, match=r"init_lora_weights = 'pissa'"):
    lora.read(pathlib.Path(tmp_path))
