"""Pipelines that diffusers itself saved, live."""

import json

import jax
import numpy as np
import pytest
import tiny_musicldm as tiny

from lsaprobe_jax import diffusion
from lsaprobe_jax.models import checkpoints, registry
from lsaprobe_jax.models.conversion import convert

pytestmark = pytest.mark.parity


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


def test_what_diffusers_saved_is_read(saved_by_diffusers, tmp_path):
  folder, _ = saved_by_diffusers
  convert(folder, tmp_path / "model")
  params, _ = checkpoints.load_model(tmp_path / "model")
  expected, _ = tiny.params()
  for part in ("unet", "vae", "vocoder"):
    jax.tree.map(np.testing.assert_array_equal, params[part], expected[part])


def test_shards_and_variants_are_read_as_diffusers_names_them(
  saved_by_diffusers, tmp_path
):
  import torch

  _, pipe = saved_by_diffusers
  folder = tmp_path / "in parts"
  pipe.to(torch.float16).save_pretrained(folder, variant="fp16", max_shard_size="20KB")
  pipe.to(torch.float32)
  assert len(list((folder / "unet").glob("*.fp16-*-of-*.safetensors"))) > 1
  assert len(list((folder / "unet").glob("*.index.fp16.json"))) == 1
  convert(folder, tmp_path / "model")
  params, _ = checkpoints.load_model(tmp_path / "model")
  expected, _ = tiny.params()
  for part in ("unet", "vae", "vocoder"):
    near = lambda ours, whole: np.testing.assert_allclose(ours, whole, 1e-3, 1e-6)
    jax.tree.map(near, params[part], expected[part])


def test_a_prompt_is_embedded_once(saved_by_diffusers, tmp_path):
  import torch

  folder, pipe = saved_by_diffusers
  embeddings = {}
  for prompt in ("solo piano", "loud drums", ""):
    output = tmp_path / f"model {prompt}"
    convert(folder, output, prompt=prompt)
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


def test_the_whole_pipeline_agrees(saved_by_diffusers, tmp_path):
  # diffusers' MusicLDMPipeline from a given latent, without guidance, against our
  # steps on its time grid and our decoder.
  import torch

  folder, pipe = saved_by_diffusers
  embedding = tiny.draw("embedding", (6,))
  np.save(tmp_path / "embedding.npy", embedding)
  convert(folder, tmp_path / "model", embedding=tmp_path / "embedding.npy")
  params, record = checkpoints.load_model(tmp_path / "model")
  model = registry.build_model(record["model"], params, 1).for_length(1700)
  latent = tiny.draw("latent", (6, 4, 4))
  pipe.set_progress_bar_config(disable=True)
  theirs = pipe(
    audio_length_in_s=1700 / 16000, num_inference_steps=4, guidance_scale=1.0,
    prompt_embeds=torch.tensor(embedding)[None],
    latents=torch.tensor(latent).permute(2, 0, 1)[None],
  ).audios[0]  # fmt: skip
  predict = jax.jit(model.predict_noise)
  x = latent
  for t, s in ((752, 502), (502, 252), (252, 2), (2, 0)):
    x = diffusion.step(model.schedule, x, predict(x, t), t, s)
  ours = jax.jit(model.decode)(x)
  assert ours.shape == theirs.shape == (1700,)
  assert np.max(np.abs(ours - theirs)) < 1e-4 * np.max(np.abs(theirs))
