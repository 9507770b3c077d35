"""launch.convert on pipelines that diffusers saved; weights drawn, not trained."""

import json
import os
import pickle
import sys

import jax
import numpy as np
import pytest
import tiny_musicldm as tiny
from absl import app, flags
from absl.testing import flagsaver
from ml_collections import ConfigDict
from safetensors.numpy import load_file, save_file

from launch import common, convert
from lsaprobe_jax.models import checkpoints, conversion, registry


def run(source, output, **settings):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(source=str(source), output=str(output), **settings):
    convert.main(["convert"])


@pytest.fixture
def pipeline(tmp_path):
  return tiny.save_pipeline(tmp_path / "pipeline")


@pytest.fixture
def edit(pipeline):
  """Changes a JSON file of the pipeline."""

  def edit(name, **changes):
    path = pipeline / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

  return edit


def refuse(pipeline, match, **settings):
  output = pipeline.parent / "model"
  with pytest.raises(app.UsageError, match=match):
    run(pipeline, output, **settings)
  assert not output.exists()


def test_a_pipeline_becomes_a_model_folder(pipeline, tmp_path):
  run(pipeline, tmp_path / "model")
  params, record = checkpoints.load_model(tmp_path / "model")
  expected, model = tiny.params()
  expected["conditioning"] = {"embedding": np.zeros(6, np.float32)}
  jax.tree.map(np.testing.assert_array_equal, params, expected)
  assert record["training"] == {"converted_from": "pipeline", "condition": "zero"}
  # JSON has made lists of tuples, and that is all.
  assert record["model"] == json.loads(json.dumps(model))
  generator = registry.build_model(record["model"], params, num_inference_steps=2)
  assert (generator.sample_rate, generator.schedule.num_train_timesteps) == (
    16000,
    1000,
  )


def test_half_precision_is_widened(pipeline, tmp_path):
  path = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
  half = {k: v.astype(np.float16) for k, v in load_file(path).items()}
  save_file(half, path)
  run(pipeline, tmp_path / "model")
  params, _ = checkpoints.load_model(tmp_path / "model")
  bias = params["vae"]["encoder"]["conv_in"]["bias"]
  assert bias.dtype == np.float32
  np.testing.assert_array_equal(bias, half["encoder.conv_in.bias"])


def test_tensors_that_do_not_fit_are_listed_on_both_sides(pipeline):
  path = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
  state = load_file(path)
  state["surplus.weight"] = np.zeros((2, 3), np.float32)
  del state["conv_out.bias"]
  state["class_embedding.weight"] = np.zeros((32, 5), np.float32)
  save_file(state, path)
  with pytest.raises(app.UsageError) as error:
    run(pipeline, pipeline.parent / "model")
  line = str(error.value)
  assert "left over: ['unet/surplus/kernel']; missing: ['unet/conv_out/bias']" in line
  assert "unet/class_embedding/kernel: (5, 32), expected (6, 32)" in line
  assert not (pipeline.parent / "model").exists()


def test_an_unknown_kind_of_tensor_is_named(pipeline):
  path = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
  save_file(load_file(path) | {"bn.running_mean": np.zeros(3, np.float32)}, path)
  refuse(pipeline, r"vae: unexpected tensor 'bn\.running_mean'")


def test_half_a_weight_normalisation_is_named(pipeline):
  path = pipeline / "vocoder" / "model.safetensors"
  state = load_file(path)
  state["conv_pre.weight_g"] = state.pop("conv_pre.weight")[:, :1, :1]
  save_file(state, path)
  refuse(pipeline, r"conv_pre\.weight_g lacks conv_pre\.weight_v")


class Malicious:
  """Unpickled as Python does, it writes a file."""

  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return os.system, (f"touch {self._path}",)


def test_pickled_weights_are_refused_unread(pipeline, tmp_path):
  unet = pipeline / "unet"
  (unet / "diffusion_pytorch_model.safetensors").unlink()
  pickled = pickle.dumps(Malicious(tmp_path / "pwned"))
  (unet / "diffusion_pytorch_model.bin").write_bytes(pickled)
  refuse(
    pipeline,
    r"no diffusion_pytorch_model\.safetensors in .*unet \(found: diffusion_pytorch_"
    r"model\.bin\)\. Pickled and sharded weights are not read; .*safe_serialization=Tr",
  )
  assert not (tmp_path / "pwned").exists()


