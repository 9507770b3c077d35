"""Pipelines converted with a LoRA: what is merged, recorded, kept and refused."""

import hashlib
import shutil

import jax
import numpy as np
import pytest
import tiny_lora
from safetensors.numpy import load_file, save_file

from lsaprobe_jax.errors import ArgumentError
from lsaprobe_jax.models import checkpoints, conversion, torch_params
from lsaprobe_jax.models.checkpoints import CheckpointError
from lsaprobe_jax.models.conversion import convert, find_model
from lsaprobe_jax.models.trained import load_model

EMBEDDED = "diffwave-multigenre-a"


@pytest.fixture
def lora(pipeline, tmp_path):
  return tiny_lora.save_lora(tmp_path / "artist.safetensors", pipeline)


@pytest.fixture
def cache(tmp_path, monkeypatch):
  folder = tmp_path / "cache"
  monkeypatch.setattr(conversion, "CACHE", str(folder))
  return folder


def assert_same(ours, others):
  near = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  jax.tree.map(near, ours, others)


def assert_merged(params, pipeline, lora, scale=1.0):
  """Compares the UNet with the formula, and the VAE with the pipeline's own."""
  state = tiny_lora.merged_by_hand(pipeline, lora, scale)
  assert_same(params["unet"], torch_params.module_params(state))
  base = load_file(pipeline / tiny_lora.WEIGHTS)
  with pytest.raises(AssertionError):
    assert_same(params["unet"], torch_params.module_params(base))
  vae = load_file(pipeline / "vae" / "diffusion_pytorch_model.safetensors")
  assert_same(params["vae"], torch_params.module_params(vae))


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_lora_is_merged_and_recorded(pipeline, lora, tmp_path, scale):
  convert(pipeline, tmp_path / "model", lora=lora, lora_scale=scale)
  params, record = checkpoints.load_model(tmp_path / "model")
  assert_merged(params, pipeline, lora, scale)
  assert record["training"] == {
    "converted_from": "pipeline",
    "condition": "zero",
    "lora": {
      "file": "artist.safetensors",
      "sha256": hashlib.sha256(lora.read_bytes()).hexdigest(),
      "scale": scale,
    },
  }


def test_a_variant_of_half_precision_is_merged_in_float32(pipeline, lora, tmp_path):
  whole = pipeline / tiny_lora.WEIGHTS
  half = {k: v.astype(np.float16) for k, v in load_file(whole).items()}
  whole.unlink()
  save_file(half, whole.with_name("diffusion_pytorch_model.fp16.safetensors"))
  convert(pipeline, tmp_path / "model", lora=lora)
  # The same values in float32: what is added is not rounded to half precision.
  save_file({k: v.astype(np.float32) for k, v in half.items()}, whole)
  params, _ = checkpoints.load_model(tmp_path / "model")
  assert_merged(params, pipeline, lora)


def test_base_and_loras_are_kept_apart(pipeline, lora, cache, tmp_path, monkeypatch):
  other = tiny_lora.save_lora(tmp_path / "other.safetensors", pipeline, seed=1)
  # Each is told by its files alone; what they become is tested above.
  read = lambda source, adapter, called: conversion.Converted(
    {"w": np.zeros(1)}, {}, {"lora": adapter and adapter.record}
  )
  monkeypatch.setattr(conversion, "_read", read)
  find = lambda **how: find_model(str(pipeline), **how)
  found = [
    find(), find(lora=lora), find(lora=lora, lora_scale=0.5), find(lora=other),
  ]  # fmt: skip
  assert len(set(found)) == len(list(cache.iterdir())) == 4
  with monkeypatch.context() as patch:
    patch.setattr(conversion, "_read", None)
    assert find(lora=lora) == found[1]
    assert find() == found[0]
  record = checkpoints.load_model(found[3])[1]["training"]
  assert record["lora"]["file"] == "other.safetensors"
  # Other content under the same name.
  shutil.copy(other, lora)
  assert find(lora=lora) not in found


@pytest.mark.usefixtures("cache")
def test_a_model_is_loaded_with_a_lora(pipeline, lora):
  model = load_model(pipeline, lora=lora, lora_scale=2.0)
  assert model.lora["file"] == "artist.safetensors"
  assert model.lora["scale"] == 2
  params = {"unet": model.model.params, "vae": model.model.vae_params}
  assert_merged(params, pipeline, lora, scale=2.0)


def test_a_lora_is_of_a_pipeline(pipeline, lora, cache, tmp_path):
  for name in (EMBEDDED, str(convert(pipeline, tmp_path / "model"))):
    with pytest.raises(ArgumentError) as caught:
      find_model(name, lora=lora)
    said = str(caught.value)
    assert said.startswith(f"lora={lora}: a LoRA is merged into the pipeline that it")
    assert f"{name} is embedded or converted already; give that pipe" in said
  with pytest.raises(ArgumentError, match=r"and .*/model is no pipeline; give that"):
    convert(tmp_path / "model", tmp_path / "again", lora=lora)
  (tmp_path / "weights.pt").write_bytes(b"no archive")
  with pytest.raises(ArgumentError, match=r"weights.pt is a DiffWave; give that"):
    convert(tmp_path / "weights.pt", tmp_path / "again", lora=lora)
  assert not cache.exists()
  assert not (tmp_path / "again").exists()


def test_what_cannot_be_merged_leaves_nothing(pipeline, lora, cache, tmp_path):
  found = load_file(lora)
  save_file({f"{k[:5]}mid.{k[5:]}": v for k, v in found.items()}, lora)
  for run in (
    lambda: convert(pipeline, tmp_path / "model", lora=lora),
    lambda: find_model(pipeline, lora=lora),
    lambda: load_model(pipeline, lora=lora),
  ):
    with pytest.raises(ArgumentError, match=r"^lora=.*the unet lacks: \['mid.down_b"):
      run()
  with pytest.raises(ArgumentError, match=r"^lora=nothing: no such file or folder"):
    convert(pipeline, tmp_path / "model", lora="nothing")
  with pytest.raises(ArgumentError, match=r"^lora_scale=0\.5: there is no lora"):
    convert(pipeline, tmp_path / "model", lora_scale=0.5)
  assert not (tmp_path / "model").exists()
  assert not list(cache.glob("*"))


def test_a_text_encoders_lora_and_a_prompt(pipeline, lora, tmp_path):
  stem = "text_encoder.text_model.layers.0.q_proj"
  text = {
    f"{stem}.lora_A.weight": np.ones((2, 3), np.float32),
    f"{stem}.lora_B.weight": np.ones((3, 2), np.float32),
  }
  save_file(load_file(lora) | text, lora)
  with pytest.raises(ArgumentError, match=r"changes the text encoder too.*leave out"):
    convert(pipeline, tmp_path / "model", lora=lora, prompt="piano")
  convert(pipeline, tmp_path / "model", lora=lora)
  record = checkpoints.load_model(tmp_path / "model")[1]["training"]
  assert record["lora"]["left_out"] == "text encoder"


def test_a_lora_in_a_models_place_says_where_it_goes(lora, tmp_path):
  for run in (lambda: find_model(lora), lambda: convert(lora, tmp_path / "model")):
    with pytest.raises(CheckpointError, match=r"a LoRA adapter: .*\(--lora\)"):
      run()