def test_damaged_files_are_named(pipeline):
  (pipeline / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 99)
  refuse(pipeline, r"vae/diffusion_pytorch_model\.safetensors cannot be read")
  (pipeline / "vae" / "config.json").write_text("{")
  refuse(pipeline, r"vae/config\.json is damaged")
  (pipeline / "vae" / "config.json").unlink()
  refuse(pipeline, r"no config\.json in .*vae")
  (pipeline / "model_index.json").unlink()
  refuse(pipeline, r"no model_index\.json in .*pipeline")


@pytest.mark.parametrize(
  ("file", "changes", "match"),
  [
    ("model_index.json", {"_class_name": "StableDiffusionPipeline"},
     "'StableDiffusionPipeline'; known: MusicLDMPipeline, AudioLDMPipeline"),
    ("unet/config.json", {"addition_embed_type": "text"}, "addition_embed_type"),
    ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "sample"),
    ("vocoder/config.json", {"model_in_dim": 9}, "multiple.* are 9 and 8"),
  ],
)  # fmt: skip
def test_unsupported_pipelines_are_refused(pipeline, edit, file, changes, match):
  edit(file, **changes)
  refuse(pipeline, match)


@pytest.mark.parametrize(
  ("file", "changes", "match"),
  [
    ("unet/config.json", {"layers_per_block": 20_000}, "make 120,000 blocks; 256 are"),
    ("unet/config.json", {"layers_per_block": True}, "layers_per_block = True is not"),
    ("unet/config.json", {"norm_eps": 10**400}, r"norm_eps = 1000000.*\.\.\."),
    ("unet/config.json", {"block_out_channels": [8] * 17}, "a list of 1 to 16 values"),
    ("unet/config.json", {"time_embedding_dim": -3}, "time_embedding_dim = -3"),
    ("unet/config.json", {"x" * 10**6: "y" * 10**6}, "the key x{60} .= 'yyy"),
    ("vae/config.json", {"scaling_factor": 0}, "scaling_factor = 0 is not supported"),
    ("vae/config.json", {"scaling_factor": float("nan")}, "damaged .holds NaN"),
    ("vae/config.json", {"norm_num_groups": None}, "norm_num_groups = None"),
    ("vae/config.json", {"layers_per_block": 2000}, "make 8,000 blocks; 256"),
    ("vocoder/config.json", {"sampling_rate": 10**6}, "sampling_rate = 1000000 is"),
    ("vocoder/config.json", {"upsample_kernel_sizes": [16, 8, 10**6]}, "from 1 to 256"),
    ("vocoder/config.json", {"upsample_rates": [256, 256, 2]}, "product of at m"),
    ("vocoder/config.json", {"upsample_initial_channel": 4}, "8 or more"),
    ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**6}, "1 to 100,000"),
    ("scheduler/scheduler_config.json", {"beta_end": 1}, "beta_end = 1 is not"),
    ("scheduler/scheduler_config.json", {"trained_betas": [0.1, "x"]}, r"betas\[1\]"),
  ],
)  # fmt: skip
def test_values_are_checked_before_anything_is_built(
  pipeline, edit, file, changes, match
):
  edit(file, **changes)
  refuse(pipeline, match)


@pytest.mark.parametrize(
  ("value", "match"),
  [
    (
      np.full((4, 8, 3, 3), np.nan, np.float32),
      r"NaN in conv_out\.weight \(288 of 288",
    ),
    (np.full((4, 8, 3, 3), np.inf, np.float16), "infinity in conv_out"),
    (np.ones((4, 8, 3, 3), np.int64), "conv_out.weight is of type I64, but weights"),
    (np.ones((4, 8, 3, 3), bool), "conv_out.weight is of type BOOL"),
  ],
)
def test_what_is_no_weight_is_named(pipeline, value, match):
  path = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
  save_file(load_file(path) | {"conv_out.weight": value}, path)
  refuse(pipeline, f"/unet.*{match}")


def test_a_weight_norm_of_zero_is_named(pipeline):
  path = pipeline / "vocoder" / "model.safetensors"
  state = load_file(path)
  weight = state.pop("conv_pre.weight")
  state["conv_pre.weight_v"] = np.zeros_like(weight)
  state["conv_pre.weight_g"] = np.ones((len(weight), 1, 1), np.float32)
  save_file(state, path)
  refuse(pipeline, r"vocoder: NaN in conv_pre\.weight")
  state["conv_pre.weight_g"] = np.ones((1, 1, 9), np.float32)
  save_file(state, path)
  refuse(pipeline, r"conv_pre\.weight_g has shape \(1, 1, 9\), which is not")


def test_an_embedding_that_is_not_finite_is_refused(pipeline, tmp_path):
  np.save(tmp_path / "embedding.npy", np.array([1, 2, np.nan, 4, 5, 6]))
  refuse(pipeline, "NaN in the embedding", embedding=str(tmp_path / "embedding.npy"))


def test_a_sharded_pipeline_is_told_so(pipeline):
  unet = pipeline / "unet"
  stem = "diffusion_pytorch_model"
  (unet / f"{stem}.safetensors").rename(unet / f"{stem}-00001-of-00002.safetensors")
  (unet / f"{stem}.safetensors.index.json").write_text("{}")
  refuse(pipeline, r"00001-of-00002\.safetensors, sharded\)\. .*max_shard_size")


def test_audioldm_is_read_too(pipeline, edit, tmp_path):
  edit("model_index.json", _class_name="AudioLDMPipeline")
  run(pipeline, tmp_path / "model")
  assert checkpoints.load_model(tmp_path / "model")[1]["model"]["family"] == "musicldm"


def test_an_embedding_from_a_file(pipeline, tmp_path):
  path = tmp_path / "embedding.npy"
  np.save(path, np.arange(6.0)[None])
  run(pipeline, tmp_path / "model", embedding=str(path))
  params, record = checkpoints.load_model(tmp_path / "model")
  np.testing.assert_array_equal(params["conditioning"]["embedding"], np.arange(6))
  assert record["training"]["condition"] == {"embedding": "embedding.npy"}


def test_an_embedding_that_does_not_fit_is_refused(pipeline, tmp_path):
  path = tmp_path / "embedding.npy"
  np.save(path, np.arange(5.0))
  refuse(pipeline, r"has shape \(5,\), the UNet takes \(6,\)", embedding=str(path))
  np.save(path, np.array([Malicious(tmp_path / "pwned")]), allow_pickle=True)
  refuse(pipeline, "Object arrays cannot be loaded", embedding=str(path))
  assert not (tmp_path / "pwned").exists()
  refuse(pipeline, "not both", embedding=str(path), prompt="piano")


def test_an_unconditional_pipeline_takes_no_embedding(pipeline, edit, tmp_path):
  path = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
  state = {k: v for k, v in load_file(path).items() if "class_embedding" not in k}
  for name, value in state.items():
    if name.endswith("time_emb_proj.weight"):
      state[name] = np.ascontiguousarray(value[:, :32])
  save_file(state, path)
  edit("unet/config.json", class_embed_type=None, class_embeddings_concat=False)
  np.save(tmp_path / "embedding.npy", np.zeros(6))
  refuse(pipeline, "unconditional", embedding=str(tmp_path / "embedding.npy"))
  run(pipeline, tmp_path / "model")
  params, record = checkpoints.load_model(tmp_path / "model")
  assert set(params) == {"unet", "vae", "vocoder"}
  assert registry.build_model(record["model"], params, 1).condition is None


def test_a_prompt_needs_a_text_encoder(pipeline):
  refuse(pipeline, "--prompt needs text_encoder, which .*pipeline does not have",
         prompt="piano")  # fmt: skip


def test_a_diffwave_takes_no_prompt(tmp_path):
  (tmp_path / "weights.pt").write_bytes(b"never read")
  refuse(tmp_path / "weights.pt", "takes no --prompt", prompt="piano")


def test_a_hub_name_without_the_hubs_package(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  refuse_from = tmp_path / "x"
  with pytest.raises(app.UsageError, match="pip install huggingface_hub; or download"):
    run("hf:ucsd-reach/musicldm", refuse_from)
  assert not refuse_from.exists()


def test_a_hub_name_without_a_network(tmp_path, monkeypatch):
  class Hub:
    @staticmethod
    def snapshot_download(name, allow_patterns):
      assert name == "ucsd-reach/musicldm"
      assert "vocoder/model.safetensors" in allow_patterns
      assert not any("text_encoder/m" in pattern for pattern in allow_patterns)
      raise ConnectionError("no route\nto host")

  monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
  with pytest.raises(app.UsageError, match=r"ConnectionError: no route\); download"):
    run("hf:ucsd-reach/musicldm", tmp_path / "model")


@pytest.fixture
def hub(pipeline, monkeypatch):
  """A hub that has the pipeline under any name."""

  class Hub:
    @staticmethod
    def snapshot_download(name, allow_patterns):
      return str(pipeline)

  monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)


@pytest.mark.usefixtures("hub")
def test_a_hub_name_is_fetched(tmp_path):
  run("hf:ucsd-reach/musicldm", tmp_path / "model")
  record = checkpoints.load_model(tmp_path / "model")[1]
  assert record["training"]["converted_from"] == "ucsd-reach/musicldm"


@pytest.mark.parametrize("name", ["hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:/b"])
def test_what_is_no_hub_name_is_refused(name):
  with pytest.raises(checkpoints.CheckpointError, match="hub is hf:owner/name"):
    conversion.find_model(name)


@pytest.mark.parametrize(
  "name", ["stabilityai/stable-audio-open-1.0", "ucsd-reach/musicldm", "runs/model.v2"]
)
def test_only_hf_names_are_looked_up(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  asked = []

  class Hub:
    @staticmethod
    def snapshot_download(name, allow_patterns):
      asked.append(name)
      raise ConnectionError("no route")

  monkeypatch.setitem(sys.modules, "huggingface_hub", Hub)
  line = rf"for the Hugging Face hub write hf:{name}$"
  with pytest.raises(app.UsageError, match=f"no such file or folder; {line}"):
    run(name, tmp_path / "model")
  with pytest.raises(checkpoints.CheckpointError, match=f"no model folder .*{line}"):
    conversion.find_model(name)
  assert not asked
  with pytest.raises(checkpoints.CheckpointError, match=f"hf:{name}: .*no route"):
    conversion.find_model(f"hf:{name}")
  assert asked == [name]


@pytest.fixture
def cache(tmp_path, monkeypatch):
  """Where models are kept that were converted when they were named."""
  folder = tmp_path / "cache" / "models"
  monkeypatch.setattr(conversion, "CACHE", str(folder))
  return folder


def test_a_pipeline_is_converted_once_when_named(pipeline, cache, monkeypatch):
  folder = conversion.find_model(str(pipeline))
  assert [folder] == list(cache.iterdir())
  params, record = checkpoints.load_model(folder)
  jax.tree.map(np.testing.assert_array_equal, params["unet"], tiny.params()[0]["unet"])
  assert record["training"] == {"converted_from": "pipeline", "condition": "zero"}
  with monkeypatch.context() as patch:
    patch.setattr(conversion, "convert", None)
    assert conversion.find_model(str(pipeline)) == folder
  path = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
  save_file({k: v + 1 for k, v in load_file(path).items()}, path)
  other = conversion.find_model(str(pipeline))
  assert other != folder
  assert checkpoints.load_model(other)[1] != record


@pytest.mark.usefixtures("hub")
def test_a_hub_name_is_a_target(cache):
  config = ConfigDict(
    dict(
      seed=0, num_inference_steps=2, precision="float32", untrained=False, targets={}
    )
  )
  config.targets.model = "hf:ucsd-reach/musicldm"
  (target,), _ = common.load_targets(config)
  assert target.model.sample_rate == 16000
  (folder,) = cache.iterdir()
  assert folder.name.startswith("ucsd-reach-musicldm-")
  record = checkpoints.load_model(folder)[1]
  assert record["training"]["converted_from"] == "ucsd-reach/musicldm"


def test_what_cannot_be_converted_when_named_leaves_nothing(
  pipeline, cache, tmp_path, monkeypatch
):
  (pipeline / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 99)
  with pytest.raises(
    checkpoints.CheckpointError, match=r"/pipeline cannot be converted: .*vae/diffusion"
  ):
    conversion.find_model(str(pipeline))
  (tmp_path / "weights.pt").write_bytes(b"no archive")
  with pytest.raises(checkpoints.CheckpointError, match=r"weights\.pt cannot be conv"):
    conversion.find_model(str(tmp_path / "weights.pt"))
  monkeypatch.setitem(sys.modules, "huggingface_hub", None)
  with pytest.raises(checkpoints.CheckpointError) as error:
    conversion.find_model("runs/mistyped")
  assert "no model folder runs/mistyped; embedded models: diff" in str(error.value)
  assert str(error.value).endswith("for the Hugging Face hub write hf:runs/mistyped")
  with pytest.raises(checkpoints.CheckpointError, match="pip install huggingface_hub"):
    conversion.find_model("hf:owner/name")
  assert not list(cache.glob("*"))


def test_a_cache_that_cannot_be_written_is_named(pipeline, cache):
  cache.parent.mkdir(exist_ok=True)
  cache.touch()
  with pytest.raises(checkpoints.CheckpointError, match=f"cannot be conv.*{cache}"):
    conversion.find_model(str(pipeline))


@pytest.fixture
def saved_by_diffusers(tmp_path):
  """A pipeline with a tiny CLAP, saved by diffusers itself."""
  torch = pytest.importorskip("torch")
  diffusers = pytest.importorskip("diffusers")
  transformers = pytest.importorskip("transformers")
  modules, _ = tiny.torch_modules(tiny.CONFIGS)
  text = transformers.ClapTextConfig(
    hidden_size=8, intermediate_size=12, num_attention_heads=2, num_hidden_layers=1,
    vocab_size=264, max_position_embeddings=40, projection_dim=6,
  )  # fmt: skip
  audio = transformers.ClapAudioConfig(
    spec_size=64, window_size=4, num_mel_bins=64, depths=[1, 1],
    num_attention_heads=[2, 2], num_hidden_layers=2, hidden_size=16, patch_size=2,
    patch_stride=2, patch_embed_input_channels=4, patch_embeds_hidden_size=8,
  )  # fmt: skip
  clap = transformers.ClapModel(
    transformers.ClapConfig(
      text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=6
    )
  ).eval()
  # Its own initial weights are so small that all prompts would look the same.
  generator = torch.Generator().manual_seed(0)
  with torch.no_grad():
    for weight in clap.parameters():
      weight.normal_(0.0, 0.5, generator=generator)
  tokenizer = tiny_tokenizer(transformers, tmp_path)
  folder = tmp_path / "saved"
  pipe = diffusers.MusicLDMPipeline(
    text_encoder=clap,
    tokenizer=tokenizer,
    feature_extractor=None,
    scheduler=diffusers.DDIMScheduler.from_config(tiny.CONFIGS["scheduler"]),
    **modules,
  )
  pipe.save_pretrained(folder, safe_serialization=True)
  return folder, pipe


def tiny_tokenizer(transformers, folder):
  """RoBERTa's, of single bytes."""
  tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
  tokens += [chr(i) for i in range(33, 127)] + ["Ġ"]
  (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
  (folder / "merges.txt").write_text("#version: 0.2\n")
  return transformers.RobertaTokenizer(
    str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=24
  )


@pytest.mark.parity
def test_what_diffusers_saved_is_read(saved_by_diffusers, tmp_path):
  folder, _ = saved_by_diffusers
  run(folder, tmp_path / "model")
  params, _ = checkpoints.load_model(tmp_path / "model")
  expected, _ = tiny.params()
  for part in ("unet", "vae", "vocoder"):
    jax.tree.map(np.testing.assert_array_equal, params[part], expected[part])


@pytest.mark.parity
def test_a_prompt_is_embedded_once(saved_by_diffusers, tmp_path):
  import torch

  folder, pipe = saved_by_diffusers
  embeddings = {}
  for prompt in ("solo piano", "loud drums", ""):
    output = tmp_path / f"model {prompt}"
    run(folder, output, prompt=prompt)
    params, record = checkpoints.load_model(output)
    assert record["training"]["condition"] == {"prompt": prompt}
    embeddings[prompt] = params["conditioning"]["embedding"]
    tokens = pipe.tokenizer(
      prompt, padding="max_length", max_length=24, truncation=True, return_tensors="pt"
    )
    encoder = pipe.text_encoder
    with torch.no_grad():
      pooled = encoder.text_model(tokens.input_ids, tokens.attention_mask).pooler_output
      expected = encoder.text_projection(pooled)[0]
    expected = (expected / expected.norm()).numpy()
    np.testing.assert_allclose(embeddings[prompt], expected, rtol=1e-4, atol=1e-5)
  assert not np.allclose(embeddings["solo piano"], embeddings["loud drums"])


@pytest.mark.parity
def test_the_whole_pipeline_agrees(saved_by_diffusers, tmp_path):
  # diffusers' MusicLDMPipeline from a given latent, without guidance, against our
  # steps on its time grid and our decoder.
  import torch

  from lsaprobe_jax import diffusion

  folder, pipe = saved_by_diffusers
  embedding = tiny.draw("embedding", (6,))
  np.save(tmp_path / "embedding.npy", embedding)
  run(folder, tmp_path / "model", embedding=str(tmp_path / "embedding.npy"))
  params, record = checkpoints.load_model(tmp_path / "model")
  generator = registry.build_model(record["model"], params, 1).for_length(1700)
  latent = tiny.draw("latent", (6, 4, 4))
  pipe.set_progress_bar_config(disable=True)
  theirs = pipe(
    audio_length_in_s=1700 / 16000, num_inference_steps=4, guidance_scale=1.0,
    prompt_embeds=torch.tensor(embedding)[None],
    latents=torch.tensor(latent).permute(2, 0, 1)[None],
  ).audios[0]  # fmt: skip
  predict = jax.jit(generator.predict_noise)
  x = latent
  for t, s in ((752, 502), (502, 252), (252, 2), (2, 0)):
    x = diffusion.ddim_step(generator.schedule, x, predict(x, t), t, s)
  ours = jax.jit(generator.decode)(x)
  assert ours.shape == theirs.shape == (1700,)
  assert np.max(np.abs(ours - theirs)) < 1e-4 * np.max(np.abs(theirs))
